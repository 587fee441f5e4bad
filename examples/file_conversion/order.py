"""What a customer may buy: one JSON body, read strictly. Everything refused here is refused before the invoice."""

import binascii
import json
import re
from dataclasses import dataclass
from typing import Self

from l402_middleware import Refusal

from .catalogue import MAX_FILE_BYTES, MIB, PAIRS, Engine, canonical, engine_for
from .inspection import inspect
from .inspection.letters import DRAWN, require_drawable

_DATA_URI = re.compile(r"data:[^,]{0,255};base64,", re.IGNORECASE)
_MAX_COMMAS = 1_000
"""Base64 has none, so a real order has few; 10 MiB of `[],[],` would become 300 MiB of lists."""
_MEMBERS = ("file", "file_name", "extensionFrom", "extensionTo")


@dataclass(frozen=True, slots=True)
class Order:
    """A file that looks like what it claims to be, and a pair that is on offer.

    `file_name` is the customer's label: fit for a download's name once `links` has cleaned it, never for a path.
    """

    file: bytes
    file_name: str
    source: str
    target: str

    @property
    def engine(self) -> Engine:
        """What converts this pair, with its limits."""
        return PAIRS[self.source, self.target]

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read and check a request body. Any bytes give an order or a `Refusal`, never another error."""
        members = _members(body)
        source, target = canonical(members["extensionFrom"]), canonical(members["extensionTo"])
        engine_for(source, target)
        file = _decoded(members["file"])
        inspect(file, source)
        if target in DRAWN:
            require_drawable(file, source)
        return cls(file, members["file_name"], source, target)


def price(order: Order) -> int:
    """What the order costs, in whole sats: by its pair and its size, so anyone can work it out beforehand."""
    return order.engine.price(len(order.file))


def _members(body: bytes) -> dict[str, str]:
    if body.count(b",") > _MAX_COMMAS:
        raise Refusal(400, "too-many-members", "The request body has far more members than the four it needs.")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(400, "not-json", "The request body is not JSON.") from None
    if not isinstance(document, dict):
        raise Refusal(400, "not-an-object", "The request body is not a JSON object.")
    for name in _MEMBERS:
        if name not in document:
            raise Refusal(400, "missing-member", f'The request body has no member "{name}".')
        if not isinstance(document[name], str):
            raise Refusal(400, "wrong-type", f'The member "{name}" is not a string.')
    return {name: document[name] for name in _MEMBERS}


def _decoded(text: str) -> bytes:
    if prefix := _DATA_URI.match(text):
        text = text[prefix.end() :]
    for blank in "\r\n\t ":  # `base64` breaks its lines
        text = text.replace(blank, "")
    if len(text) > (MAX_FILE_BYTES + 2) // 3 * 4:
        raise Refusal(413, "file-too-large", f"The file is larger than {MAX_FILE_BYTES // MIB} MiB.")
    try:
        file = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Refusal(400, "not-base64", 'The member "file" is not base64 (RFC 4648, section 4).') from None
    if not file:
        raise Refusal(400, "empty-file", "The file is empty.")
    if len(file) > MAX_FILE_BYTES:
        raise Refusal(413, "file-too-large", f"The file is larger than {MAX_FILE_BYTES // MIB} MiB.")
    return file
