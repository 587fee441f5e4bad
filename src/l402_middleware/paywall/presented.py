"""The credentials that a request presents: parsed, verified, and, where they can be used again, remembered."""

from typing import Final

from ..core.authorization import parse_authorization
from ..core.credential import Issuer, Verified
from ..core.errors import BadCredential

MAX_REMEMBERED: Final = 4096
MAX_REMEMBERED_BYTES: Final = 1024


class Presented:
    """Reads Authorization fields for one issuer; with another key ring comes another of these.

    A pass or a bundle is shown many times, and its HMAC chain comes out the same each time. So the field of one that
    was found authentic and paid is remembered; its expiry is looked at again each time, and so is everything that
    depends on the request or the ledger.
    """

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._remembered: dict[bytes, Verified] = {}

    def read(self, values: list[bytes], now: float) -> tuple[list[Verified], BadCredential | None]:
        """The verified credentials in raw field values, the first for each payment; and the first other fault."""
        if len(values) == 1 and (remembered := self._remembered.get(values[0])) is not None:
            if remembered.terms.valid_until > now:
                return [remembered], None
            return [], BadCredential("expired")
        try:
            credentials = parse_authorization(values)
        except BadCredential as error:
            return [], error
        fault: BadCredential | None = None
        verified: dict[bytes, Verified] = {}
        for credential in credentials:
            try:
                each = self.issuer.verify(credential, now)
                verified.setdefault(each.payment_hash, each)
            except BadCredential as error:
                fault = fault or error
        if len(values) == len(credentials) == len(verified) == 1 and len(credentials[0].macaroons) == 1:
            self._remember(values[0], *verified.values())
        return list(verified.values()), fault

    def _remember(self, value: bytes, verified: Verified) -> None:
        if verified.terms.uses != 1 and len(value) <= MAX_REMEMBERED_BYTES:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[value] = verified
