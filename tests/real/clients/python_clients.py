"""Sends requests with one of the Python clients, which pays them from the development wallet.

Reads a JSON job from standard input, and writes the answers, how many invoices were paid, and how many sats the
client itself thinks that it spent; null where it does not read that from an invoice.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import bolthub  # in a virtual environment of its own
import httpx
import l402_requests
import l402kit
from lightning_enable_mcp.l402_client import L402Client as LightningEnableClient
from mpp import Credential, Receipt
from mpp.client import ClientMethod, CredentialParams, Mpp
from mpp.methods import Method
from pydantic import BaseModel, ConfigDict


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


class AwaitableWallet:
    """The same as l402-requests and lightning-enable-mcp want it: a blocking method, and an awaitable one."""

    def __init__(self, wallet: DevWallet) -> None:
        self._wallet = wallet

    def pay_invoice_sync(self, bolt11: str) -> str:
        return self._wallet.pay_invoice(bolt11)

    async def pay_invoice(self, bolt11: str) -> str:
        return await asyncio.to_thread(self._wallet.pay_invoice, bolt11)


@dataclass
class Answer:
    """What the others' answers have."""

    status_code: int
    text: str


class LightningEnable:
    """lightning-enable-mcp's HTTP client, which an agent's tools use; it gives texts, and raises for failures."""

    def __init__(self, wallet: DevWallet) -> None:
        self._client: Any = LightningEnableClient(AwaitableWallet(wallet))
        # Its own transport lets no agent reach loopback.
        self._client._http_client = httpx.AsyncClient()
        self.spent = 0

    async def get(self, url: str) -> Answer:
        text, paid, _ = await self._client.fetch(url)
        self.spent += paid or 0
        return Answer(200, text)


class Members(BaseModel):
    """Any members: which ones there are is the method's own affair."""

    model_config = ConfigDict(extra="allow")


class Pympp:
    """pympp's client, with a Lightning method of our own: it has none."""

    def __init__(self, wallet: DevWallet) -> None:
        async def pay(given: CredentialParams) -> str:
            invoice = given.challenge.request["methodDetails"]["invoice"]
            preimage = await asyncio.to_thread(wallet.pay_invoice, invoice)
            credential = Credential(challenge=given.challenge.to_echo(), payload={"preimage": preimage})
            value: str = credential.to_authorization()
            return value

        charge = Method(name="lightning", intent="charge", request_model=Members, payload_model=Members)
        self._client = Mpp([ClientMethod(method=charge, create_credential=pay)])

    async def _send(self, method: str, url: str, **options: Any) -> Any:
        async with httpx.AsyncClient(transport=self._client.payment_transport) as client:
            answer = await client.request(method, url, **options)
        receipt = answer.headers["payment-receipt"]
        assert Receipt.from_payment_receipt(receipt).status == "success"
        return answer

    async def get(self, url: str) -> Any:
        return await self._send("GET", url)

    async def post(self, url: str, json: Any) -> Any:
        return await self._send("POST", url, json=json)


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


def _lightning_enable(client: LightningEnable) -> tuple[Any, Account]:
    return client, lambda: client.spent


CLIENTS: dict[str, Callable[[DevWallet], tuple[Any, Account]]] = {
    "l402-requests": lambda wallet: _l402_requests(l402_requests.L402Client(wallet=AwaitableWallet(wallet))),
    "l402-requests async": lambda wallet: _l402_requests(l402_requests.AsyncL402Client(wallet=AwaitableWallet(wallet))),
    "lightning-enable-mcp": lambda wallet: _lightning_enable(LightningEnable(wallet)),
    "pympp": lambda wallet: (Pympp(wallet), lambda: None),
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
