"""Lightning Address and LNURL-pay: invoices from whatever wallet service the operator has an address at.

LUD-06 (pay request), LUD-12 (comment), LUD-16 (Lightning Address), LUD-17 (lnurlp://) and LUD-21 (verify). No key and
no account: anybody may ask the service for an invoice. It is the service that chooses everybody's next address, so
every request goes through `GuardedTransport`.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2

from ..core.errors import ConfigurationError, InvalidInvoice, ProviderError
from ..core.invoice import decode
from ..core.money import msats
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest, check_network
from ..outgoing.guard import GuardedTransport
from .answer import members, settled
from .lnurl import PayRequest, pay_url

# A service changes its callback and its limits rarely: within a minute, a challenge costs one request instead of two.
PAY_REQUEST_SECONDS = 60


@dataclass(unsafe_hash=True)
class LightningAddress:
    """A Lightning Address (`user@domain`), or an LNURL for paying in any form: `lnurl1...`, `lnurlp://...`, its URL.

    Invoices are over whole sats, and the service alone says when they expire; the paywall's memo goes along as the
    comment, as far as the service takes one. Nobody can be asked whether a payment has arrived: for that use
    `VerifiableLightningAddress`. `timeout` is in seconds, for each request. Hosts in `allow_private_hosts` (without a
    port) may have a private address, any port, and http on this machine.

    Raises `ConfigurationError` for what is no address.
    """

    address: str
    network: str = "bitcoin"
    _: KW_ONLY
    timeout: float = 20.0
    allow_private_hosts: Collection[str] = ()
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    granularity_msat: int = field(default=1000, init=False)
    _url: str = field(init=False, repr=False, compare=False)
    _http: GuardedTransport = field(init=False, repr=False, compare=False)
    _pay_request: tuple[float, PayRequest] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_network(type(self).__name__, self.network)
        if isinstance(self.allow_private_hosts, str):
            raise ConfigurationError(f"{type(self).__name__}: allow_private_hosts must be a collection of host names")
        self.allow_private_hosts = frozenset(host.lower() for host in self.allow_private_hosts)
        self._url = self._resolved()
        self._http = GuardedTransport(self.timeout, self.allow_private_hosts)

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """LUD-06: the pay request, remembered for a minute, and then its callback with the amount."""
        return CreatedInvoice(_bolt11(self.address, (yield from self._invoice(request))))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _invoice(self, request: InvoiceRequest) -> Flow[dict[str, Any]]:
        pay_request = yield from self._known_pay_request()
        if not pay_request.least <= request.amount.msat <= pay_request.most:
            raise ProviderError(
                "rejected",
                f"{self.address} takes from {pay_request.least} to {pay_request.most} msat at a time, and "
                f"{request.amount} was asked for: change the price, or the wallet's limits",
            )
        query = {"amount": str(request.amount.msat)}
        comment = request.memo[: pay_request.comment]
        if comment:
            query["comment"] = comment
        try:
            return (yield from self._asked(_with_query(pay_request.callback, query)))
        except ProviderError:
            # Perhaps the callback has moved.
            self._pay_request = None
            raise

    def _known_pay_request(self) -> Flow[PayRequest]:
        # Read once: another thread, whose callback fails, forgets it meanwhile.
        known = self._pay_request
        if known is not None and self.clock() < known[0]:
            return known[1]
        found = yield from self._asked(self._url)
        try:
            pay_request = PayRequest.of(found)
        except ValueError:
            # Not even the cause: it quotes the answer.
            raise ProviderError(
                "bad-answer", f"{self.address}: the answer is no LNURL pay request; is it an address for paying?"
            ) from None
        self._pay_request = (self.clock() + PAY_REQUEST_SECONDS, pay_request)
        return pay_request

    def _asked(self, url: str) -> Flow[dict[str, Any]]:
        """The members of an answer that is not LUD-06's error, which comes at HTTP 200."""
        answer = yield from self._http.get(url)
        self._check_status(answer)
        found = members(self.address, answer)
        if str(found.get("status")).upper() == "ERROR":
            raise self._refused()
        return found

    def _check_status(self, answer: httpx2.Response) -> None:
        if answer.status_code in (401, 403):
            raise ProviderError(
                "unauthorized", f"{self.address}: the wallet service turned us away (HTTP {answer.status_code})"
            )
        if answer.status_code != 200:
            raise self._refused(f" (HTTP {answer.status_code})")

    def _refused(self, status: str = "") -> ProviderError:
        return ProviderError(
            "rejected",
            f"the wallet service of {self.address} makes no invoice{status}; does that user exist there, "
            "and is receiving switched on?",
        )

    def _resolved(self) -> str:
        """The URL of the pay request."""
        try:
            return pay_url(self.address, self.allow_private_hosts)
        except (ValueError, AttributeError):
            raise ConfigurationError(
                f"{type(self).__name__}: {self.address!r} is neither a Lightning Address such as alice@wallet.example "
                "nor an LNURL (http is for .onion, and for this machine)"
            ) from None


@dataclass(unsafe_hash=True)
class VerifiableLightningAddress(LightningAddress):
    """A `LightningAddress` whose service also tells which invoices were paid (LUD-21), for `verify_settlement=True`.

    Nothing is stored, so the address to ask at has to follow from the payment hash: an invoice whose `verify` URL does
    not contain that is refused with a `ProviderError`, before anybody has paid it.
    """

    _verify: tuple[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """As a `LightningAddress` does; and the invoice can be asked after."""
        answer = yield from self._invoice(request)
        bolt11, verify = _bolt11(self.address, answer), answer.get("verify")
        try:
            payment_hash = decode(bolt11).payment_hash
        except InvalidInvoice as error:
            raise ProviderError("wrong-invoice", f"{self.address}: the invoice cannot be read: {error}") from None
        if not isinstance(verify, str) or verify.count(payment_hash.hex()) != 1:
            raise ProviderError(
                "bad-answer",
                f"the wallet service of {self.address} cannot be asked whether an invoice was paid (LUD-21, with the "
                "payment hash in the address): use LightningAddress, and do without verify_settlement",
            )
        before, _, after = verify.partition(payment_hash.hex())
        self._verify = (before, after)
        return CreatedInvoice(bolt11, payment_hash)

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """LUD-21: whether the service has received this payment; one it does not know, it has not.

        A process that has had no invoice yet asks for the smallest one, to learn where to ask.
        """
        if self._verify is None:
            smallest = (yield from self._known_pay_request()).least
            yield from self.create_invoice(InvoiceRequest(msats(smallest).rounded_up(self.granularity_msat), "", 60))
        assert self._verify is not None
        answer = yield from self._http.get(payment_hash.hex().join(self._verify))
        if answer.status_code == 404:
            return False
        self._check_status(answer)
        found = members(self.address, answer)
        if str(found.get("status")).upper() == "ERROR":
            return False
        return settled(self.address, found.get("settled"))


def _bolt11(address: str, answer: dict[str, Any]) -> str:
    bolt11 = answer.get("pr")
    if not isinstance(bolt11, str):
        raise ProviderError("bad-answer", f"{address}: the wallet service answered without an invoice")
    return bolt11


def _with_query(url: str, query: dict[str, str]) -> str:
    """`url` with parameters after its own, which stay as they are: the service knows its users by them."""
    parsed = httpx2.URL(url)
    merged = "&".join(filter(None, (parsed.query.decode("ascii"), urlencode(query))))
    return str(parsed.copy_with(query=merged.encode("ascii"), fragment=None))
