"""Sends requests with one of the Python clients, which pays them from the development wallet.

Reads a JSON job from standard input, and writes the answers, how many invoices were paid, and how many sats the
client itself thinks that it spent; null where it does not read that from an invoice.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

import bolthub  # in a virtual environment of its own
import httpx
import l402_requests
import l402kit


class DevWallet:
    """A wallet as bolthub and l402kit want it: an invoice in, the preimage in hex out."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.payments = 0

    def pay_invoice(self, bolt11: str) -> str:
        answer = httpx.get(self._url, params={"invoice": bolt11})
        answer.raise_for_status()
        self.payments += 1
        preimage: str = answer.json()["preimage"]
        return preimage


class L402RequestsWallet:
    """The same as l402-requests wants it: a blocking method, and an awaitable one."""

    def __init__(self, wallet: DevWallet) -> None:
        self._wallet = wallet

    def pay_invoice_sync(self, bolt11: str) -> str:
        return self._wallet.pay_invoice(bolt11)

    async def pay_invoice(self, bolt11: str) -> str:
        return await asyncio.to_thread(self._wallet.pay_invoice, bolt11)


Account = Callable[[], int | None]


def _bolthub_auth(wallet: DevWallet) -> tuple[Any, Account]:
    auth = bolthub.L402Auth(wallet)
    return httpx.Client(auth=auth), lambda: auth.total_spent


def _bolthub(client: Any) -> tuple[Any, Account]:
    return client, lambda: client.total_spent


def _l402kit(client: Any) -> tuple[Any, Account]:
    return client, lambda: client.spending_report().total


def _l402_requests(client: Any) -> tuple[Any, Account]:
    return client, client.spending_log.total_spent


CLIENTS: dict[str, Callable[[DevWallet], tuple[Any, Account]]] = {
    "l402-requests": lambda wallet: _l402_requests(l402_requests.L402Client(wallet=L402RequestsWallet(wallet))),
    "l402-requests async": lambda wallet: _l402_requests(
        l402_requests.AsyncL402Client(wallet=L402RequestsWallet(wallet))
    ),
    "bolthub": lambda wallet: _bolthub(bolthub.L402Client(wallet, max_per_request_sats=1_000)),
    "bolthub async": lambda wallet: _bolthub(bolthub.AsyncL402Client(wallet, max_per_request_sats=1_000)),
    "bolthub auth": _bolthub_auth,
    "l402kit": lambda wallet: _l402kit(l402kit.L402Client(wallet, budget_sats=1_000)),
    "l402kit async": lambda wallet: _l402kit(l402kit.AsyncL402Client(wallet, budget_sats=1_000)),
}


async def main() -> None:
    """Do the job."""
    job = json.load(sys.stdin)
    wallet = DevWallet(job["wallet"])
    client, spent = CLIENTS[job["client"]](wallet)
    answers = []
    for request in job["requests"]:
        send = getattr(client, request.pop("method").lower())
        # A blocking client must not find a running event loop.
        answer = await asyncio.to_thread(send, **request)
        if inspect.isawaitable(answer):
            answer = await answer
        answers.append({"status": answer.status_code, "body": answer.text})
    json.dump({"answers": answers, "payments": wallet.payments, "spent_sats": spent()}, sys.stdout)


asyncio.run(main())
