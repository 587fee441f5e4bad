"""The one flow that decides about a request: every failure of a credential, a backend or a ledger is a verdict here."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from .. import events
from ..core.errors import (
    BadCredential,
    ConfigurationError,
    L402Error,
    LedgerError,
    ProviderError,
    RateError,
    Refusal,
)
from ..flow import Flow
from ..schemes import CredentialFault, Scheme, Shown
from ..throttled_log import ThrottledLog
from .caller_binding import certificate_in_header
from .client_address import ClientAddresses
from .doors import Doors
from .observers import Observers
from .offer import Offer
from .quoting import Quoting
from .redemption import Redemption
from .request import RequestView
from .verdict import Admitted, Refused, Replayed, Unspent, Verdict, from_refusal

# What an operator reads of each failure, and what its caller is told.
_FAILED: Final[dict[type[L402Error], tuple[str, Refused]]] = {
    ProviderError: (
        "no invoice",
        Refused(
            503, "invoice-unavailable", "No invoice can be made at the moment; nothing was charged.", retry_after=5
        ),
    ),
    RateError: (
        "no rate",
        Refused(503, "rate-unavailable", "The price cannot be said in sats at the moment; try again.", retry_after=5),
    ),
    LedgerError: (
        "no ledger",
        Refused(
            503,
            "ledger-unavailable",
            "Payments cannot be looked up at the moment; yours stays good, try again.",
            retry_after=5,
        ),
    ),
}


class Admission:
    """Decides about requests: `doors` read what they show, `redemption` honours it, `quoting` asks for payment.

    `invalid_credential_status` is the status of a challenge to somebody whose credential was no good.
    """

    def __init__(
        self,
        addresses: ClientAddresses,
        doors: Doors,
        redemption: Redemption,
        quoting: Quoting,
        observers: Observers,
        *,
        invalid_credential_status: int,
        clock: Callable[[], float],
    ) -> None:
        self._addresses = addresses
        self._doors = doors
        self._redemption = redemption
        self._quoting = quoting
        self._observers = observers
        self._invalid_credential_status = invalid_credential_status
        self._clock = clock
        self._log = ThrottledLog()

    def decide(self, request: RequestView, offer: Offer) -> Flow[Verdict]:
        """What becomes of `request`.

        Only an error of a price function goes through to the caller, and so never to the handler.
        """
        if self._addresses.trusts(request.peer):
            # A certificate that the proxy itself shows is not its caller's.
            request.read_certificate = partial(certificate_in_header, request, self._addresses.certificate_header)
        request.peer = self._addresses.resolve(request.peer, request.headers)
        verdict: Refused | None = None
        try:
            if not self._doors.has_all_keys:
                yield from self._doors.open()
            credentials, fault, scheme = self._doors.read(request.headers, self._clock())
            for shown in credentials:
                try:
                    each = yield from self._redemption.redeem(request, offer, shown)
                except BadCredential as error:
                    if fault is None:
                        fault, scheme = CredentialFault(error.code, str(error)), shown.scheme
                    continue
                if not isinstance(each, Refused):
                    self._tell(request, shown, each)
                    return each
                verdict = verdict or each
            # Somebody who has paid is not asked to pay again because of something that lies with us.
            if verdict is None:
                verdict = yield from self._challenge(request, offer, fault, scheme)
        except (Refusal, ProviderError, RateError, LedgerError) as error:
            verdict = self._refused(request, error)
        if not verdict.offers:
            self._observers.tell(events.Refused, self._clock(), request.endpoint_name, verdict.status, verdict.code)
        return verdict

    def _refused(self, request: RequestView, error: L402Error) -> Refused:
        if isinstance(error, Refusal):
            return from_refusal(error)
        what, verdict = next(told for kind, told in _FAILED.items() if isinstance(error, kind))
        self._log.log(logging.ERROR, f"{what}, so 503 for %s: %s", request.endpoint_name, error)
        return verdict

    def _challenge(
        self, request: RequestView, offer: Offer, fault: CredentialFault | None, scheme: Scheme
    ) -> Flow[Refused]:
        if fault is not None and fault.status is not None:
            return Refused(fault.status, fault.code, fault.title, scheme.problem_type(fault.code))
        sale = yield from self._quoting.quote(request, offer)
        # Who wants none of the schemes is offered all of them: there is no other way to pay.
        offers = self._doors.offer(sale, request.headers) or self._doors.offer(sale, ())
        if not offers:
            raise ConfigurationError(
                f"{request.endpoint_name} cannot be sold: none of the schemes can say {sale.terms.amount}"
            )
        self._observers.tell(
            events.Challenged,
            self._clock(),
            request.endpoint_name,
            sale.invoice.payment_hash.hex(),
            sale.terms.amount.msat,
            fault.code if fault else None,
            tuple(offers),
        )
        status, code, title = 402, "payment-required", "Payment required: pay the invoice, then repeat the request."
        if fault is not None:
            status, code, title = self._invalid_credential_status, fault.code, f"{fault.title} Here is a new challenge."
        return Refused(status, code, title, scheme.problem_type(code), offers=tuple(offers.values()))

    def _tell(self, request: RequestView, shown: Shown, verdict: Admitted | Replayed | Unspent) -> None:
        if isinstance(verdict, Replayed):
            payment_hash = shown.verified.payment_hash.hex()
            self._observers.tell(events.Replayed, self._clock(), request.endpoint_name, payment_hash, shown.scheme.name)
            return
        if isinstance(verdict, Unspent):
            return
        payment = verdict.delivery.payment
        # What holds a use is counted by the ledger.
        if payment.uses_left is None or self._observers.anybody:
            self._observers.tell(
                events.Admitted,
                self._clock(),
                request.endpoint_name,
                payment.payment_hash,
                payment.amount.msat,
                payment.uses_left,
                shown.scheme.name,
            )
