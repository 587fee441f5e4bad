"""Who may use a credential: from which network, and with which TLS client certificate.

    <service>_ip=192.0.2.7,2001:db8::/64    from an address in one of these networks
    <service>_tls=<64 hex digits>           with the certificate that has this SHA-256 (RFC 8705's x5t#S256, in hex)

Where a condition is repeated, all must hold, so that each one can only narrow. Every value has one spelling only: two
programs that read it differently would let different callers in.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# In one macaroon. Reading each costs about 10 us, and a header full of macaroons must cost less than 5 ms.
MAX_CONDITIONS = 8

_NETWORK = re.compile("[0-9a-f:.]{2,39}(?:/[0-9]{1,3})?", re.ASCII)
_FINGERPRINT = re.compile("[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Callers:
    """The callers that some conditions allow: with an address in a network of each group, and with each certificate.

    Without conditions, that is anybody.
    """

    networks: tuple[tuple[Network, ...], ...] = ()
    certificates: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many networks and certificates there are to look at."""
        return sum(map(len, self.networks)) + len(self.certificates)

    def __and__(self, other: "Callers") -> "Callers":
        """The callers that both allow."""
        return Callers(self.networks + other.networks, self.certificates + other.certificates)

    def include(self, address: Address | None, certificate: str | None) -> bool:
        """Whether a caller with this address and certificate fingerprint is one of them; None means unknown."""
        return all(
            address is not None and any(address in network for network in group) for group in self.networks
        ) and all(certificate == wanted for wanted in self.certificates)

    def write(self, service: str) -> list[str]:
        """Their caveats."""
        return [f"{service}_ip={write_networks(group)}" for group in self.networks] + [
            f"{service}_tls={fingerprint}" for fingerprint in self.certificates
        ]


ANYBODY = Callers()


def from_networks(value: str) -> Callers:
    """What `<service>_ip` says. Raises `ValueError` for anything but 1 to 8 networks as `write_networks` has them."""
    pieces = value.split(",", MAX_CONDITIONS)
    if len(pieces) > MAX_CONDITIONS:
        raise ValueError(f"more than {MAX_CONDITIONS} networks")
    return Callers(networks=(tuple(map(_network, pieces)),))


def with_certificate(value: str) -> Callers:
    """What `<service>_tls` says. Raises `ValueError` for anything but 64 hexadecimal digits in lower case."""
    if not _FINGERPRINT.fullmatch(value):
        raise ValueError("not the SHA-256 of a certificate in 64 lower-case hexadecimal digits")
    return Callers(certificates=(value,))


def write_networks(networks: tuple[Network, ...]) -> str:
    """Networks as a caveat has them: a single address without its prefix length, IPv6 as RFC 5952 writes it."""
    return ",".join(str(each.network_address if each.prefixlen == each.max_prefixlen else each) for each in networks)


def _network(text: str) -> Network:
    # The library's parser would find this out slowly, and repeat the text in its message.
    if not _NETWORK.fullmatch(text):
        raise ValueError("not an IP address or network")
    network = IPv6Network(text) if ":" in text else IPv4Network(text)
    if write_networks((network,)) != text:
        raise ValueError("not the usual spelling of an IP address or network")
    if network.version == 6 and network.prefixlen >= 96 and int(network.network_address) >> 32 == 0xFFFF:
        raise ValueError("an IPv4-mapped IPv6 address: write it as IPv4")
    return network


# The same few peers come again and again, and the library takes 4 us for each. Small, because strangers fill it.
def address_of(peer: str | None) -> Address | None:
    """The IP address that a server gives for the other end of a connection; None where there is none.

    An IPv4-mapped address, as a dual-stack socket gives it, is the IPv4 one. An address with a zone counts as none: it
    means a different host on each interface.
    """
    try:
        address = ip_address(peer or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id is not None else address.ipv4_mapped or address
    return address


def network_of(address: Address) -> Network:
    """The network that an address stands for: itself, or for IPv6 its /64, where a host changes its address at will."""
    return ip_network(address) if address.version == 4 else ip_network((address, 64), strict=False)
