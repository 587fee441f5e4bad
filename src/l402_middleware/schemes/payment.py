"""The Payment scheme (draft-httpauth-payment-00), method `lightning`, intent `charge` (draft-lightning-charge-00)."""

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from ..core.accept_payment import excludes
from ..core.auth_params import write_challenge
from ..core.challenge import invoice_members
from ..core.charge import ChargeIssuer, can_charge
from ..core.errors import BadCredential
from ..core.payment import CHARGE, METHOD, SCHEME, PaymentReceipt, parse_payment_authorization
from ..core.payment_problems import STATUS, problem_type
from .scheme import CredentialFault, Fields, Offered, Reading, Sale, SchemeSettings, Shown

_NOTHING: Final = Reading()
_NO_BODY: Final = sha256().digest()


class PaymentScheme:
    """Payment, in the one header that the settings name.

    Its unit is the whole sat, and it has no name for the test networks but signet and regtest: what it cannot say is
    sold by the other schemes alone.
    """

    name = SCHEME

    def __init__(self, settings: SchemeSettings) -> None:
        # Not with Accept-Payment: what is sold does not depend on that, and no cache keeps a 402.
        self.varies_with: Sequence[bytes] = (settings.credential_header.encode(),)
        self._field = settings.credential_header.lower().encode()
        # Only where it is not the usual one: three clients of five do not know the parameter.
        self._where = {} if self._field == b"authorization" else {"header": settings.credential_header}
        self._issuer = ChargeIssuer(settings.service, settings.service, settings.keys, settings.unknown_caveats)

    def read(self, fields: Fields, now: float) -> Reading:
        """The credential in the header; see `Scheme.read`. Several are a 400, as the draft has it."""
        values = [value for name, value in fields if name.lower() == self._field]
        # Almost every request is of another scheme: the parser is for those that are of this one.
        if not any(b"payment" in value.lower() for value in values):
            return _NOTHING
        try:
            credentials = parse_payment_authorization(values)
            if not credentials:
                return _NOTHING
            if len(credentials) > 1:
                raise BadCredential("several-credentials")
            verified = self._issuer.verify(credentials[0], now)
        except BadCredential as error:
            return Reading(fault=CredentialFault(error.code, str(error), STATUS.get(error.code)))
        return Reading((Shown(verified, self, credentials[0].challenge.id),))

    def challenge(self, sale: Sale, fields: Fields) -> Offered | None:
        """The sale in a challenge's `id`, over the invoice that the other schemes have too."""
        accepted = [value for name, value in fields if name.lower() == b"accept-payment"]
        if not can_charge(sale.invoice.network, sale.terms.amount) or excludes((METHOD, CHARGE), accepted):
            return None
        digest = None
        if sale.body_digest not in (None, _NO_BODY):
            digest = f"sha-256=:{b64encode(sale.body_digest).decode()}:"
        challenge = self._issuer.issue(sale.invoice, sale.token_id, sale.terms, digest=digest, description=sale.memo)
        line = write_challenge("Payment", challenge.parameters() | self._where)
        return Offered((line,), invoice_members(sale.invoice))

    def receipt(self, shown: Shown, now: float) -> Sequence[tuple[bytes, bytes]]:
        """Payment-Receipt, which names the challenge and the payment."""
        receipt = PaymentReceipt(shown.reference, shown.verified.payment_hash.hex(), int(now))
        return ((b"payment-receipt", receipt.header().encode()),)

    def problem_type(self, code: str) -> str:
        """In the drafts' words."""
        return problem_type(code)
