"""A credential's whole life: issued in a challenge, and verified when it comes back paid.

The identifier inside the macaroon is 66 bytes, big endian (bLIP 26): version 0 (2), payment hash (32),
token id (32 random bytes). The root key of each token is derived from the key ring and its token id, so
issuing one stores nothing.
"""

import hmac
from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

from . import macaroon
from .authorization import Credential
from .caveats import Caveats, Terms, UnknownCaveats
from .errors import BadCredential
from .keys import KeyRing

VERSION = b"\x00\x00"
IDENTIFIER_BYTES = 66


@dataclass(slots=True)
class Verified:
    """A credential that is authentic, paid and unexpired: the payment's hash and the token's id (32 bytes each), and
    what was bought.

    `terms` are what the holder has left of them; `sold_until` is the unix second at which the credential ends
    as it was sold.
    """

    payment_hash: bytes
    token_id: bytes
    terms: Terms
    sold_until: int


class Issuer:
    """Issues and verifies the credentials of one service under one key ring."""

    def __init__(self, service: str, keys: KeyRing, unknown_caveats: UnknownCaveats = "skip") -> None:
        self._caveats = Caveats(service, unknown_caveats)
        self._location = service
        self._raw_location = service.encode()
        self._keys = keys.subkeys("macaroon")
        # Here, at start-up, and not at the top: whoever only imports us does not wait for pymacaroons.
        from .minting import mint  # noqa: PLC0415

        self._mint = mint

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("an Issuer is not pickled: its keys would leave the process")

    def issue(self, payment_hash: bytes, token_id: bytes, terms: Terms) -> str:
        """A token for the payment: a macaroon in V2 binary, in standard base64 with padding."""
        raw = self._mint(
            hmac.digest(self._keys[0], token_id, "sha256"),
            self._location,
            VERSION + payment_hash + token_id,
            self._caveats.write(terms),
        )
        return b64encode(raw).decode()

    def verify(self, credential: Credential, now: float) -> Verified:
        """The payment and the terms behind `credential`, at unix time `now`.

        Every macaroon in it must be ours, the same token attenuated differently. Raises `BadCredential` with the
        code that says which check failed. Whether the terms fit the request and its sender is not checked here.
        """
        first = self._verify(credential.macaroons[0], credential.preimage)
        valid_until = first.terms.valid_until
        for raw in credential.macaroons[1:]:
            other = self._verify(raw, credential.preimage)
            if _sale(other) != _sale(first):
                raise BadCredential("invalid-credential")
            valid_until = min(valid_until, other.terms.valid_until)
            first = replace(first, terms=replace(first.terms, callers=first.terms.callers & other.terms.callers))
        if valid_until <= now:
            raise BadCredential("expired")
        return first

    def _verify(self, raw: bytes, preimage: bytes) -> Verified:
        try:
            parts = macaroon.read(raw)
        except ValueError:
            raise BadCredential("malformed-credential") from None
        identifier = parts.identifier
        if len(identifier) != IDENTIFIER_BYTES or identifier[:2] != VERSION:
            raise BadCredential("malformed-credential")
        # The location is not signed. With one value allowed, nobody can make two tokens out of one.
        if parts.location != self._raw_location:
            raise BadCredential("wrong-service")
        payment_hash, token_id = identifier[2:34], identifier[34:]
        for key in self._keys:
            if macaroon.is_signed_with(hmac.digest(key, token_id, "sha256"), parts):
                break
        else:
            raise BadCredential("invalid-credential")
        if not hmac.compare_digest(sha256(preimage).digest(), payment_hash):
            raise BadCredential("invalid-preimage")
        terms = self._caveats.read(parts.caveats, preimage)
        return Verified(payment_hash, token_id, terms, self._caveats.sold_until(parts.caveats))


def _sale(verified: Verified) -> tuple[object, ...]:
    terms = verified.terms
    return (verified.payment_hash, verified.token_id, terms.endpoint, terms.amount, terms.uses, terms.request)
