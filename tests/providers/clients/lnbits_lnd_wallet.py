"""Makes and looks up invoices with LNbits' own client of LND's REST API.

Reads a JSON job from standard input, and writes what that client made of the answers. The job's address, certificate
and macaroon are in the environment, where LNbits looks for them.
"""

import asyncio
import json
import sys
from typing import Any

from lnbits.wallets.lndrest import LndRestWallet  # type: ignore[import-not-found]
from loguru import logger  # type: ignore[import-not-found]


async def main(job: Any) -> None:
    """Do the job."""
    wallet = LndRestWallet()
    status = await wallet.status()
    invoices = [await wallet.create_invoice(**asked) for asked in job["invoices"]]
    looked_up = [await wallet.get_invoice_status(payment_hash) for payment_hash in job["hashes"]]
    await wallet.cleanup()
    done = {
        "error": status.error_message,
        "balance": status.balance_msat,
        "invoices": [[each.ok, each.checking_id, each.payment_request, each.preimage] for each in invoices],
        "paid": [each.paid for each in looked_up],
    }
    # LNbits prints lines of its own at start-up.
    sys.stdout.write("\n" + json.dumps(done))


logger.remove()
asyncio.run(main(json.load(sys.stdin)))
