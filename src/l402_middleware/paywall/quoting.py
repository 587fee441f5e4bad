"""Makes what a request without a payment is offered: the price, the terms, and an invoice."""

import secrets
from collections.abc import Callable
from functools import lru_cache

from ..core.binding import endpoint_digest
from ..core.caveats import Terms
from ..core.errors import Refusal
from ..flow import Flow
from ..invoicing.invoicing import Invoicing, memo_of
from ..invoicing.provider import InvoiceRequest
from ..schemes import Sale
from .body_budget import BodyBudget
from .caller_binding import callers_of
from .limits import ChallengeLimit
from .offer import Offer
from .plaintext_warning import PlaintextWarning
from .pricing import Pricing
from .request import RequestView
from .request_body import body_digest, digest_of

# Endpoints are few, and each has one memo.
_memo_of = lru_cache(maxsize=256)(memo_of)


class Quoting:
    """Quotes. `bodies` is the room for the bodies of unpaid requests, `limit` how many quotes each peer may have."""

    def __init__(
        self,
        service: str,
        invoicing: Invoicing,
        pricing: Pricing,
        *,
        invoice_expiry: int,
        limit: ChallengeLimit | None,
        plaintext_warning: PlaintextWarning,
        bodies: BodyBudget,
        clock: Callable[[], float],
    ) -> None:
        self._service = service
        self._invoicing = invoicing
        self._pricing = pricing
        self._invoice_expiry = invoice_expiry
        self._limit = limit
        self._plaintext_warning = plaintext_warning
        self._bodies = bodies
        self._clock = clock

    def quote(self, request: RequestView, offer: Offer) -> Flow[Sale]:
        """What `request` has to pay for, and the invoice.

        Raises `Refusal` where paying would not help, or not now; `ProviderError` and `RateError` where there is no
        invoice or no rate; and whatever a price function raises.
        """
        self._plaintext_warning.look_at(request)
        if self._limit and (seconds := (yield from self._limit.count(request.peer))):
            raise Refusal(
                429,
                "too-many-challenges",
                "Too many unpaid requests came from this address; pay an invoice that it has, or come again later.",
                retry_after=seconds,
            )
        callers = callers_of(request, offer.bind_caller)
        body = None
        if offer.binds_request:
            # A multipart boundary changes with each send: the client would pay, be refused, and pay again.
            if (request.header("content-type") or "").strip().lower().startswith("multipart/"):
                raise Refusal(
                    415,
                    "multipart-not-supported",
                    "This price is for one exact request, and a multipart body differs each time it is sent; "
                    "send the content itself, or JSON.",
                )
            body = yield from body_digest(request, offer.max_body, self._bodies)
        price = yield from self._pricing.price_of(request, offer)
        amount = price.rounded_up(self._invoicing.granularity_msat)
        memo = _memo_of(offer.memo or f"{self._service}: {request.endpoint_name}")
        invoice = yield from self._invoicing.create(InvoiceRequest(amount, memo, self._invoice_expiry), self._clock())
        terms = Terms(
            endpoint=endpoint_digest(request.endpoint),
            amount=amount,
            uses=offer.uses,
            request=None if body is None else digest_of(request, body),
            valid_until=invoice.expires_at + offer.valid_for,
            callers=callers,
        )
        return Sale(terms, invoice, secrets.token_bytes(32), memo, body)
