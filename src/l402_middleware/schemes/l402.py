"""L402 (bLIP 26): a macaroon and the preimage of its invoice."""

from collections.abc import Sequence
from typing import Final

from ..core.authorization import parse_authorization
from ..core.challenge import Challenge, problem_type
from ..core.credential import Issuer
from ..core.errors import BadCredential
from .scheme import CredentialFault, Fields, Offered, Reading, Sale, SchemeSettings, Shown

MAX_REMEMBERED: Final = 4096
MAX_REMEMBERED_BYTES: Final = 1024

_NOTHING: Final = Reading()


class L402Scheme:
    """L402, in the Authorization field, and in the one that the settings name for credentials.

    A pass or a bundle is shown many times, and its HMAC chain comes out the same each time. So the field of one that
    was found authentic and paid is remembered; its expiry is looked at again each time, and so is everything that
    depends on the request or the ledger.
    """

    name = "l402"

    def __init__(self, settings: SchemeSettings) -> None:
        self.varies_with: Sequence[bytes] = tuple(
            dict.fromkeys((b"Authorization", settings.credential_header.encode()))
        )
        self._fields = frozenset(name.lower() for name in self.varies_with)
        self._issuer = Issuer(settings.service, settings.keys, settings.unknown_caveats)
        self._remembered: dict[bytes, Reading] = {}

    def read(self, fields: Fields, now: float) -> Reading:
        """The credentials in these fields; see `Scheme.read`."""
        values = [value for name, value in fields if name.lower() in self._fields]
        if not values:
            return _NOTHING
        if len(values) == 1 and (remembered := self._remembered.get(values[0])) is not None:
            if remembered.shown[0].verified.terms.valid_until > now:
                return remembered
            return Reading(fault=_fault(BadCredential("expired")))
        try:
            credentials = parse_authorization(values)
        except BadCredential as error:
            return Reading(fault=_fault(error))
        fault: CredentialFault | None = None
        shown: dict[bytes, Shown] = {}
        for credential in credentials:
            try:
                verified = self._issuer.verify(credential, now)
                shown.setdefault(verified.payment_hash, Shown(verified, self))
            except BadCredential as error:
                fault = fault or _fault(error)
        reading = Reading(tuple(shown.values()), fault)
        if len(values) == len(credentials) == len(shown) == 1 and len(credentials[0].macaroons) == 1:
            self._remember(values[0], reading)
        return reading

    def challenge(self, sale: Sale, fields: Fields) -> Offered:
        """A new macaroon over the sale's terms, and the invoice."""
        token = self._issuer.issue(sale.invoice.payment_hash, sale.token_id, sale.terms)
        challenge = Challenge(token, sale.invoice)
        return Offered((challenge.header(),), challenge.members())

    def receipt(self, shown: Shown, now: float) -> Sequence[tuple[bytes, bytes]]:
        """L402 has none."""
        return ()

    def problem_type(self, code: str) -> str:
        """Ours, which says the code again."""
        return problem_type(code)

    def _remember(self, value: bytes, reading: Reading) -> None:
        if reading.shown[0].verified.terms.uses != 1 and len(value) <= MAX_REMEMBERED_BYTES:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[value] = reading


def _fault(error: BadCredential) -> CredentialFault:
    return CredentialFault(error.code, str(error))
