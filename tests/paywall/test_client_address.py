"""Who asks: the peer of a request, behind proxies that are trusted and those that are not."""

import ipaddress
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware import ConfigurationError, Offer, Refusal, RequestView
from l402_middleware.paywall.client_address import MAX_FORWARDED_BYTES, MAX_HOPS, ClientAddresses

from .shop import Shop, ask, members

PROXIES = ["10.0.0.0/8", "127.0.0.1", "2001:db8:f::/48"]
CLIENT = "203.0.113.9"


def seen(header: str, *lines: str, peer: str | None = "10.0.0.1", others: tuple[tuple[bytes, bytes], ...] = ()) -> Any:
    """Whom a paywall that trusts `PROXIES` takes for the peer."""
    headers = [*others, *((header.lower().encode(), line.encode("latin-1")) for line in lines)]
    return ClientAddresses(PROXIES, header).resolve(peer, headers)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (CLIENT, CLIENT),
        ("::1", "::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.9", CLIENT),
        ("testclient", "testclient"),
        ("::ffff:nothing", "::ffff:nothing"),
        ("", None),
        (None, None),
    ],
)
def test_without_trusted_proxies(peer: str | None, expected: str | None) -> None:
    """Case 87: nobody is trusted by default, whatever the headers say; an IPv4 address is one, however it came."""
    lies = [(b"x-forwarded-for", b"1.1.1.1"), (b"forwarded", b"for=1.1.1.1"), (b"x-real-ip", b"1.1.1.1")]
    assert ClientAddresses((), None).resolve(peer, lies) == expected


@pytest.mark.parametrize("peer", [CLIENT, "11.0.0.1", "2001:db8:e::1", "testclient", "unix:", "", None])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
def test_an_untrusted_peer_is_not_believed(header: str, peer: str | None) -> None:
    """Case 87: the headers of whoever is no trusted proxy are ignored."""
    assert seen(header, "for=1.1.1.1" if header == "Forwarded" else "1.1.1.1", peer=peer) == (peer or None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "10.0.0.1"),
        (["203.0.113.9"], CLIENT),
        (["1.1.1.1, 203.0.113.9"], CLIENT),
        (["1.1.1.1", "203.0.113.9"], CLIENT),
        (["1.1.1.1,203.0.113.9,10.9.9.9 , 127.0.0.1"], CLIENT),
        (["1.1.1.1, 203.0.113.9", "10.9.9.9", "10.1.1.1"], CLIENT),
        (["10.2.2.2, 10.3.3.3"], "10.2.2.2"),
        (["203.0.113.9:4711"], CLIENT),
        (["::ffff:203.0.113.9"], CLIENT),
        (["[::ffff:203.0.113.9]:80, ::ffff:10.0.0.3"], CLIENT),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:DB8:0::1]"], "2001:db8::1"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["1.1.1.1, 2001:db8:f::7, 127.0.0.1"], "1.1.1.1"),
        (["1.1.1.1, unknown"], None),
        (["1.1.1.1, _hidden, 10.0.0.2"], None),
        (["1.1.1.1, "], None),
        ([""], None),
        (["1.1.1.1, 203.0.113.009"], None),
        (["1.1.1.1, 203.0.113.9 10.0.0.1"], None),
        (["1.1.1.1, fe80::1%eth0"], None),
        (["1.1.1.1, [2001:db8::1"], None),
        (["1.1.1.1, 203.0.113.9:80:80"], None),
        (["1.1.1.1, \xe9\x00"], None),
        (["1.1.1.1, \xb2\xb2\xb2.1.1.1"], None),
        (['1.1.1.1, "203.0.113.9"'], None),
        (["1.1.1.1, for=203.0.113.9"], None),
        (["1.1.1.1, " + "9" * 5000], None),
    ],
)
def test_x_forwarded_for(lines: list[str], expected: str | None) -> None:
    """Case 88: from the right, over all lines, the first that is no trusted proxy; nobody where it is no address."""
    assert seen("X-Forwarded-For", *lines) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "10.0.0.1"),
        (["for=203.0.113.9"], CLIENT),
        (["For=203.0.113.9;proto=https;by=10.0.0.1"], CLIENT),
        (["for=1.1.1.1, for=203.0.113.9"], CLIENT),
        (["for=1.1.1.1", "for=203.0.113.9;host=a", "for=10.1.1.1"], CLIENT),
        (['for="203.0.113.9:4711"'], CLIENT),
        (["for=203.0.113.9:4711"], CLIENT),
        (['for="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17"),
        (['FOR="[2001:db8:cafe::17]:_port";proto=http'], "2001:db8:cafe::17"),
        (["for=[2001:db8:cafe::17]"], "2001:db8:cafe::17"),
        (['for=1.1.1.1 ,\tfor="203.0.113.9" ; host="x,for=8.8.8.8"'], CLIENT),
        (['for=203.0.113.9;host="x\\",for=8.8.8.8;y=\\""'], CLIENT),
        (["for=203.0.113.9;"], CLIENT),
        (["for=1.1.1.1, for=unknown"], None),
        (['for=1.1.1.1, for="_hidden", for=10.0.0.2'], None),
        (["for=1.1.1.1, proto=https"], None),
        (["for=1.1.1.1,"], None),
        ([""], None),
        (['for=9.9.9.9;x=", for=203.0.113.9'], None),
        (['for=9.9.9.9;x=", for="[2001:db8::1]:80"'], None),
        (['for=9.9.9.9;x=", for=203.0.113.9;host="y"'], None),
        (["for=9.9.9.9;x=\\, for=203.0.113.9"], None),
        (["for=1.1.1.1;for=203.0.113.9"], None),
        (["203.0.113.9"], None),
        (["for =203.0.113.9"], None),
        (["for=203.0.113.9\x00"], None),
        (["for=1.1.1.1, " * 5000 + "for=203.0.113.9"], None),
    ],
)
def test_forwarded(lines: list[str], expected: str | None) -> None:
    """Case 88: RFC 7239, with its quoting; one that no proxy wrote correctly names nobody, and never who it likes."""
    assert seen("Forwarded", *lines) == expected


