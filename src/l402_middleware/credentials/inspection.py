"""What the strings of both schemes say, for a person to read: a header's value, a macaroon, an invoice.

Nothing is verified here, no key is needed, and no preimage is ever given out.
"""

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeAlias

from ..core import invoice, macaroon
from ..core.auth_params import read_challenges
from ..core.authorization import MAX_BYTES, decode_base64, parse_authorization
from ..core.credential import IDENTIFIER_BYTES, VERSION
from ..core.errors import BadCredential, InvalidInvoice
from ..core.payment import SCHEME, PaymentChallenge, parse_payment_authorization

Parts: TypeAlias = dict[str, "str | int | bool | list[str] | Parts | None"]

_FIELD_NAME = re.compile(r"(?:WWW-Authenticate|Authorization)\s*:\s*", re.IGNORECASE)
_SCHEME = re.compile(r"(?:L402|LSAT)\s+", re.IGNORECASE)
_PAYMENT = re.compile(r"Payment\s+", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z]+)\s*=\s*(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)
_SECONDS = re.compile("[0-9]{1,15}", re.ASCII)
_PREIMAGE = "preimage="
_HEX = re.compile("[0-9a-f]{64}")


def inspect(text: str) -> Parts:
    """The parts of `text`: a WWW-Authenticate or Authorization value of either scheme, a macaroon in base64, or a
    BOLT 11 invoice.

    Raises `ValueError` that says, without repeating any of it, what about the text cannot be read.
    """
    text = _FIELD_NAME.sub("", text.strip(), count=1)
    if not text:
        raise ValueError("there is nothing to inspect: give a header's value, a macaroon or an invoice")
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text)} characters; nothing of L402 has more than {MAX_BYTES}")
    if scheme := _SCHEME.match(text):
        parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(text[scheme.end() :])}
        token = parameters.get("macaroon") or parameters.get("token")
        return _credential(text) if token is None else _challenge(token, parameters.get("invoice"))
    if _PAYMENT.match(text):
        return _payment(text)
    if text[:10].lower() == "lightning:" or text[:2].lower() == "ln":
        return {"invoice": _invoice(text)}
    return {"macaroon": _macaroon(text)}


def _challenge(token: str, bolt11: str | None) -> Parts:
    parts: Parts = {"macaroon": _macaroon(token)}
    if bolt11 is not None:
        parts["invoice"] = _invoice(bolt11)
    return parts


def _credential(text: str) -> Parts:
    try:
        (credential,) = parse_authorization([text.encode("latin-1")])
    except (BadCredential, ValueError):
        raise ValueError("the header's value is neither a challenge nor one well-formed credential") from None
    macaroons = [_raw_macaroon(raw) for raw in credential.macaroons]
    parts: Parts = {f"macaroon {number}": each for number, each in enumerate(macaroons, 1)}
    if len(macaroons) == 1:
        parts = {"macaroon": macaroons[0]}
    paid_hash = sha256(credential.preimage).hexdigest()
    parts["preimage fits"] = all(each.get("payment hash") == paid_hash for each in macaroons)
    return parts


def _payment(text: str) -> Parts:
    """A challenge of the Payment scheme, or its credential; of which the preimage is not shown."""
    challenges = [parameters for scheme, parameters in read_challenges([text.encode()]) if scheme == SCHEME]
    try:
        if len(challenges) == 1 and challenges[0]:
            return _payment_challenge(PaymentChallenge.read(challenges[0]))
        (credential,) = parse_payment_authorization([text.encode()])
        parts = _payment_challenge(credential.challenge)
    except (BadCredential, ValueError):
        raise ValueError("the header's value is neither a Payment challenge nor one well-formed credential") from None
    preimage = credential.payload.get("preimage")
    is_preimage = isinstance(preimage, str) and _HEX.fullmatch(preimage)
    paid_hash = sha256(bytes.fromhex(str(preimage))).hexdigest() if is_preimage else None
    invoice_parts = parts.get("invoice")
    parts["preimage fits"] = isinstance(invoice_parts, dict) and invoice_parts["payment hash"] == paid_hash
    return parts


def _payment_challenge(challenge: PaymentChallenge) -> Parts:
    said: Parts = {name: value for name, value in challenge.parameters().items() if name != "request"}
    request = challenge.request_members()
    parts: Parts = {"challenge": said, "amount": f"{request.get('amount')} {request.get('currency')}"}
    details = request.get("methodDetails")
    if isinstance(details, dict) and isinstance(details.get("invoice"), str):
        parts["invoice"] = _invoice(details["invoice"])
    return parts


def _macaroon(text: str) -> Parts:
    try:
        raw = decode_base64(text)
    except ValueError:
        raise ValueError("it is no invoice, no header's value of scheme L402 or LSAT, and not base64") from None
    return _raw_macaroon(raw)


def _raw_macaroon(raw: bytes) -> Parts:
    try:
        read = macaroon.read(raw)
    except ValueError as error:
        raise ValueError(f"the macaroon cannot be read: {error}") from None
    parts: Parts = {"location": read.location.decode(errors="backslashreplace")}
    identifier = read.identifier
    if len(identifier) == IDENTIFIER_BYTES and identifier.startswith(VERSION):
        parts["version"] = 0
        parts["payment hash"] = identifier[2:34].hex()
        parts["token id"] = identifier[34:].hex()
    else:
        parts["identifier"] = f"{identifier.hex()} (not of L402, version 0)"
    parts["caveats"] = [_caveat(caveat.decode(errors="backslashreplace")) for caveat in read.caveats]
    return parts


def _caveat(caveat: str) -> str:
    if caveat.startswith(_PREIMAGE):
        return f"{_PREIMAGE}(not shown)"
    condition, _, value = caveat.partition("=")
    if condition.endswith("_valid_until") and _SECONDS.fullmatch(value):
        return f"{caveat} ({utc(int(value))})"
    return caveat


def _invoice(bolt11: str) -> Parts:
    try:
        read = invoice.decode(bolt11)
    except InvalidInvoice as error:
        raise ValueError(f"the invoice cannot be read: {error}") from None
    return {
        "network": read.network,
        "amount": "any" if read.amount is None else str(read.amount),
        "payment hash": read.payment_hash.hex(),
        "description": read.description,
        "description hash": None if read.description_hash is None else read.description_hash.hex(),
        "created": utc(read.created_at),
        "expires": utc(read.expires_at),
    }


def utc(at: float) -> str:
    """A unix time for people, in UTC and whole seconds; as a number where no calendar reaches it."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(at))
    except OverflowError:
        return f"unix second {int(at)}"
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
