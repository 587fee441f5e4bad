"""Makes vectors/golden.json: one exchange with fixed inputs, in every form that goes over the wire.

Run `python tests/core/make_vectors.py` after a change of a wire format that is meant; `test_vectors.py` fails
until then. The file says what clients and stored credentials depend on, so a difference in it is a breaking change.
"""

import hmac
import json
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from l402_middleware.core import bech32
from l402_middleware.core.binding import endpoint_digest, request_digest
from l402_middleware.core.callers import from_networks, with_certificate
from l402_middleware.core.caveats import Caveats, Terms
from l402_middleware.core.challenge import Challenge, problem
from l402_middleware.core.credential import Issuer
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.macaroon import read
from l402_middleware.core.money import msats

GOLDEN = Path(__file__).parent / "vectors" / "golden.json"

SECRET = bytes(range(32))
PREIMAGE = bytes(range(32, 64))
TOKEN_ID = bytes(range(64, 96))
CREATED_AT = 1_700_000_000
VALID_UNTIL = CREATED_AT + 3600 + 3600
CALLERS = from_networks("192.0.2.7,2001:db8::/64") & with_certificate(bytes(range(32, 64)).hex())


def golden() -> dict[str, Any]:
    """Every wire format, made by the exported functions from the inputs that stand beside it."""
    payment_hash = sha256(PREIMAGE).digest()
    amount = msats(21_000)
    request = ("POST", "/convert/caf\u00e9", b"to=pdf&q=%2F", sha256(b"body").digest())
    keys = KeyRing([SECRET])
    endpoint, bound = endpoint_digest("POST /convert/{name}"), request_digest(*request)
    issuer = Issuer("l402", keys)
    sales = {
        "single use": Terms(endpoint, amount, 1, None, VALID_UNTIL),
        "bundle": Terms(endpoint, amount, 20, None, VALID_UNTIL),
        "pass": Terms(endpoint, msats(1), None, None, VALID_UNTIL),
        "one request": Terms(endpoint, amount, 1, bound, VALID_UNTIL),
        "one caller": Terms(endpoint, amount, 1, None, VALID_UNTIL, CALLERS),
    }
    tokens = {name: issuer.issue(payment_hash, TOKEN_ID, terms) for name, terms in sales.items()}
    # The signature of the invoice is zeros: it reads well, and nobody can pay it.
    fields = bytes((1, 1, 20)) + bech32.from_octets(payment_hash)
    invoice = decode(bech32.encode("lnbc210n", bech32.from_number(CREATED_AT, 7) + fields + bytes(104)))
    challenge = Challenge(tokens["single use"], invoice)
    return {
        "inputs": {
            "secret_key": SECRET.hex(),
            "preimage": PREIMAGE.hex(),
            "token_id": TOKEN_ID.hex(),
            "service": "l402",
            "endpoint": "POST /convert/{name}",
            "request": [request[0], request[1], request[2].decode(), request[3].hex()],
            "invoice": invoice.bolt11,
        },
        "endpoint_digest": endpoint,
        "request_digest": bound,
        "sub_key": keys.subkeys("macaroon")[0].hex(),
        "root_key": hmac.digest(keys.subkeys("macaroon")[0], TOKEN_ID, "sha256").hex(),
        "identifier": read(b64decode(tokens["single use"])).identifier.hex(),
        "caveats": {name: Caveats("l402").write(terms) for name, terms in sales.items()},
        "macaroons": {name: b64decode(token).hex() for name, token in tokens.items()},
        "www_authenticate": challenge.header(),
        "body": problem(402, "payment-required", "Payment required.") | challenge.members(),
        "authorization": {name: f"L402 {token}:{PREIMAGE.hex()}" for name, token in tokens.items()},
    }


def text() -> str:
    """The file's content."""
    return json.dumps(golden(), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(text(), encoding="ascii")
