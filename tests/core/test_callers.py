"""Callers: who may use a credential, in one spelling only, and never more of them than before."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from l402_middleware.core.callers import (
    ANYBODY,
    Callers,
    address_of,
    from_networks,
    network_of,
    with_certificate,
    write_networks,
)

PRINT = "0123456789abcdef" * 4
OTHER = "f" * 64

addresses = st.ip_addresses()
networks = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: IPv4Network(pair, strict=False)),
    st.tuples(st.integers(2**96, 2**128 - 1), st.integers(0, 128)).map(lambda pair: IPv6Network(pair, strict=False)),
)
groups = st.lists(networks, min_size=1, max_size=8).map(tuple)
fingerprints = st.binary(min_size=32, max_size=32).map(bytes.hex)
callers_strategy = st.builds(
    Callers, st.lists(groups, max_size=3).map(tuple), st.lists(fingerprints, max_size=2).map(tuple)
)


@given(groups)
def test_networks_come_back_as_they_were_written(group: tuple[IPv4Network | IPv6Network, ...]) -> None:
    """Any networks, as a caveat has them."""
    assert from_networks(write_networks(group)) == Callers(networks=(group,))


@pytest.mark.parametrize(
    ("value", "inside", "outside"),
    [
        ("192.0.2.7", ["192.0.2.7"], ["192.0.2.8", "2001:db8::7", "::c000:207"]),
        ("192.0.2.0/24", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0"]),
        ("0.0.0.0/0", ["192.0.2.7"], ["2001:db8::1"]),
        ("2001:db8::/64", ["2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"], ["2001:db8:0:1::", "192.0.2.7"]),
        ("2001:db8::1", ["2001:db8::1"], ["2001:db8::2"]),
        ("::/0", ["2001:db8::1"], ["192.0.2.7"]),
        ("192.0.2.7,2001:db8::/64", ["192.0.2.7", "2001:db8::9"], ["192.0.2.8"]),
    ],
)
def test_addresses_in_and_outside(value: str, inside: list[str], outside: list[str]) -> None:
    """Of several networks one is enough; none of them has an address of the other version."""
    callers = from_networks(value)
    assert all(callers.include(address_of(peer), None) for peer in inside)
    assert not any(callers.include(address_of(peer), None) for peer in [*outside, None, ""])


REFUSED_NETWORKS = {
    "nothing": "",
    "an empty one": "192.0.2.7,",
    "white space": "192.0.2.7, 192.0.2.8",
    "a newline": "192.0.2.7\n",
    "a leading zero": "192.0.2.07",
    "octal": "0300.0.2.7",
    "hexadecimal": "0xc0.0.2.7",
    "a number": "3221225991",
    "three parts": "192.0.2",
    "digits of another script": "192.0.2.\u0667",
    "a host's bits": "192.0.2.7/24",
    "a netmask": "192.0.2.0/255.255.255.0",
    "a prefix with a zero": "192.0.2.0/024",
    "a prefix too long": "192.0.2.0/33",
    "a prefix without its number": "192.0.2.0/",
    "a negative prefix": "192.0.2.0/-1",
    "five thousand digits": "192.0.2.0/" + "0" * 5000 + "24",
    "the prefix of one address": "192.0.2.7/32",
    "the prefix of one IPv6 address": "2001:db8::1/128",
    "upper case": "2001:DB8::1",
    "not shortened": "2001:db8:0:0:0:0:0:1",
    "zeros in a group": "2001:0db8::1",
    "IPv4-mapped": "::ffff:192.0.2.7",
    "IPv4-mapped, in hexadecimal": "::ffff:c000:207",
    "IPv4-mapped, a network": "::ffff:c000:200/120",
    "all that is mapped": "::ffff:0:0/96",
    "a zone": "fe80::1%eth0",
    "brackets": "[2001:db8::1]",
    "a port": "192.0.2.7:80",
    "a name": "localhost",
    "bytes that are no text": "\udcff",
    "too many": ",".join(["192.0.2.7"] * 9),
    "far too many": "," * 16_000,
}


@pytest.mark.parametrize("value", REFUSED_NETWORKS.values(), ids=REFUSED_NETWORKS.keys())
def test_refuses_any_other_spelling(value: str) -> None:
    """What another reader could take for something else is no network."""
    with pytest.raises(ValueError, match=r".+") as caught:
        from_networks(value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=40) | st.text("0123456789abcdef:./,", max_size=60))
def test_any_text_is_read_or_refused(value: str) -> None:
    """Whatever stands there: a `ValueError`, or networks that are written as they were read."""
    try:
        (group,) = from_networks(value).networks
    except ValueError:
        return
    assert write_networks(group) == value


@pytest.mark.parametrize(
    "value", ["", PRINT[:-1], PRINT + "0", PRINT.upper(), " " + PRINT, PRINT + "\n", "g" * 64, "\u0661" * 64]
)
def test_refuses_what_is_no_fingerprint(value: str) -> None:
    """64 hexadecimal digits in lower case, and nothing else."""
    with pytest.raises(ValueError, match="SHA-256"):
        with_certificate(value)


def test_a_certificate() -> None:
    """The one with this fingerprint, and no other, nor none."""
    callers = with_certificate(PRINT)
    assert callers.include(None, PRINT)
    assert not callers.include(None, OTHER)
    assert not callers.include(IPv4Address("192.0.2.7"), None)
    assert not (callers & with_certificate(OTHER)).include(None, PRINT)


@given(callers_strategy, callers_strategy, addresses | st.none(), st.sampled_from([PRINT, None]))
def test_both_must_hold(
    some: Callers, others: Callers, address: IPv4Address | IPv6Address | None, certificate: str | None
) -> None:
    """Whoever both leave is one that each leaves."""
    both = (some & others).include(address, certificate)
    assert both == (some.include(address, certificate) and others.include(address, certificate))


@given(callers_strategy)
def test_who_is_unknown_satisfies_nothing(callers: Callers) -> None:
    """Without an address and a certificate only what is for anybody is open."""
    assert callers.include(None, None) == (not callers) == (callers == ANYBODY)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:C000:0207", "192.0.2.7"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", None),
        ("192.0.2.07", None),
        ("testclient", None),
        ("unix:", None),
        ("192.0.2.7:80", None),
        ("", None),
        (None, None),
    ],
)
def test_the_address_of_a_peer(peer: str | None, address: str | None) -> None:
    """Case 88: what a server says, as an address; an IPv4-mapped one is the IPv4 one."""
    found = address_of(peer)
    assert (None if found is None else str(found)) == address


@given(addresses)
def test_an_address_is_in_its_own_network(address: IPv4Address | IPv6Address) -> None:
    """IPv4 alone, IPv6 with its neighbours of the same /64."""
    assume(address_of(str(address)) == address)
    network = network_of(address)
    assert from_networks(write_networks((network,))).include(address, None)
    assert network.prefixlen == (32 if address.version == 4 else 64)
