// Sends requests with mppx, which pays them from the development wallet by a Lightning method of our own: it has none.
//
// Reads a JSON job from standard input, and writes the answers, how many invoices were paid, and no sum: it keeps none.
// Run it in the folder that holds node_modules.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { resolve } = createRequire(`${process.cwd()}/`);
const library = (name) => import(pathToFileURL(resolve(name)).href);
const { Credential, Method, z } = await library("mppx");
const { Mppx } = await library("mppx/client");

const job = JSON.parse(readFileSync(0, "utf8"));
const result = { answers: [], payments: 0, spent_sats: null };

const charge = Method.from({
  name: "lightning",
  intent: "charge",
  schema: {
    credential: { payload: z.object({ preimage: z.string() }) },
    request: z.object({
      amount: z.string(),
      currency: z.string(),
      methodDetails: z.object({ invoice: z.string(), network: z.string(), paymentHash: z.string() }),
    }),
  },
});

const lightning = Method.toClient(charge, {
  async createCredential({ challenge }) {
    const { invoice } = challenge.request.methodDetails;
    const answer = await globalThis.fetch(`${job.wallet}?invoice=${encodeURIComponent(invoice)}`);
    if (!answer.ok) throw new Error(`the wallet answered ${answer.status}`);
    result.payments += 1;
    return Credential.serialize({ challenge, payload: { preimage: (await answer.json()).preimage } });
  },
});

const mppx = Mppx.create({ methods: [lightning], polyfill: false });

for (const { url, method, json } of job.requests) {
  const body = json === undefined ? {} : { body: JSON.stringify(json), headers: { "Content-Type": "application/json" } };
  const response = await mppx.fetch(url, { method, ...body });
  result.answers.push({ status: response.status, body: await response.text() });
}
process.stdout.write(JSON.stringify(result));
