"""The paywall: its configuration, and `admit`, the one flow that decides about a request."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

from ..core.binding import endpoint_digest
from ..core.caveats import Caveats, Terms, UnknownCaveats
from ..core.challenge import Challenge, problem
from ..core.credential import Issuer
from ..core.errors import BadCredential, ConfigurationError, LedgerError, ProviderError, RateError, Refusal
from ..core.fiat import Fiat
from ..core.keys import KeyRing, generate_key
from ..flow import Call, Flow, adrive, do, drive
from ..invoicing.function import InvoiceFunction
from ..invoicing.invoicing import Invoicing, memo_of
from ..invoicing.provider import InvoiceRequest, Provider
from ..ledgers import MemoryLedger, ledger_from_url
from ..ledgers.ledger import Ledger
from ..providers.devnode import WALLET_PATH, DevNode
from ..rates import Rates
from ..throttled_log import ThrottledLog
from .body_budget import BodyBudget
from .caller_binding import callers_of, certificate_in_header
from .client_address import ClientAddresses
from .counters import Counters
from .delivery import Delivery, Replay
from .limits import ChallengeLimit
from .offer import Offer, as_amount
from .parameters import check
from .plaintext_warning import PlaintextWarning
from .presented import Presented
from .redemption import Redemption, whole_digest
from .request import RequestView
from .response import Response, json_response, problem_response

Decision: TypeAlias = Delivery | Response


class Paywall:
    """What an application charges with: a source of invoices, a ledger, keys, and the rules that all its routes share.

    - `provider`: a provider from `l402_middleware.providers`, or a function, plain or async, from an
      `InvoiceRequest` to a BOLT 11 invoice (whole sats; say its `network` if it is not "bitcoin"). A list of these
      means `Failover`. One alone is behind the same circuit breaker.
    - `provider_timeout`: seconds in which an invoice is made, or refused with a 503; in a list each provider gets a
      share of them (20).
    - `provider_threads`: threads of a process that may wait for a provider which is slow or hangs (3); fewer than a
      blocking server has, so that those who have paid find one. An event loop needs no such limit.
    - `ledger`: where uses are counted: a ledger, or a URL such as "sqlite:///l402.db". Required, but with `DevNode`.
    - `secret_keys`: secrets of at least 32 bytes, oldest first; `L402_SECRET_KEYS` where not given, and where that is
      not set either, one that the ledger makes and keeps.
    - `service`: the name in every token; applications with the same keys and different services refuse each other's.
    - `invoice_expiry`: seconds in which an invoice can be paid, a year at most.
    - `replay_for`: seconds in which a finished single-use answer is given again to the same request; 0 for never.
    - `replay_max_bytes`: the longest answer that is kept for that.
    - `lease`: seconds after which a use held by a worker that died is free again.
    - `verify_settlement`: ask the backend, once per payment, whether it was received, for those where a preimage can be
      known earlier than that.
    - `invalid_credential_status`: 402, which every client recovers from, or 401, the letter of the specification.
    - `unknown_caveats`: "skip" (the specification) or "reject" those outside our own namespace.
    - `rates`: where exchange rates for fiat prices come from; public sources, which are asked for a fiat price only.
    - `trusted_proxies`: addresses and networks of the proxies in front of the application, whose `forwarded_header`
      ("X-Forwarded-For" or "Forwarded") says who asks; nobody is trusted by default.
    - `certificate_header`: the header in which they hand over their caller's TLS client certificate: RFC 9440's
      "Client-Cert", or any with percent-encoded PEM; none by default.
    - `challenge_limit`: how many unpaid challenges one peer may have, such as "60/minute"; a credential that is good is
      never counted. With `limit_storage`, a URL such as "redis://host:6379/1", processes and machines count together.
    - `spool_bodies`, `spool_bytes`: how many bodies of unpaid requests are kept at a time, and how many bytes of them,
      where a price needs the body; those of paid requests have as much room of their own.
    - `body_seconds`: how long such a body may take, beside a second for every 16 KiB of it.

    Raises `ConfigurationError` for a setting that cannot work. One paywall serves any number of threads, event
    loops and forked workers.
    """

    def __init__(
        self,
        provider: Provider | InvoiceFunction | Sequence[Provider | InvoiceFunction],
        ledger: Ledger | str | None = None,
        *,
        secret_keys: Iterable[str | bytes] | None = None,
        service: str = "l402",
        network: str | None = None,
        provider_timeout: float | None = None,
        provider_threads: int | None = None,
        invoice_expiry: int = 600,
        replay_for: float = 600,
        replay_max_bytes: int = 1024 * 1024,
        lease: float = 60,
        verify_settlement: bool = False,
        invalid_credential_status: Literal[401, 402] = 402,
        unknown_caveats: UnknownCaveats = "skip",
        rates: Rates | None = None,
        trusted_proxies: Iterable[str] = (),
        forwarded_header: str | None = None,
        certificate_header: str | None = None,
        challenge_limit: str | None = None,
        limit_storage: str | None = None,
        spool_bodies: int = 1000,
        spool_bytes: int = 256 * 1024 * 1024,
        body_seconds: float = 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._invoicing = Invoicing(
            provider,
            network,
            verify_settlement=verify_settlement,
            timeout=provider_timeout,
            max_threads=provider_threads,
        )
        self.wallet = next((each for each in self._invoicing.providers if isinstance(each, DevNode)), None)
        self.ledger = _ledger_of(ledger, is_development=self.wallet is not None)
        if not (rates is None or isinstance(rates, Rates)):
            raise ConfigurationError(f"rates must be Rates([...]), not {rates!r}")
        if not callable(clock):
            raise ConfigurationError(f"clock must be a function that gives unix seconds, not {clock!r}")
        if invalid_credential_status not in (401, 402):
            raise ConfigurationError(f"invalid_credential_status must be 401 or 402, not {invalid_credential_status!r}")
        check(
            invoice_expiry=invoice_expiry,
            replay_for=replay_for,
            replay_max_bytes=replay_max_bytes,
            lease=lease,
            spool_bodies=spool_bodies,
            spool_bytes=spool_bytes,
            body_seconds=body_seconds,
            service=service,
            forwarded_header=forwarded_header,
            certificate_header=certificate_header,
            challenge_limit=challenge_limit,
            limit_storage=limit_storage,
        )
        Caveats(service, unknown_caveats)
        self._peers = ClientAddresses(trusted_proxies, forwarded_header, certificate_header)
        self._plaintext_warning = PlaintextWarning(is_behind_proxies=bool(trusted_proxies))
        if limit_storage is not None and challenge_limit is None:
            raise ConfigurationError('limit_storage does nothing without challenge_limit, such as "60/minute"')
        self._limit = (
            None if challenge_limit is None else ChallengeLimit(challenge_limit, limit_storage, service, clock)
        )
        self._service = service
        self._unknown_caveats = unknown_caveats
        self._invoice_expiry = invoice_expiry
        self._invalid_credential_status = invalid_credential_status
        self._rates = Rates(clock=clock) if rates is None else rates
        self._clock = clock
        self._counters = Counters(self.ledger)
        self._spool = BodyBudget(spool_bodies, spool_bytes, body_seconds)
        self._log = ThrottledLog()
        self._redemption = Redemption(
            self.ledger,
            self._invoicing,
            self._counters,
            replay=Replay(replay_for, replay_max_bytes) if replay_for else None,
            lease=lease,
            verify_settlement=verify_settlement,
            spool=BodyBudget(spool_bodies, spool_bytes, body_seconds),
            clock=clock,
        )
        self._credentials: Presented | None = None
        if secret_keys is None and os.environ.get("L402_SECRET_KEYS"):
            secret_keys = [key.strip() for key in os.environ["L402_SECRET_KEYS"].split(",")]
        if secret_keys is not None:
            self._use(KeyRing(secret_keys))
        elif not self.ledger.keeps_keys:
            raise ConfigurationError(
                f"{type(self.ledger).__name__} keeps no secret keys: set L402_SECRET_KEYS or secret_keys=[...], "
                "the same on every machine; `l402 keygen` makes one"
            )

    def admit(self, request: RequestView, offer: Offer) -> Flow[Decision]:
        """Whether `request` has paid for `offer`: a `Delivery` to run the handler under, or the `Response` to give.

        Every failure of a credential, a provider or a ledger becomes a response here, and nothing but those: an
        error of a price function goes through to the caller, and so never to the handler.
        """
        if self._peers.trusts(request.peer):
            # A certificate that the proxy itself shows is not its caller's.
            request.read_certificate = partial(certificate_in_header, request, self._peers.certificate_header)
        request.peer = self._peers.resolve(request.peer, request.headers)
        try:
            return (yield from self._admit(request, offer))
        except Refusal as refusal:
            return problem_response(refusal.status, refusal.code, refusal.title, retry_after=refusal.retry_after)
        except ProviderError as error:
            self._log.log(logging.ERROR, "no invoice, so 503 for %s: %s", request.endpoint_name, error)
            return _unavailable("invoice-unavailable", "No invoice can be made at the moment; nothing was charged.")
        except RateError as error:
            self._log.log(logging.ERROR, "no rate, so 503 for %s: %s", request.endpoint_name, error)
            return _unavailable("rate-unavailable", "The price cannot be said in sats at the moment; try again.")
        except LedgerError as error:
            self._log.log(logging.ERROR, "no ledger, so 503 for %s: %s", request.endpoint_name, error)
            return _unavailable(
                "ledger-unavailable", "Payments cannot be looked up at the moment; yours stays good, try again."
            )

    def _admit(self, request: RequestView, offer: Offer) -> Flow[Decision]:
        credentials = self._credentials or (yield from self._ready())
        verified, fault = credentials.read(request.raw_header("authorization"), self._clock())
        come_again: Response | None = None
        for each in verified:
            try:
                decision = yield from self._redemption.redeem(request, offer, each)
            except BadCredential as error:
                fault = fault or error
                continue
            if isinstance(decision, Delivery) or decision.status != 409:
                return decision
            come_again = decision
        return come_again or (yield from self._challenge(credentials.issuer, request, offer, fault))

    def _challenge(
        self, issuer: Issuer, request: RequestView, offer: Offer, fault: BadCredential | None
    ) -> Flow[Response]:
        self._plaintext_warning.look_at(request)
        if self._limit and (seconds := (yield from self._limit.count(request.peer))):
            raise Refusal(
                429,
                "too-many-challenges",
                "Too many unpaid requests came from this address; pay an invoice that it has, or come again later.",
                retry_after=seconds,
            )
        callers = callers_of(request, offer.bind_caller)
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
            digest = yield from whole_digest(request, offer, self._spool)
        price = offer.price
        if callable(price):
            # What is sold to HEAD is sold to GET.
            asked = replace(request, method="GET") if request.method == "HEAD" else request
            price = as_amount((yield from do(Call(price, asked))))
        if isinstance(price, Fiat):
            price = yield from self._rates.convert(price)
        amount = price.rounded_up(self._invoicing.granularity_msat)
        memo = memo_of(offer.memo or f"{self._service}: {request.endpoint_name}")
        invoice = yield from self._invoicing.create(InvoiceRequest(amount, memo, self._invoice_expiry), self._clock())
        terms = Terms(
            endpoint=endpoint_digest(request.endpoint),
            amount=amount,
            uses=offer.uses,
            request=digest,
            valid_until=invoice.expires_at + offer.valid_for,
            callers=callers,
        )
        challenge = Challenge(issuer.issue(invoice.payment_hash, secrets.token_bytes(32), terms), invoice)
        status, code, title = 402, "payment-required", "Payment required: pay the invoice, then repeat the request."
        if fault is not None:
            status, code, title = self._invalid_credential_status, fault.code, f"{fault} Here is a new challenge."
        if self._counters.add("refused" if fault else "offered", request.endpoint_name, self._clock()):
            yield from self._counters.flush()
        members = problem(status, code, title) | challenge.members()
        return json_response(status, members, [(b"www-authenticate", challenge.header().encode())])

    def _ready(self) -> Flow[Presented]:
        """What reads credentials, once there are keys; the ledger keeps some where none were configured."""
        if self._credentials is None:
            kept = yield from do(self.ledger.keep_key(generate_key()))
            self._use(KeyRing([kept]))
            assert self._credentials is not None
        return self._credentials

    def _use(self, keys: KeyRing) -> None:
        if self._limit:
            self._limit.use_keys(keys)
        if self.wallet is not None:
            self.wallet.use_keys(keys)
        # Last: where another thread sees these, all the others have their keys.
        self._credentials = Presented(Issuer(self._service, keys, self._unknown_caveats))

    def check(self) -> Flow[None]:
        """Open the ledger, and have keys: for an application that must not start without, `drive(paywall.check())`.

        Raises `LedgerError` or `ConfigurationError`, which say what to change.
        """
        yield from self._ready()
        yield from do(self.ledger.revoked())

    def revoke(self, token_id: bytes) -> Flow[None]:
        """Refuse the token with that id (32 bytes) from now on: a pass within 5 seconds, any other at once.

        To revoke everything that a key signed, drop that key.
        """
        yield from do(self.ledger.revoke(token_id))

    def has_wallet_at(self, path: str) -> bool:
        """Whether a request to that path is for the development wallet, and not for the application."""
        return self.wallet is not None and path == WALLET_PATH

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
        drive(self._counters.flush())
        self._invoicing.close()
        self._rates.close()
        self.ledger.close()

    async def aclose(self) -> None:
        """`close`, and the connections of the running event loop too."""
        await adrive(self._counters.flush())
        await self._invoicing.aclose()
        await self._rates.aclose()
        self.close()


def _ledger_of(given: Ledger | str | None, *, is_development: bool) -> Ledger:
    if given is None and is_development:
        return MemoryLedger()
    if given is None:
        raise ConfigurationError(
            'Paywall needs a ledger, which counts the uses of each payment: ledger="sqlite:///l402.db" '
            "(or the setting L402_LEDGER) serves several workers on one machine, MemoryLedger() one process"
        )
    if isinstance(given, str):
        return ledger_from_url(given)
    if isinstance(given, type) or not hasattr(given, "keeps_keys"):
        what = f"the class {given.__name__} itself" if isinstance(given, type) else type(given).__name__
        raise ConfigurationError(f'ledger must be a ledger, or a URL such as "sqlite:///l402.db", not {what}')
    return given


def _unavailable(code: str, title: str) -> Response:
    return problem_response(503, code, title, retry_after=5)
