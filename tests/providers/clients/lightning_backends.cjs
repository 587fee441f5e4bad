// Asks an LND for its address, its balance and invoices with the package lightning-backends.
//
// Reads a JSON job from standard input, and writes what the package made of the answers. Run it in the folder that holds
// node_modules.

const { readFileSync } = require("node:fs");
const { createRequire } = require("node:module");

const { prepareBackend } = createRequire(`${process.cwd()}/`)("lightning-backends");

const { url, cert, macaroon, msat, hashes } = JSON.parse(readFileSync(0, "utf8"));
const lnd = prepareBackend("lnd", { baseUrl: url, cert, macaroon });

async function main() {
  const result = { uri: await lnd.getNodeUri(), balance: await lnd.getBalance(), invoices: [], statuses: [] };
  for (const amount of msat) result.invoices.push((await lnd.addInvoice(amount)).invoice);
  for (const hash of hashes) result.statuses.push(await lnd.getInvoiceStatus(hash));
  process.stdout.write(JSON.stringify(result));
}

main();