@pytest.mark.parametrize(
    ("header", "other"),
    [("X-Forwarded-For", (b"forwarded", b"for=1.1.1.1")), ("Forwarded", (b"x-forwarded-for", b"1.1.1.1"))],
)
def test_only_the_named_header_counts(header: str, other: tuple[bytes, bytes]) -> None:
    """Case 88: a client's other header, which the proxy does not touch, is nothing; nor is a twin with underscores."""
    twin = (header.lower().replace("-", "_").encode() + b"_", b"1.1.1.1")
    assert seen(header, others=(other, twin, (b"x_forwarded_for", b"1.1.1.1"))) == "10.0.0.1"


def test_a_unix_socket_is_trusted_by_name() -> None:
    """Case 88: a proxy that connects through a Unix socket has no address."""
    lies = [(b"x-forwarded-for", b"1.1.1.1")]
    for peer in (None, ""):
        assert ClientAddresses(["unix"], "X-Forwarded-For").resolve(peer, lies) == "1.1.1.1"
        assert ClientAddresses(["unix"], "X-Forwarded-For").resolve(peer, []) is None
    assert ClientAddresses(["unix"], "X-Forwarded-For").resolve(CLIENT, lies) == CLIENT


def test_of_long_headers_the_end_is_read() -> None:
    """Case 88: 10,000 entries cost no more than 32, and a trusted proxy among thousands gives its own address."""
    many = ", ".join(f"1.1.{n // 250}.{n % 250}" for n in range(10_000))
    assert seen("X-Forwarded-For", f"{many}, 203.0.113.9, 10.1.1.1") == CLIENT
    trusted = ", ".join(["1.1.1.1"] + ["10.0.0.7"] * MAX_HOPS)
    assert seen("X-Forwarded-For", trusted) == "10.0.0.7"
    worst = [", ".join(["10.0.0.7"] * 10_000), "," * 100_000, " " * 100_000, "[" * 100_000]
    started = time.perf_counter()
    for line in worst:
        seen("X-Forwarded-For", line)
        seen("Forwarded", line)
        seen("Forwarded", line[:8000] + "\x00")
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(("header", "prefix"), [("X-Forwarded-For", ""), ("Forwarded", "for=")])
def test_how_many_hops_are_looked_at(header: str, prefix: str) -> None:
    """Case 88: a client behind 31 trusted proxies is found, behind 32 it is the farthest of them that counts."""
    for proxies, expected in ((MAX_HOPS - 1, CLIENT), (MAX_HOPS, "10.0.0.7"), (MAX_HOPS + 1, "10.0.0.7")):
        nodes = [CLIENT, *["10.0.0.7"] * proxies]
        assert seen(header, ", ".join(prefix + node for node in nodes)) == expected


