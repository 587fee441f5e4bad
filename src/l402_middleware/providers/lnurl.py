"""LNURL-pay as text: where an address leads, and what a pay request says. No I/O.

LUD-01 (`lnurl1...`), LUD-06 (pay request), LUD-12 (comment), LUD-16 (Lightning Address) and LUD-17 (`lnurlp://`).
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ..core import bech32
from ..core.errors import InvalidInvoice

# LUD-16 has lower case only; "+" begins a tag.
_USER: Final = re.compile(r"[a-z0-9._+-]+")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9.-]+\.[A-Za-z]{2,63}")

# Nothing on the way can read or change these; for any other host http is refused.
_LOOPBACK: Final = ("127.0.0.1", "localhost")

_MAX_URL: Final = 2047


def pay_url(address: str, private_hosts: Collection[str] = ()) -> str:
    """The URL of the pay request that a Lightning Address, or an LNURL in any of its forms, stands for.

    The host of an address may have a port, and need be no domain, where it is one of `private_hosts` (in lower case);
    on this machine it is then asked over http. Raises `ValueError` for what is no address for paying.
    """
    user, _, host = address.rpartition("@")
    if not user or "/" in address:
        return _link(address.strip().removeprefix("lightning:"))
    name = host.partition(":")[0].lower()
    if not _USER.fullmatch(user) or not (name in private_hosts or _DOMAIN.fullmatch(host)):
        raise ValueError("it is no Lightning Address")
    is_plain = name.endswith(".onion") or (name in private_hosts and name in _LOOPBACK)
    return _checked(f"{'http' if is_plain else 'https'}://{host}/.well-known/lnurlp/{user}")


def _link(text: str) -> str:
    if text.lower().startswith("lnurl1"):
        try:
            _, groups = bech32.decode(text)
        except InvalidInvoice:
            raise ValueError("it is no bech32 text") from None
        return _checked(bech32.to_octets(groups).decode("utf-8"))
    scheme, separator, rest = text.partition("://")
    if scheme == "lnurlp" and separator:
        # LUD-17: https, but for .onion; and here for this machine.
        host = urlsplit(text).hostname or ""
        return _checked(f"{'http' if _may_be_plain(host) else 'https'}://{rest}")
    return _checked(text)


def _may_be_plain(host: str) -> bool:
    return host.endswith(".onion") or host in _LOOPBACK


def _checked(url: str) -> str:
    """`url`, where it is one that may be asked. Raises `ValueError` for another."""
    parts = urlsplit(url)
    host = parts.hostname
    if len(url) > _MAX_URL or not url.isprintable() or " " in url or not host:
        raise ValueError("it is no URL")
    if parts.scheme != "https" and not (parts.scheme == "http" and _may_be_plain(host)):
        raise ValueError("its scheme is not https")
    return url


@dataclass(frozen=True, slots=True)
class PayRequest:
    """What a wallet service takes: LUD-06, step 3. Amounts are in msat, the length of a `comment` in characters."""

    callback: str
    least: int
    most: int
    comment: int

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "PayRequest":
        """The pay request that an answer is. Raises `ValueError` where it is none."""
        least, most = _number(answer.get("minSendable")), _number(answer.get("maxSendable"))
        if answer.get("tag") != "payRequest" or not 0 < least <= most or not _describes(answer.get("metadata")):
            raise ValueError("it is no pay request")
        callback, comment = answer.get("callback"), answer.get("commentAllowed")
        if not isinstance(callback, str):
            raise ValueError("it names no callback")
        return cls(_checked(callback), least, most, 0 if comment is None else max(_number(comment), 0))


def _number(value: object) -> int:
    # Some services write their numbers as texts.
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,18}", value):
        return int(value)
    if type(value) is not int:
        raise ValueError("it is no whole number")
    return value


def _describes(metadata: object) -> bool:
    """Whether it is LUD-06's list of pairs, as JSON text, that describes in words what is paid for."""
    try:
        pairs = json.loads(metadata) if isinstance(metadata, str) else None
        return any(kind in ("text/plain", "text/long-desc") for kind, _ in pairs or ())
    except (ValueError, TypeError, RecursionError):
        return False
