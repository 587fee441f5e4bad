"""The paywall: its configuration, and how its parts are put together."""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, TypeAlias

from ..core.caveats import Caveats, UnknownCaveats
from ..core.errors import ConfigurationError, ProviderFault
from ..core.keys import KeyRing
from ..events import ProviderAsked
from ..flow import Flow, adrive, do, drive
from ..invoicing.function import InvoiceFunction
from ..invoicing.invoicing import Invoicing
from ..invoicing.provider import Provider
from ..ledgers import MemoryLedger, ledger_from_url
from ..ledgers.ledger import Ledger
from ..providers.devnode import WALLET_PATH, DevNode
from ..rates import Rates
from ..schemes import SchemeSettings
from ..schemes.registry import names_in_order
from .admission import Admission
from .body_budget import BodyBudget
from .client_address import ClientAddresses
from .cors import Cors
from .counters import Counters
from .delivery import Delivery, Replay
from .doors import Doors
from .limits import ChallengeLimit
from .observers import Observer, Observers
from .offer import Offer
from .parameters import check
from .plaintext_warning import PlaintextWarning
from .pricing import Pricing
from .quoting import Quoting
from .redemption import Redemption
from .rendering import render
from .request import RequestView
from .response import Response, json_response
from .service import Service
from .verdict import Admitted, Refused, Replayed, Unspent

Decision: TypeAlias = Delivery | Response
"""What an adapter gets: the delivery to run the handler under, or the answer to give."""


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
    - `price_threads`: threads of a process that may compute prices which take longer than a quarter of a second (3).
      On an event loop, plain price functions run in these threads only.
    - `schemes`: the ways in which a caller can pay and show it, by name: "l402" and "payment".
    - `credential_header`: "Payment-Authorization" where the application has an Authorization of its own: Payment
      credentials then come there only, L402's there too.
    - `cors`: the origins, such as "https://shop.example", whose pages' scripts may read a 402, and the answer that they
      paid for; "*" for all. Preflights for what is sold are answered then, free of charge.
    - `discovery`: a `Service`: what the service is. With it the application serves documents of what it sells, free of
      charge: OpenAPI, /.well-known/l402-services and llms.txt.
    - `observe`: a plain function, or a list of them, that is told of each of `l402_middleware.events`, in the request's
      own thread or event loop: it has to be quick.

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
        price_threads: int = 3,
        schemes: Iterable[str] = ("l402", "payment"),
        credential_header: str = "Authorization",
        cors: Literal["*"] | Iterable[str] | None = None,
        discovery: Service | None = None,
        observe: Observer | Iterable[Observer] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        observers = Observers(observe)

        def told(provider: str, seconds: float, fault: ProviderFault | None) -> None:
            observers.tell(ProviderAsked, clock(), provider, seconds, fault)

        self._invoicing = Invoicing(
            provider,
            network,
            verify_settlement=verify_settlement,
            timeout=provider_timeout,
            max_threads=provider_threads,
            told=told if observers.anybody else None,
        )
        self.wallet = next((each for each in self._invoicing.providers if isinstance(each, DevNode)), None)
        self.wallet_path = None if self.wallet is None else WALLET_PATH
        """The path below the mount to which requests are for the development wallet, and not for the application."""
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
            price_threads=price_threads,
            service=service,
            forwarded_header=forwarded_header,
            certificate_header=certificate_header,
            challenge_limit=challenge_limit,
            limit_storage=limit_storage,
            credential_header=credential_header,
        )
        Caveats(service, unknown_caveats)
        self.cors = None if cors is None else Cors(cors)
        if not (discovery is None or isinstance(discovery, Service)):
            raise ConfigurationError(f'discovery must be Service("a name", ...), not {discovery!r}')
        self.discovery = discovery
        self.schemes = names_in_order(schemes)
        """The ways in which a caller can pay, by name."""
        addresses = ClientAddresses(trusted_proxies, forwarded_header, certificate_header)
        if limit_storage is not None and challenge_limit is None:
            raise ConfigurationError('limit_storage does nothing without challenge_limit, such as "60/minute"')
        self._limit = (
            None
            if challenge_limit is None
            else ChallengeLimit(challenge_limit, limit_storage, service, clock, has_crawlers=discovery is not None)
        )
        self._rates = Rates(clock=clock) if rates is None else rates
        self._counters = Counters(self.ledger)
        observers.listen(self._counters, *Counters.KINDS)
        self.schemes = names_in_order(schemes)
        self._doors = Doors(
            self.schemes,
            self.ledger,
            secret_keys,
            lambda keys: SchemeSettings(service, keys, self._invoicing.network, unknown_caveats, credential_header),
            self._use_keys,
        )
        room = partial(BodyBudget, spool_bodies, spool_bytes, body_seconds)
        self._admission = Admission(
            addresses,
            self._doors,
            Redemption(
                self.ledger,
                self._invoicing,
                self._doors,
                observers,
                replay=Replay(replay_for, replay_max_bytes),
                lease=lease,
                verify_settlement=verify_settlement,
                bodies=room(),
                bodies_again=room(),
                clock=clock,
            ),
            Quoting(
                service,
                self._invoicing,
                Pricing(self._rates, observers, price_threads, clock),
                invoice_expiry=invoice_expiry,
                limit=self._limit,
                plaintext_warning=PlaintextWarning(is_behind_proxies=bool(trusted_proxies)),
                bodies=room(),
                clock=clock,
            ),
            observers,
            invalid_credential_status=invalid_credential_status,
            clock=clock,
        )

    def admit(self, request: RequestView, offer: Offer) -> Flow[Decision]:
        """Whether `request` has paid for `offer`: a `Delivery` to run the handler under, or the `Response` to give.

        Every failure of a credential, a provider or a ledger becomes a response here, and nothing but those: an
        error of a price function goes through to the caller, and so never to the handler.
        """
        verdict = yield from self._admission.decide(request, offer)
        if isinstance(verdict, Admitted):
            if self.cors is not None:
                verdict.delivery.cors = self.cors.fields(request.headers)
            return verdict.delivery
        if isinstance(verdict, Replayed | Unspent):
            answer = verdict.answer
        else:
            answer = render(verdict, request.header("accept"), self._doors.varies_with)
        if self.cors is not None:
            self.cors.add_to(answer, request.headers)
        return answer

    def _use_keys(self, keys: KeyRing) -> None:
        if self._limit:
            self._limit.use_keys(keys)
        if self.wallet is not None:
            self.wallet.use_keys(keys)

    def check(self) -> Flow[None]:
        """Open the ledger, and have keys: for an application that must not start without, `drive(paywall.check())`.

        Raises `LedgerError` or `ConfigurationError`, which say what to change.
        """
        if not self._doors.has_all_keys:
            yield from self._doors.open()
        yield from do(self.ledger.revoked())

    def revoke(self, token_id: bytes) -> Flow[None]:
        """Refuse the token with that id (32 bytes) from now on: a pass within 5 seconds, any other at once.

        To revoke everything that a key signed, drop that key.
        """
        yield from do(self.ledger.revoke(token_id))

    def answer_wallet(
        self, method: str, query: str, peer: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> Flow[Response]:
        """The development wallet's answer to a request on its path."""
        assert self.wallet is not None
        if method not in ("GET", "HEAD"):
            return render(Refused(405, "method-not-allowed", "The development wallet answers GET."))
        if not self._doors.has_all_keys:
            yield from self._doors.open()
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