@pytest.mark.parametrize(("length", "expected"), [(MAX_FORWARDED_BYTES, CLIENT), (MAX_FORWARDED_BYTES + 1, None)])
def test_the_longest_forwarded_header(length: int, expected: str | None) -> None:
    """Case 88: 8 KiB are read, and one byte more names nobody."""
    assert seen("Forwarded", f"for={CLIENT}".rjust(length)) == expected


@pytest.mark.parametrize("mark", ["\x0b", "\x85", "\xa0", "X", "\r"])
def test_only_spaces_and_tabs_stand_about_an_address(mark: str) -> None:
    """Case 88: what else Python takes for white space is part of a node, which then is no address."""
    for line in (f"1.1.1.1, {mark}{CLIENT}", f"1.1.1.1, {CLIENT}{mark}"):
        assert seen("X-Forwarded-For", line) is None


def test_an_escape_in_a_quoted_node() -> None:
    """RFC 7230, section 3.2.6: a backslash in a quoted string stands for the character behind it."""
    assert seen("Forwarded", r'for="203\.0.113\.9"') == CLIENT


def test_the_interface_of_a_link_local_proxy() -> None:
    """Case 88: the other end of a connection may come with this machine's interface behind a percent sign."""
    lies = [(b"x-forwarded-for", b"1.1.1.1")]
    assert ClientAddresses(["fe80::/10"], "X-Forwarded-For").resolve("fe80::1%eth0", lies) == "1.1.1.1"


@given(
    st.lists(st.text('0123456789abcdef.:[]", ;=\\for_unkw\t', max_size=60), max_size=4),
    st.sampled_from(["X-Forwarded-For", "Forwarded"]),
)
def test_a_client_behind_a_proxy_can_not_choose(lines: list[str], header: str) -> None:
    """Whatever a client writes, a proxy that appends its address makes it that one, or nobody; nothing raises."""
    added = {"X-Forwarded-For": CLIENT, "Forwarded": f'for="{CLIENT}:80";proto=http'}[header]
    appended = [*lines[:-1], f"{lines[-1]}, {added}"] if lines else [added]
    assert seen(header, *appended) in ({CLIENT} if header == "X-Forwarded-For" else {CLIENT, None})
    assert seen(header, *lines, added) in ({CLIENT} if header == "X-Forwarded-For" else {CLIENT, None})
    found = seen(header, *lines)
    assert found is None or ipaddress.ip_address(found)


@pytest.mark.parametrize(
    ("trusted", "header", "named"),
    [
        (["10.0.0.0/8"], None, "forwarded_header go together"),
        ([], "Forwarded", "forwarded_header go together"),
        (["10.0.0.1/8"], "Forwarded", "host bits"),
        (["proxy.example"], "Forwarded", "proxy.example"),
        (["10"], "Forwarded", "10"),
        (["0.0.0.0/0"], "Forwarded", "trusts everybody"),
        (["::/0"], "Forwarded", "trusts everybody"),
        (["*"], "Forwarded", "no address"),
        (["10.0.0.1"], "X-Real-IP", "X-Real-IP"),
        (["10.0.0.1"], "Forwarded€", "Forwarded€"),
    ],
)
def test_settings_that_can_not_work(trusted: Any, header: str | None, named: str) -> None:
    """A setting that would trust nobody, everybody, or a header that anybody writes, is refused at start-up."""
    with pytest.raises(ConfigurationError, match=named):
        Shop({"trusted_proxies": trusted, "forwarded_header": header})


def test_a_price_function_is_given_the_resolved_peer() -> None:
    """Case 88: what the paywall counts by, a price function sees."""

    def price(request: RequestView) -> int:
        raise Refusal(404, "nobody", str(request.peer))

    shop = Shop({"trusted_proxies": "127.0.0.1", "forwarded_header": "x-forwarded-for"})
    decision = shop.decide(Offer(price), ask(headers=[(b"x-forwarded-for", b"1.1.1.1, 203.0.113.9")]))
    assert members(decision)["title"] == CLIENT
