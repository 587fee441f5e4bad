// Sends requests with @getalby/lightning-tools, which pays them from the development wallet.
//
// Reads a JSON job from standard input, and writes the answers, how many invoices were paid, and how many sats the
// client itself thinks that it spent. Run it in the folder that holds node_modules.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const { fetch402, fetchWithL402 } = createRequire(`${process.cwd()}/`)("@getalby/lightning-tools/402");

const job = JSON.parse(readFileSync(0, "utf8"));
const result = { answers: [], payments: 0, spent_sats: 0 };

const wallet = {
  async payInvoice({ invoice }) {
    const answer = await fetch(`${job.wallet}?invoice=${encodeURIComponent(invoice)}`);
    if (!answer.ok) throw new Error(`the wallet answered ${answer.status}`);
    result.payments += 1;
    return { preimage: (await answer.json()).preimage };
  },
};

// The library keeps no credentials by itself; it hands them out to be given back. It never pays where it was given one,
// so giving back one that was bought for another request is the caller's mistake.
const kept = new Map();

const clients = {
  "lightning-tools fetch402": (url, request) => fetch402(url, request, { wallet }),
  "lightning-tools fetchWithL402": (url, request) => fetchWithL402(url, request, { wallet }),
  "lightning-tools with credentials": async (url, request) => {
    const name = JSON.stringify([request.method, url, request.body]);
    const response = await fetchWithL402(url, request, { wallet, credentials: kept.get(name) });
    kept.set(name, response.payment?.credentials);
    return response;
  },
};

for (const { url, method, json } of job.requests) {
  const body = json === undefined ? {} : { body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  const response = await clients[job.client](url, { method, ...body });
  result.answers.push({ status: response.status, body: await response.text() });
  if (response.payment?.paid) result.spent_sats += response.payment.amountSat;
}
process.stdout.write(JSON.stringify(result));
