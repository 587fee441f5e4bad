"""Who asks: the address at the other end of the connection, or, where that is a proxy of ours, the one it names.

Anybody can write a forwarding header, so it counts only where a trusted proxy hands it over, and only up to the first
address that is no trusted proxy, read from the right (RFC 7239, section 5.2; section 8.1 says why). One header is read,
the one that the operator names: a proxy that sets one of them passes the other on as its client wrote it.
"""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Final

from ..core.callers import Address, Network
from ..core.errors import ConfigurationError

UNIX: Final = "unix"
"""In a list of trusted proxies: whoever reaches the server through a Unix socket, and so has no address."""

FORWARDING_HEADERS: Final = ("x-forwarded-for", "forwarded")

# How many proxies in a row are looked at, from the right.
MAX_HOPS: Final = 32

# RFC 9110, section 5.1.
_FIELD_NAME: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)

MAX_FORWARDED_BYTES: Final = 8 * 1024

# A node of RFC 7239, section 6, and what X-Forwarded-For has in its place: brackets and port may be there or not.
_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::\w{1,5})?|([0-9.]{7,15})(?::\w{1,5})?|([0-9A-Fa-f:.]{2,45})")

# One parameter of Forwarded with what ends it. Values that should be quoted and are not (an address with a port) are
# taken, but no stray quote: it could swallow what a proxy added.
_PARAMETER: Final = re.compile(
    rb"""
    [ \t]*+
    (?:
        ([\w!#$%&'*+.^`|~-]{1,32}) =
        (?: "((?:[^"\\\x00-\x1f] | \\[^\x00-\x1f])*+)" | ([^ \t",;\\]++) )
    )?
    [ \t]*+ ([,;] | \Z)
    """,
    re.VERBOSE,
)


class ClientAddresses:
    """Resolves the peer of a request.

    - `trusted`: addresses and networks ("10.0.0.0/8") of the proxies in front of the application, or "unix".
    - `header`: the one of `FORWARDING_HEADERS` that they set.
    - `certificate_header`: the one, if any, in which they hand over their caller's TLS client certificate.

    Raises `ConfigurationError` for what is neither, and where one is given without the other.
    """

    def __init__(self, trusted: Iterable[str], header: str | None, certificate_header: str | None = None) -> None:
        if not isinstance(trusted, Iterable):
            raise ConfigurationError(f"trusted_proxies must be a list of addresses and networks, not {trusted!r}")
        entries = [trusted] if isinstance(trusted, str) else list(trusted)
        if bool(entries) != bool(header):
            raise ConfigurationError(
                "trusted_proxies and forwarded_header go together: which proxies, and which header they set, "
                '"X-Forwarded-For" or "Forwarded". The other one reaches the application as the client wrote it'
            )
        if header and header.lower() not in FORWARDING_HEADERS:
            raise ConfigurationError(f'forwarded_header must be "X-Forwarded-For" or "Forwarded", not {header!r}')
        if certificate_header is not None and not (entries and _FIELD_NAME.fullmatch(certificate_header)):
            raise ConfigurationError(
                "certificate_header must be the name of a header, and goes together with trusted_proxies, for anybody "
                f"else can write it too; it is {certificate_header!r}"
            )
        self.certificate_header = certificate_header
        self._header = header.lower().encode() if header else None
        self._trusts_unix = UNIX in entries
        self._networks = [_network(entry) for entry in entries if entry != UNIX]

    def resolve(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """The address of the client behind the trusted proxies; without any between, `peer` itself.

        `peer` is the address at the other end of the connection. An IPv4 address that came as an IPv6 one is given as
        the former. None where there is no address, and where a trusted proxy does not say whose request it hands over:
        it calls it `unknown`, hides it, or names what is no address.
        """
        if not self.trusts(peer):
            return _plain(peer)
        lines = [value for name, value in headers if name.lower() == self._header]
        if not lines:
            return _plain(peer)
        value = b",".join(lines)
        for node in _x_forwarded_for(value) if self._header == b"x-forwarded-for" else _forwarded(value):
            address = _address(node)
            if not self._is_trusted(address):
                break
        return None if address is None else str(address)

    def trusts(self, peer: str | None) -> bool:
        """Whether the other end of a connection, at the address `peer`, is a trusted proxy."""
        if self._header is None:
            return False
        return self._is_trusted(_parsed(peer)) if peer else self._trusts_unix

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _network(entry: str) -> Network:
    try:
        network = ip_network(str(entry))
    except ValueError as error:
        raise ConfigurationError(
            f'trusted_proxies has {entry!r}, which is no address, network ("10.0.0.0/8") or "unix": {error}'
        ) from None
    if not network.prefixlen:
        raise ConfigurationError(
            f"trusted_proxies has {entry!r}, which trusts everybody: any client could choose its address"
        )
    return network


def _plain(peer: str | None) -> str | None:
    """A dual-stack socket shows 10.0.0.1 as ::ffff:10.0.0.1."""
    if peer and peer.startswith("::ffff:"):
        address = _parsed(peer)
        return peer if address is None else str(address)
    return peer or None


def _parsed(text: str) -> Address | None:
    try:
        # What follows a percent sign is the interface of this machine, and no part of the address.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _address(node: bytes) -> Address | None:
    found = _NODE.fullmatch(node[:64].decode("latin-1").strip(" \t"))
    return _parsed(next(filter(None, found.groups()))) if found else None


def _x_forwarded_for(value: bytes) -> list[bytes]:
    """The nodes, the nearest first; at least one."""
    return value.rsplit(b",", MAX_HOPS)[::-1][:MAX_HOPS]


def _forwarded(value: bytes) -> list[bytes]:
    """The `for` of each element, the nearest first; where the whole is not well-formed, one that is no address."""
    unreadable = [b""]
    if len(value) > MAX_FORWARDED_BYTES:
        return unreadable
    nodes: list[bytes] = []
    node, position, end = b"", 0, b","
    while end:
        found = _PARAMETER.match(value, position)
        if found is None:
            return unreadable
        name, quoted, bare, end = found.groups(b"")
        if name.lower() == b"for":
            if node:
                return unreadable
            node = re.sub(rb"\\(.)", rb"\1", quoted) or bare
        if end != b";":
            nodes.append(node)
            node = b""
        position = found.end()
    return nodes[: -MAX_HOPS - 1 : -1]
