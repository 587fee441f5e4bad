"""The `Payment` scheme on the wire (draft-httpauth-payment-00, draft-lightning-charge-00): challenges, credentials,
receipts.

    WWW-Authenticate: Payment id="...", realm="...", method="lightning", intent="charge", request="...", expires="..."
    Authorization: Payment <base64url of {"challenge": {...}, "payload": {"preimage": "..."}}>
    Payment-Receipt: <base64url of {"challengeId", "method", "reference", "status", "timestamp"}>

Nothing is verified here: see `core.charge` for the seller's side.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import base64url, rfc3339, strict_json
from .auth_params import write_challenge
from .authorization import MAX_BYTES
from .errors import BadCredential

SCHEME: Final = "payment"
METHOD: Final = "lightning"
CHARGE: Final = "charge"

_REQUIRED: Final = ("id", "realm", "method", "intent", "request")
# In the order in which they are written: mppx and pympp want `request` before `description`.
_PARAMETERS: Final = (*_REQUIRED, "expires", "digest", "description", "opaque")

_TOKEN68: Final = re.compile("[A-Za-z0-9_-]+={0,2}")


@dataclass(frozen=True, slots=True)
class PaymentChallenge:
    """A challenge's parameters, as text; what is absent is None. `request` and `opaque` are base64url of JSON."""

    id: str = field(repr=False)
    realm: str
    method: str
    intent: str
    request: str = field(repr=False)
    expires: str | None = None
    digest: str | None = None
    description: str | None = None
    opaque: str | None = field(default=None, repr=False)

    @classmethod
    def read(cls, parameters: Mapping[str, Any]) -> "PaymentChallenge":
        """The challenge that these say; unknown ones are ignored, as the draft has it.

        Raises `ValueError` where one that must be there is not, or one is no text. An `id` must not be empty.
        """
        known = {name: parameters[name] for name in _PARAMETERS if parameters.get(name) is not None}
        if not all(isinstance(value, str) for value in known.values()):
            raise ValueError("a parameter that is no text")
        if not all(name in known for name in _REQUIRED) or not known["id"]:
            raise ValueError("a parameter is missing")
        return cls(**known)

    def parameters(self) -> dict[str, str]:
        """Those that are there, by name, in the order of the header."""
        named = {name: getattr(self, name) for name in _PARAMETERS}
        return {name: value for name, value in named.items() if value is not None}

    def header(self) -> str:
        """The WWW-Authenticate value. Raises `ValueError` where a parameter has control characters."""
        return write_challenge("Payment", self.parameters())

    def request_members(self) -> dict[str, Any]:
        """What `request` says. Raises `ValueError` where that is no JSON object in base64url."""
        return strict_json.read_object(base64url.decode(self.request))


@dataclass(frozen=True, slots=True)
class PaymentCredential:
    """A challenge that came back, and the proof of payment beside it; nothing is verified."""

    challenge: PaymentChallenge
    payload: Mapping[str, Any] = field(repr=False)
    source: str | None = None

    def header(self) -> str:
        """The Authorization value. Raises `ValueError` where the payload cannot be written canonically."""
        members: dict[str, Any] = {"challenge": self.challenge.parameters(), "payload": dict(self.payload)}
        if self.source is not None:
            members["source"] = self.source
        return f"Payment {base64url.encode(strict_json.canonical(members))}"


def parse_payment_authorization(values: Iterable[bytes]) -> list[PaymentCredential]:
    """The Payment credentials in the raw Authorization field values, in order; none where there is none.

    Credentials of other schemes are left alone. Padding, unknown members and members in any order are accepted. Raises
    `BadCredential("malformed-credential")`, and nothing else for any bytes, where one of ours is malformed or the
    values are over 16 KiB together.
    """
    fields = list(values)
    if sum(map(len, fields)) > MAX_BYTES:
        raise BadCredential("malformed-credential")
    credentials = []
    for value in fields:
        # No credential of the scheme has a comma in it; a folded line has one between two.
        for element in value.decode("latin-1").split(","):
            scheme, _, token = element.strip(" \t").replace("\t", " ").partition(" ")
            if scheme.lower() == SCHEME:
                credentials.append(_credential(token.strip(" ")))
    return credentials


def _credential(token: str) -> PaymentCredential:
    try:
        if not _TOKEN68.fullmatch(token):
            raise ValueError
        members = strict_json.read_object(base64url.decode(token))
        challenge, payload, source = members["challenge"], members["payload"], members.get("source")
        if not isinstance(challenge, dict) or not isinstance(payload, dict) or not isinstance(source, str | None):
            raise ValueError
        return PaymentCredential(PaymentChallenge.read(challenge), payload, source)
    except (KeyError, ValueError):
        raise BadCredential("malformed-credential") from None


@dataclass(frozen=True, slots=True)
class PaymentReceipt:
    """That a charge was paid and delivered: `reference` is the payment hash in hex, `timestamp` unix seconds."""

    challenge_id: str = field(repr=False)
    reference: str
    timestamp: int

    def header(self) -> str:
        """The Payment-Receipt value; for answers of 2xx only, and with `Cache-Control: private`."""
        members = {
            "challengeId": self.challenge_id,
            "method": METHOD,
            "reference": self.reference,
            "status": "success",
            "timestamp": rfc3339.write(self.timestamp),
        }
        return base64url.encode(strict_json.canonical(members))


def read_receipt(value: str) -> dict[str, Any]:
    """The members of a Payment-Receipt value. Raises `ValueError` for what is no JSON object in base64url."""
    return strict_json.read_object(base64url.decode(value.strip(" \t")))
