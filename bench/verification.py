"""Verifying a credential, against nothing but its HMAC and SHA-256 calls, and against pymacaroons."""

import hmac
import os
from collections.abc import Iterator
from hashlib import sha256

from pymacaroons import Macaroon, Verifier

from l402_middleware import sats
from l402_middleware.core.authorization import Credential, decode_base64
from l402_middleware.core.binding import endpoint_digest
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Issuer
from l402_middleware.core.keys import KeyRing, generate_key

from .measure import Result, compare

NOW = 1_700_000_000


def results() -> Iterator[Result]:
    """Three caveats, as sold, and eight, as a holder may have narrowed them."""
    keys = KeyRing([generate_key()])
    issuer = Issuer("l402", keys)
    preimage, token_id = os.urandom(32), os.urandom(32)
    terms = Terms(endpoint_digest("GET /"), sats(21), 1, None, NOW + 3600)
    token = issuer.issue(sha256(preimage).digest(), token_id, terms)
    root = hmac.digest(keys.subkeys("macaroon")[0], token_id, "sha256")
    for appended in (0, 5):
        macaroon = Macaroon.deserialize(token.rstrip("="))
        for number in range(appended):
            macaroon.add_first_party_caveat(f"l402_valid_until={NOW + 3000 - number}")
        text = macaroon.serialize()
        credential = Credential((decode_base64(text),), preimage)
        caveats = [caveat.caveat_id_bytes for caveat in macaroon.caveats]

        def ours(credential: Credential = credential) -> None:
            issuer.verify(credential, NOW)

        def bare(messages: list[bytes] = [macaroon.identifier_bytes, *caveats]) -> None:  # noqa: B006 - read only
            key = hmac.digest(root, token_id, "sha256")
            signature = hmac.digest(b"macaroons-key-generator", key, "sha256")
            for message in messages:
                signature = hmac.digest(signature, message, "sha256")
            sha256(preimage).digest()

        def pymacaroons(text: str = text, caveats: list[bytes] = caveats) -> None:
            verifier = Verifier()
            for caveat in caveats:
                verifier.satisfy_exact(caveat.decode())
            verifier.verify(Macaroon.deserialize(text), root)

        count = 3 + appended
        yield compare(f"verify, {count} caveats, against its HMAC and SHA-256 calls", ours, bare, 1.6)
        yield compare(f"verify, {count} caveats, against pymacaroons", ours, pymacaroons, 0.30)
