"""GET requests to addresses that somebody else chose: what a wallet service names must not lead into our own network.

The host is looked up once, every address found is checked, and the connection goes to a checked address, so that a
second answer of the DNS server (rebinding) changes nothing. How an address is spelled (decimal, hexadecimal, short,
IPv4 within IPv6) does not matter: what counts is what the resolver makes of it.
"""

import ipaddress
import socket
from collections.abc import Collection, Sequence
from typing import Any

import anyio
import httpx2

from ..core.errors import ProviderError
from ..flow import Flow, Step, do, time_left
from .transport import Transport

# Well-known ports are other services' (25 is mail); where HTTP is served on a port of its own, it is a high one.
_WELL_KNOWN = range(1024)
_DEFAULT_PORTS = {"https": 443, "http": 80}

_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# So many of a host's addresses are tried, one after the other, where nobody listens.
_ATTEMPTS = 3


class GuardedTransport:
    """A `Transport` for GET requests that reaches public addresses only.

    Hosts in `allowed` (names or addresses, without a port) may have any address and any port. `timeout` is in seconds,
    for the look-up and for every request.
    """

    def __init__(self, timeout: float, allowed: Collection[str] = ()) -> None:
        self._http = Transport(timeout)
        self._timeout = timeout
        self._allowed = frozenset(host.lower() for host in allowed)

    def get(self, url: str) -> Flow[httpx2.Response]:
        """The answer to a GET of `url`, of any status but a redirect. Raises `ProviderError` where there is none."""
        target = _parsed(url)
        port = _DEFAULT_PORTS[target.scheme] if target.port is None else target.port
        if target.host not in self._allowed and port in _WELL_KNOWN and port not in _DEFAULT_PORTS.values():
            raise ProviderError("rejected", f"{target.host}: port {port} is not for HTTP, so nothing was sent there")
        addresses = yield from do(Resolve(target.host, port, self._timeout))
        if target.host not in self._allowed and not all(map(is_public, addresses)):
            raise ProviderError(
                "rejected",
                f"{target.host} has a private or reserved address, so nothing was sent there; if it is your own "
                "server, name it in allow_private_hosts",
            )
        return (yield from self._send(target, addresses[:_ATTEMPTS]))

    def close(self) -> None:
        """Close the connections of blocking drivers."""
        self._http.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        await self._http.aclose()

    def _send(self, target: httpx2.URL, addresses: Sequence[str]) -> Flow[httpx2.Response]:
        host = target.netloc.decode("ascii")
        for attempt, address in enumerate(addresses, 1):
            try:
                return (
                    yield from self._http.send(
                        "GET",
                        str(target.copy_with(host=address)),
                        # A connection kept open would be used again for another name with the same address.
                        headers={"Host": host, "Connection": "close"},
                        extensions={"sni_hostname": target.host},
                    )
                )
            except ProviderError as error:
                if error.kind != "unreachable" or attempt == len(addresses):
                    raise ProviderError(error.kind, f"{target.host}: {error}") from None
        raise AssertionError("a look-up gives at least one address")


class Resolve(Step[list[str]]):
    """The look-up of a host; gives one address or more. `host` is there for tests that answer a flow by hand."""

    def __init__(self, host: str, port: int, timeout: float) -> None:
        self.host = host
        self._port = port
        self._timeout = timeout

    def block(self) -> list[str]:
        try:
            return _addresses(socket.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError):
            raise self._unknown() from None

    async def wait(self) -> list[str]:
        with anyio.move_on_after(time_left(self._timeout)):
            try:
                return _addresses(await anyio.getaddrinfo(self.host, self._port, type=socket.SOCK_STREAM))
            except (OSError, UnicodeError):
                raise self._unknown() from None
        raise ProviderError("timeout", f"the look-up of {self.host} did not end in time")

    def _unknown(self) -> ProviderError:
        return ProviderError("unreachable", f"{self.host} has no address; is the name right, and does DNS work?")


def is_public(address: str) -> bool:
    """Whether an IP address is one host's on the internet: not private, loopback, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 address (mapped, or NAT64 as in RFC 6052) is what that one is.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else None)
        if embedded is None:
            return ip in _UNICAST and ip.is_global and ip.sixtofour is None
        ip = embedded
    return ip.is_global and not ip.is_multicast


def _parsed(url: str) -> httpx2.URL:
    try:
        target = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        target = httpx2.URL("")
    if target.scheme not in _DEFAULT_PORTS or not target.host or target.userinfo:
        raise ProviderError("bad-answer", "the wallet service named no http or https address without a password")
    return target


def _addresses(found: Sequence[tuple[Any, ...]]) -> list[str]:
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
