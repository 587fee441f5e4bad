"""What is wrong with a Payment credential, in the drafts' words: the `type` that stands beside our `code`.

draft-lightning-charge-00, "Error Responses", where it has a word; draft-httpauth-payment-00, "Error Codes", otherwise.
"""

from collections.abc import Mapping
from typing import Final

_BASE: Final = "https://paymentauth.org/problems/"

_TYPES: Final = {
    "payment-required": "payment-required",
    "malformed-credential": "lightning/malformed-credential",
    "several-credentials": "malformed-credential",
    "method-unsupported": "method-unsupported",
    "invalid-credential": "lightning/unknown-challenge",
    "wrong-service": "lightning/unknown-challenge",
    "already-used": "lightning/unknown-challenge",
    "revoked": "invalid-challenge",
    "invalid-preimage": "lightning/invalid-preimage",
    "challenge-expired": "lightning/expired-invoice",
    "expired": "payment-expired",
    "wrong-endpoint": "verification-failed",
    "wrong-request": "verification-failed",
    "wrong-caller": "verification-failed",
}

# All others are refused with 402 and a fresh challenge.
STATUS: Final[Mapping[str, int]] = {"method-unsupported": 400, "several-credentials": 400}


def problem_type(code: str) -> str:
    """The `type` of the RFC 9457 problem for a Payment credential that was refused with `code`, or for none."""
    return _BASE + _TYPES[code]
