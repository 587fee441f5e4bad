"""The Payment scheme, intent `charge` over Lightning (draft-httpauth-payment-00, draft-lightning-charge-00)."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ..core import payment_problems
from ..core.accept_payment import acceptable
from ..core.auth_params import write_challenge
from ..core.challenge import problem_type
from ..core.charge import ChargeIssuer, can_charge
from ..core.errors import BadCredential
from ..core.payment import CHARGE, METHOD, Receipt, parse_payment_authorization
from .scheme import CredentialFault, Fields, Offered, Reading, Sale, SchemeSettings, Shown

_NOTHING: Final = Reading()
_NO_BODY: Final = sha256(b"").digest()
_USUAL_FIELD: Final = b"Authorization"

# What Accept-Payment chooses from. L402 has no name there, and is offered whatever is asked for; standing here, it
# leaves a client that wants anything but a charge without one, and not without an answer.
_WAYS: Final = ((METHOD, CHARGE), (METHOD, "l402"))


class PaymentScheme:
    """Payment, in the Authorization field, or in Payment-Authorization where the settings say so: then there alone.

    A price that is no whole number of sats, and one on a network that the scheme has no name for, is offered by the
    other schemes alone.
    """

    name = "payment"

    def __init__(self, settings: SchemeSettings) -> None:
        self._issuer = ChargeIssuer(settings.service, settings.service, settings.keys, settings.unknown_caveats)
        self._field = settings.credential_field
        self.varies_with: Sequence[bytes] = (settings.credential_field,)

    def read(self, fields: Fields, now: float) -> Reading:
        """The credential; see `Scheme.read`. The draft allows one in a request."""
        wanted = self._field.lower()
        values = [value for name, value in fields if name.lower() == wanted]
        if not values:
            return _NOTHING
        try:
            credentials = parse_payment_authorization(values)
            if not credentials:
                return _NOTHING
            if len(credentials) > 1:
                raise BadCredential("several-credentials")
            verified = self._issuer.verify(credentials[0], now)
        except BadCredential as error:
            return Reading(fault=CredentialFault(error.code, str(error), payment_problems.STATUS.get(error.code)))
        return Reading((Shown(verified, self, credentials[0].challenge.id),))

    def challenge(self, sale: Sale, fields: Fields) -> Offered | None:
        """A line with the sale in its `id`, and the same invoice as the other schemes' in its `request`."""
        amount = sale.invoice.amount
        if amount is None or not can_charge(sale.invoice.network, amount):
            return None
        wanted = acceptable(_WAYS, [value for name, value in fields if name.lower() == b"accept-payment"])
        if _WAYS[0] not in wanted:
            return None
        digest = None
        # A request without a body has no digest to compare with (RFC 9530).
        if sale.body_digest not in (None, _NO_BODY):
            digest = f"sha-256=:{b64encode(sale.body_digest).decode()}:"
        challenge = self._issuer.issue(
            sale.invoice,
            sale.token_id,
            sale.terms,
            digest=digest,
            description=sale.memo,
        )
        parameters = challenge.parameters()
        if self._field != _USUAL_FIELD:
            parameters["header"] = self._field.decode()
        return Offered((write_challenge("Payment", parameters),), {})

    def receipt(self, shown: Shown, now: float) -> Sequence[tuple[bytes, bytes]]:
        """Payment-Receipt, which names the challenge and the payment hash."""
        receipt = Receipt(shown.reference, shown.verified.payment_hash.hex(), int(now))
        return ((b"payment-receipt", receipt.header().encode()),)

    def problem_type(self, code: str) -> str:
        """The drafts' own, where they have one for it."""
        return payment_problems.problem_type(code) or problem_type(code)
