"""The paywall: its configuration, and `admit`, the one flow that decides about a request."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

from ..core.authorization import parse_authorization
from ..core.binding import endpoint_digest, request_digest
from ..core.caveats import Caveats, Terms, UnknownCaveats
from ..core.challenge import Challenge, problem
from ..core.credential import Issuer, Verified
from ..core.errors import BadCredential, ConfigurationError, LedgerError, ProviderError, Refusal
from ..core.keys import KeyRing, generate_key
from ..flow import Call, Flow, do
from ..ledgers import MemoryLedger, ledger_from_url
from ..ledgers.ledger import Busy, Claim, Held, Kept, Ledger, Spent
from ..providers.devnode import DevNode
from ..providers.provider import InvoiceRequest, Provider
from .delivery import Delivery, Payment, Replay
from .holds import Holds
from .invoicing import InvoiceFunction, Invoicing, memo_of
from .offer import Offer, as_amount
from .request import RequestView
from .response import Response, json_response, problem_response, unpack

Decision: TypeAlias = Delivery | Response

# How long after its credential's end a payment is remembered, in seconds: clocks are moved back by hours, not days.
MEMORY = 24 * 3600

# The largest number that a setting may have: ten years in seconds, or a third of a gigabyte.
MAX_SETTING = 10 * 365 * 24 * 3600

log = logging.getLogger("l402_middleware")


class Paywall:
    """What an application charges with: a source of invoices, a ledger, keys, and the rules that all its routes share.

    - `provider`: a provider from `l402_middleware.providers`, or a function, plain or async, from an
      `InvoiceRequest` to a BOLT 11 invoice (whole sats; say its `network` if it is not "bitcoin").
    - `ledger`: where uses are counted: a ledger, or a URL such as "sqlite:///l402.db". Required, but with `DevNode`.
    - `secret_keys`: secrets of at least 32 bytes, oldest first; `L402_SECRET_KEYS` where not given, and where that is
      not set either, one that the ledger makes and keeps.
    - `service`: the name in every token; applications with the same keys and different services refuse each other's.
    - `invoice_expiry`: seconds in which an invoice can be paid.
    - `replay_for`: seconds in which a finished single-use answer is given again to the same request; 0 for never.
    - `replay_max_bytes`: the longest answer that is kept for that.
    - `lease`: seconds after which a use held by a worker that died is free again.
    - `invalid_credential_status`: 402, which every client recovers from, or 401, the letter of the specification.
    - `unknown_caveats`: "skip" (the specification) or "reject" those outside our own namespace.

    Raises `ConfigurationError` for a setting that can not work. One paywall serves any number of threads, event
    loops and forked workers.
    """

    def __init__(
        self,
        provider: Provider | InvoiceFunction,
        ledger: Ledger | str | None = None,
        *,
        secret_keys: Iterable[str | bytes] | None = None,
        service: str = "l402",
        network: str | None = None,
        invoice_expiry: int = 600,
        replay_for: float = 600,
        replay_max_bytes: int = 1024 * 1024,
        lease: float = 60,
        invalid_credential_status: Literal[401, 402] = 402,
        unknown_caveats: UnknownCaveats = "skip",
        clock: Callable[[], float] = time.time,
    ) -> None:
        if ledger is None:
            if not isinstance(provider, DevNode):
                raise ConfigurationError(
                    'Paywall needs a ledger, which counts the uses of each payment: ledger="sqlite:///l402.db" '
                    "serves several workers on one machine, MemoryLedger() a single process"
                )
            ledger = MemoryLedger()
        if invalid_credential_status not in (401, 402):
            raise ConfigurationError(f"invalid_credential_status must be 401 or 402, not {invalid_credential_status!r}")
        for name, value, least in (
            ("invoice_expiry", invoice_expiry, 1),
            ("replay_for", replay_for, 0),
            ("replay_max_bytes", replay_max_bytes, 0),
            ("lease", lease, 1),
        ):
            kind = int | float if name in ("replay_for", "lease") else int
            if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= MAX_SETTING:
                raise ConfigurationError(f"{name} must be a number from {least} to {MAX_SETTING}, not {value!r}")
        Caveats(service, unknown_caveats)
        self.ledger = ledger_from_url(ledger) if isinstance(ledger, str) else ledger
        self.wallet = provider if isinstance(provider, DevNode) else None
        self._invoicing = Invoicing(provider, network)
        self._service = service
        self._unknown_caveats = unknown_caveats
        self._invoice_expiry = invoice_expiry
        self._replay = Replay(replay_for, replay_max_bytes) if replay_for else None
        self._lease = lease
        self._invalid_credential_status = invalid_credential_status
        self._clock = clock
        self._holds = Holds(self.ledger, lease, clock)
        self._issuer: Issuer | None = None
        if secret_keys is None and os.environ.get("L402_SECRET_KEYS"):
            secret_keys = [key.strip() for key in os.environ["L402_SECRET_KEYS"].split(",")]
        if secret_keys is not None:
            self._use(KeyRing(secret_keys))

    def admit(self, request: RequestView, offer: Offer) -> Flow[Decision]:
        """Whether `request` has paid for `offer`: a `Delivery` to run the handler under, or the `Response` to give.

        Every failure of a credential, a provider or a ledger becomes a response here, and nothing but those: an
        error of a price function goes through to the caller, and so never to the handler.
        """
        try:
            return (yield from self._admit(request, offer))
        except Refusal as refusal:
            return problem_response(refusal.status, refusal.code, refusal.title)
        except ProviderError as error:
            log.error("no invoice, so 503 for %s: %s", request.endpoint, error)
            return _unavailable("invoice-unavailable", "No invoice can be made at the moment; nothing was charged.")
        except LedgerError as error:
            log.error("no ledger, so 503 for %s: %s", request.endpoint, error)
            return _unavailable(
                "ledger-unavailable", "Payments can not be looked up at the moment; yours stays good, try again."
            )

    def _admit(self, request: RequestView, offer: Offer) -> Flow[Decision]:
        issuer = yield from self._ready()
        fault: BadCredential | None = None
        busy = False
        try:
            credentials = parse_authorization(request.raw_header("authorization"))
        except BadCredential as error:
            credentials, fault = [], error
        for credential in credentials:
            try:
                verified = issuer.verify(credential, self._clock())
                decision = yield from self._redeem(request, offer, verified)
            except BadCredential as error:
                fault = fault or error
                continue
            if decision is not None:
                return decision
            busy = True
        if busy:
            return problem_response(
                409, "in-use", "A request with this credential still runs; repeat this one shortly.", retry_after=1
            )
        return (yield from self._challenge(issuer, request, offer, fault))

    def _redeem(self, request: RequestView, offer: Offer, verified: Verified) -> Flow[Decision | None]:
        """The decision about an authentic credential; None where all its uses are held by running requests."""
        terms = verified.terms
        if terms.endpoint != endpoint_digest(request.endpoint):
            raise BadCredential("wrong-endpoint")
        if terms.request is not None and terms.request != (yield from self._digest(request, offer)):
            raise BadCredential("wrong-request")
        payment_hash = verified.payment_hash
        if terms.uses is None:
            return Delivery(Payment(payment_hash.hex(), terms.amount, None), offer.charge_if, self._holds, None, None)
        now = self._clock()
        claim = Claim(
            payment_hash=payment_hash,
            hold_id=secrets.token_bytes(16),
            uses=terms.uses,
            # Without its body, where the sale is not bound to it: the handler may stream it.
            request=(terms.request or _digest_without_body(request)).encode(),
            endpoint=request.endpoint,
            msat=terms.amount.msat,
            now=now,
            lease_until=now + self._lease,
            forget_at=terms.valid_until + MEMORY,
        )
        outcome, hold = yield from self._holds.take(claim)
        match outcome:
            case Held(uses_left):
                payment = Payment(payment_hash.hex(), terms.amount, uses_left)
                return Delivery(payment, offer.charge_if, self._holds, hold, self._replay if terms.uses == 1 else None)
            case Busy():
                return None
            case Spent():
                raise BadCredential("already-used")
            case Kept(answer):
                return (yield from self._again(request, offer, answer))

    def _again(self, request: RequestView, offer: Offer, answer: bytes) -> Flow[Response]:
        response, body_digest = unpack(answer)
        if body_digest is not None and body_digest != (yield from self._body_digest(request, offer)):
            raise BadCredential("already-used")
        return response

    def _challenge(
        self, issuer: Issuer, request: RequestView, offer: Offer, fault: BadCredential | None
    ) -> Flow[Response]:
        digest = None
        if offer.binds_request:
            # A multipart boundary changes with each send: the client would pay, be refused, and pay again.
            if (request.header("content-type") or "").strip().lower().startswith("multipart/"):
                raise Refusal(
                    415,
                    "multipart-not-supported",
                    "This price is for one exact request, and a multipart body differs each time it is sent; "
                    "send the content itself, or JSON.",
                )
            digest = yield from self._digest(request, offer)
        price = offer.price
        if callable(price):
            price = as_amount((yield from do(Call(price, request))))
        amount = price.rounded_up(self._invoicing.granularity_msat)
        memo = memo_of(offer.memo or f"{self._service}: {request.endpoint}")
        invoice = yield from self._invoicing.create(InvoiceRequest(amount, memo, self._invoice_expiry), self._clock())
        terms = Terms(
            endpoint=endpoint_digest(request.endpoint),
            amount=amount,
            uses=offer.uses,
            request=digest,
            valid_until=invoice.expires_at + offer.valid_for,
        )
        challenge = Challenge(issuer.issue(invoice.payment_hash, secrets.token_bytes(32), terms), invoice)
        status, code, title = 402, "payment-required", "Payment required: pay the invoice, then repeat the request."
        if fault is not None:
            status, code, title = self._invalid_credential_status, fault.code, f"{fault} Here is a new challenge."
        members = problem(status, code, title) | challenge.members()
        return json_response(status, members, [(b"www-authenticate", challenge.header().encode())])

    def _body_digest(self, request: RequestView, offer: Offer) -> Flow[bytes]:
        if request.body is None:
            request.body = yield from do(request.read_body(offer.max_body))
        return request.body.digest

    def _digest(self, request: RequestView, offer: Offer) -> Flow[str]:
        body_digest = yield from self._body_digest(request, offer)
        return request_digest(request.method, request.path, request.query_string, body_digest)

    def _ready(self) -> Flow[Issuer]:
        """The issuer, once there are keys; the ledger keeps some where none were configured."""
        if self._issuer is None:
            kept = yield from do(self.ledger.keep_key(generate_key()))
            self._use(KeyRing([kept]))
            assert self._issuer is not None
        return self._issuer

    def _use(self, keys: KeyRing) -> None:
        self._issuer = Issuer(self._service, keys, self._unknown_caveats)
        if self.wallet is not None:
            self.wallet.use_keys(keys)

    def answer_wallet(
        self, method: str, query: str, peer: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> Flow[Response]:
        """The development wallet's answer to a request on its path."""
        assert self.wallet is not None
        if method not in ("GET", "HEAD"):
            return problem_response(405, "method-not-allowed", "The development wallet answers GET.")
        yield from self._ready()
        status, members = self.wallet.answer_wallet(query, peer, headers)
        return json_response(status, dict(members))

    def close(self) -> None:
        """Give up the ledger's files and the blocking connections. Using the paywall again opens them again."""
        self._invoicing.close()
        self.ledger.close()

    async def aclose(self) -> None:
        """`close`, and the connections of the running event loop too."""
        await self._invoicing.aclose()
        self.close()


def _digest_without_body(request: RequestView) -> str:
    return request_digest(request.method, request.path, request.query_string, b"")


def _unavailable(code: str, title: str) -> Response:
    return problem_response(503, code, title, retry_after=5)
