"""The embedded development node: its invoices, its wallet, and the locks on it."""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from coincurve import PublicKey
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core import bech32, invoice
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import MAX_MSAT, Msat, msats, sats
from l402_middleware.invoicing.provider import CreatedInvoice, InvoiceRequest, Provider
from l402_middleware.providers.devnode import WALLET_PATH, DevNode, WalletRefusal

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "core" / "vectors" / "bolt11_devnode.json").read_text()
)

OLD_KEY = "the first key of a ring in the tests of the node"
NEW_KEY = "the second key of a ring in the tests of the node"
OTHER_KEY = "a key that nobody else in these tests has got"
NOW = 1_750_000_000
REQUEST = InvoiceRequest(amount=sats(21), memo="weather for Bern", expiry=600)
PRODUCTION_NAMES = ("L402_ENV", "ENV", "APP_ENV", "FLASK_ENV")


@pytest.fixture(scope="module", autouse=True)
def development() -> Any:
    """Every test starts in an environment that allows the node, whatever surrounds the test run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in PRODUCTION_NAMES:
            patch.delenv(name, raising=False)
        patch.setenv("L402_DEV", "1")
        yield


def node(*keys: str, now: float = NOW) -> DevNode:
    """A node with these keys, oldest first, at that time."""
    devnode = DevNode(clock=lambda: now)
    devnode.use_keys(KeyRing(keys or (OLD_KEY,)))
    return devnode


def created(provider: Provider, request: InvoiceRequest) -> CreatedInvoice:
    """The answer of a provider that must not ask for any HTTP request on the way."""
    with pytest.raises(StopIteration) as end:
        next(provider.create_invoice(request))
    assert isinstance(end.value.value, CreatedInvoice)
    return end.value.value


def invoice_of(provider: Provider, request: InvoiceRequest = REQUEST) -> str:
    """The invoice that the provider makes."""
    return created(provider, request).bolt11


def payee_of(bolt11: str) -> bytes:
    """The public key that BOLT 11's signature recovers to, worked out bit by bit."""
    prefix, groups = bech32.decode(bolt11)
    signed = "".join(f"{group:05b}" for group in groups[:-104])
    signed += "0" * (-len(signed) % 8)
    message = prefix.encode() + bytes(int(signed[i : i + 8], 2) for i in range(0, len(signed), 8))
    key: bytes = PublicKey.from_signature_and_message(bech32.to_octets(groups[-104:]), message).format()
    return key


def resealed(bolt11: str, position: int) -> str:
    """The invoice with one data group changed and the checksum made right again."""
    prefix, groups = bech32.decode(bolt11)
    changed = bytearray(groups)
    changed[position] ^= 1
    return bech32.encode(prefix, bytes(changed))


@pytest.mark.parametrize("vector", GOLDEN["valid"], ids=lambda vector: vector["memo"][:12])
def test_golden_invoices_are_made_again(vector: dict[str, Any]) -> None:
    """Same key, secret and time, same invoice: RFC 6979 signatures and our encoding have not changed."""
    devnode = DevNode(clock=lambda: vector["created_at"], token_bytes=lambda _: bytes.fromhex(vector["payment_secret"]))
    devnode.use_keys(KeyRing(vector["keys"]))
    request = InvoiceRequest(Msat(vector["amount_msat"]), vector["memo"], vector["expiry"])
    assert invoice_of(devnode, request) == vector["bolt11"]


@pytest.mark.parametrize("vector", GOLDEN["valid"], ids=lambda vector: vector["memo"][:12])
def test_an_independent_decoder_reads_what_was_asked_for(vector: dict[str, Any]) -> None:
    """A decoder that verifies signatures reads the request, the needed features and the payee we recover."""
    assert (vector["network"], vector["description"]) == ("regtest", vector["memo"])
    assert vector["features"] == {"var_onion_optin": "required", "payment_secret": "required"}
    assert vector["min_final_cltv"] == 18
    assert payee_of(vector["bolt11"]).hex() == vector["payee"]
    ours = invoice.decode(vector["bolt11"])
    assert ours.payment_hash.hex() == vector["payment_hash"]


@given(
    memo=st.text(st.characters(exclude_categories=["Cc", "Cs"])).filter(lambda t: len(t.encode()) <= 639),
    msat=st.one_of(st.integers(1, MAX_MSAT), st.integers(1, 21_000_000).map(lambda n: n * 10**8)),
    expiry=st.integers(1, 2**40),
)
def test_the_invoice_is_the_request_and_can_be_paid(memo: str, msat: int, expiry: int) -> None:
    """Any request comes back out of the invoice, and paying gives the preimage of its payment hash."""
    devnode = node()
    answer = created(devnode, InvoiceRequest(msats(msat), memo, expiry))
    read = invoice.decode(answer.bolt11)
    assert (read.network, read.amount, read.description) == ("regtest", Msat(msat), memo)
    assert (read.created_at, read.expiry, read.description_hash) == (NOW, expiry, None)
    assert sha256(devnode.pay(answer.bolt11)).digest() == read.payment_hash == answer.payment_hash


def test_the_longest_memo_fits() -> None:
    """639 bytes of UTF-8, the most that a description can hold, are kept whole."""
    memo = "€" * 213
    assert invoice.decode(invoice_of(node(), InvoiceRequest(sats(1), memo, 60))).description == memo


@pytest.mark.parametrize(
    ("amount", "prefix"),
    [
        (sats(100_000_000), "lnbcrt11"),
        (sats(100_000), "lnbcrt1m1"),
        (sats(250_000), "lnbcrt2500u1"),
        (sats(21), "lnbcrt210n1"),
        (msats(100), "lnbcrt1n1"),
        (msats(1), "lnbcrt10p1"),
        (msats(967_878_534), "lnbcrt9678785340p1"),
    ],
)
def test_amounts_take_the_shortest_form(amount: Msat, prefix: str) -> None:
    """BOLT 11, "Human-Readable Part": the largest multiplier that leaves a whole number."""
    assert invoice_of(node(), InvoiceRequest(amount, "m", 60)).startswith(prefix)


def test_no_two_invoices_are_alike() -> None:
    """The same request at the same second gets another secret and another payment hash."""
    first, second = (invoice.decode(invoice_of(node())) for _ in range(2))
    assert first.payment_hash != second.payment_hash
    assert first.payment_secret != second.payment_secret


def test_any_worker_with_the_same_ring_pays() -> None:
    """Two workers share nothing but the keys; one pays what the other made, with the same preimage."""
    maker, payer = node(OLD_KEY, NEW_KEY), node(OLD_KEY, NEW_KEY)
    bolt11 = invoice_of(maker)
    assert payer.pay(bolt11) == maker.pay(bolt11)
    assert payee_of(bolt11) == payee_of(invoice_of(payer))


def test_rotation() -> None:
    """The newest key makes, every key in the ring pays, a dropped one no longer does."""
    before, during, after = node(OLD_KEY), node(OLD_KEY, NEW_KEY), node(NEW_KEY)
    old, new = invoice_of(before), invoice_of(during)
    assert payee_of(old) != payee_of(new) == payee_of(invoice_of(after))
    assert during.pay(old) == before.pay(old)
    assert after.pay(new) == during.pay(new)
    with pytest.raises(WalletRefusal, match="did not make"):
        after.pay(old)


def test_payee_and_preimages_come_from_different_keys() -> None:
    """A second ring is another node altogether: its payee, its hashes."""
    assert payee_of(invoice_of(node())) != payee_of(invoice_of(node(OTHER_KEY)))


SPEC_INVOICE = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwz"
    "qfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27"
    "kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)


@pytest.mark.parametrize(
    ("bolt11", "code", "message"),
    [
        ("", "invalid-invoice", "no BOLT 11 invoice: there is no '1'"),
        ("hello", "invalid-invoice", "no BOLT 11 invoice: there is no '1'"),
        (SPEC_INVOICE[:-1], "invalid-invoice", "no BOLT 11 invoice: the checksum"),
        (SPEC_INVOICE, "foreign-invoice", "did not make"),
    ],
)
def test_what_is_not_paid(bolt11: str, code: str, message: str) -> None:
    """Garbage and the invoices of real nodes are rejected, each for its own reason."""
    with pytest.raises(ProviderError, match=message) as refused:
        node().pay(bolt11)
    assert refused.value.kind == "rejected"
    assert isinstance(refused.value, WalletRefusal)
    assert refused.value.code == code


def test_another_ring_does_not_pay() -> None:
    """An invoice made with a key that is not in the ring is a foreign one."""
    with pytest.raises(WalletRefusal, match="did not make"):
        node(OTHER_KEY).pay(invoice_of(node()))


@pytest.mark.parametrize("position", [6, 15, 68, 70, 125, -105, -104, -1])
def test_an_altered_invoice_is_foreign(position: int) -> None:
    """Time, hash, secret, memo, features or signature changed under a right checksum: not our invoice."""
    with pytest.raises(WalletRefusal, match=r"did not make|no BOLT 11"):
        node().pay(resealed(invoice_of(node()), position))


def test_an_altered_amount_is_foreign() -> None:
    """The signature covers the amount in the prefix as well."""
    _, groups = bech32.decode(invoice_of(node()))
    with pytest.raises(WalletRefusal, match="did not make"):
        node().pay(bech32.encode("lnbcrt10n", groups))


def test_expiry() -> None:
    """An invoice can be paid up to its last second, and from its expiry on no more."""
    bolt11 = invoice_of(node())
    assert node(now=NOW + REQUEST.expiry - 0.001).pay(bolt11)
    with pytest.raises(WalletRefusal, match="expired") as refused:
        node(now=NOW + REQUEST.expiry).pay(bolt11)
    assert refused.value.code == "expired-invoice"


@pytest.mark.parametrize("value", [None, "", "0", "true", "yes", "11"])
def test_needs_the_development_switch(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 117: nothing but L402_DEV=1 lets the node start, and the message says so."""
    if value is None:
        monkeypatch.delenv("L402_DEV")
    else:
        monkeypatch.setenv("L402_DEV", value)
    with pytest.raises(ConfigurationError, match=r"set L402_DEV=1 .* real provider"):
        DevNode()


@pytest.mark.parametrize("name", PRODUCTION_NAMES)
@pytest.mark.parametrize("value", ["prod", "production", "live", "PRODUCTION", " Prod "])
def test_refuses_production(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 117: an environment that says production wins over L402_DEV=1, whatever the others say."""
    for other in PRODUCTION_NAMES:
        monkeypatch.setenv(other, "development")
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name}={value} .* real provider"):
        DevNode()


@pytest.mark.parametrize("value", ["development", "dev", "test", "staging", "", "productive"])
def test_starts_elsewhere(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other name of an environment leaves L402_DEV=1 in force."""
    for name in PRODUCTION_NAMES:
        monkeypatch.setenv(name, value)
    assert DevNode().network == "regtest"


def test_says_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without coincurve the module still imports, and the node names the extra to install."""
    monkeypatch.setitem(sys.modules, "coincurve", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'l402_middleware\[dev\]'"):
        DevNode()


def test_needs_keys() -> None:
    """Before it has keys, the node makes and pays nothing, and says what is missing."""
    with pytest.raises(ConfigurationError, match="use_keys"):
        next(DevNode().create_invoice(REQUEST))
    with pytest.raises(ConfigurationError, match="use_keys"):
        DevNode().pay(SPEC_INVOICE)


def test_shows_no_key() -> None:
    """Neither the node nor what it is made of puts a key into a repr."""
    devnode = node()
    shown = f"{devnode!r} {devnode._identities!r}"
    for subkey in (*KeyRing([OLD_KEY]).subkeys("devnode preimage"), OLD_KEY.encode()):
        assert subkey.hex() not in shown
        assert repr(subkey) not in shown


def test_the_wallet_answers_this_machine() -> None:
    """The wallet gives the preimage in hex, also for an upper-case invoice with the URI scheme."""
    devnode = node()
    bolt11 = invoice_of(devnode)
    paid = (200, {"preimage": devnode.pay(bolt11).hex()})
    assert WALLET_PATH == "/dev/wallet/pay"
    for query in (f"invoice={bolt11}", f"a=b&invoice={bolt11.upper()}&c", f"invoice=lightning%3A{bolt11}"):
        assert devnode.answer_wallet(query, "127.0.0.1", [(b"host", b"127.0.0.1:8000")]) == paid


@pytest.mark.parametrize(
    ("peer", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.9.10", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        (None, 403),
        ("", 403),
        ("localhost", 403),
        ("0.0.0.0", 403),
        ("::", 403),
        ("10.0.0.1", 403),
        ("192.168.1.5", 403),
        ("8.8.8.8", 403),
        ("fe80::1", 403),
        ("::ffff:8.8.8.8", 403),
        ("127.0.0.1, 8.8.8.8", 403),
        ("127.0.0.1:80", 403),
    ],
)
def test_the_wallet_answers_loopback_peers_only(peer: str | None, status: int) -> None:
    """Case 117: whoever is not on this machine gets no preimage."""
    devnode = node()
    answer = devnode.answer_wallet(f"invoice={invoice_of(devnode)}", peer, [])
    assert answer[0] == status
    if status == 403:
        assert answer[1] == {
            "code": "not-local",
            "title": "The development wallet answers this machine only.",
        }


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"Forwarded", 403),
        (b"forwarded", 403),
        (b"X-Forwarded-For", 403),
        (b"x-forwarded-proto", 403),
        (b"X-FORWARDED-HOST", 403),
        (b"x_forwarded_for", 403),
        (b"X-Forwarded_For", 403),
        (b"X-Real-IP", 403),
        (b"x_real_ip", 403),
        (b"Via", 403),
        (b"accept", 200),
        (b"x-forward", 200),
        (b"viable", 200),
    ],
)
def test_the_wallet_does_not_answer_through_a_proxy(name: bytes, status: int) -> None:
    """Case 117: a forwarding header, in any spelling and whatever it says, means that a proxy is in between."""
    devnode = node()
    headers = [(b"host", b"localhost"), (name, b"")]
    assert devnode.answer_wallet(f"invoice={invoice_of(devnode)}", "127.0.0.1", headers)[0] == status


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("", 400, "missing-invoice"),
        ("invoices=x", 400, "missing-invoice"),
        ("Invoice=x", 400, "missing-invoice"),
        ("invoice=x&invoice=x", 400, "missing-invoice"),
        ("invoice=x&inv%6Fice=x", 400, "missing-invoice"),
        ("&" * 10_000, 400, "missing-invoice"),
        ("invoice=", 400, "invalid-invoice"),
        ("invoice", 400, "invalid-invoice"),
        ("invoice=%ff%00", 400, "invalid-invoice"),
        ("invoice=" + "q" * 100_000, 400, "invalid-invoice"),
        (f"invoice={SPEC_INVOICE}", 404, "foreign-invoice"),
    ],
)
def test_the_wallet_says_what_is_wrong(query: str, status: int, code: str) -> None:
    """Anything but exactly one invoice of this node is answered with a code and a sentence."""
    answered, body = node().answer_wallet(query, "127.0.0.1", [])
    assert (answered, body["code"]) == (status, code)
    assert body.keys() == {"code", "title"}
    assert body["title"].endswith(".")


def test_the_wallet_says_that_an_invoice_has_expired() -> None:
    """An expired invoice is a bad request, not an unknown one."""
    late = node(now=NOW + 601)
    status, body = late.answer_wallet(f"invoice={invoice_of(node())}", "::1", [])
    assert (status, body["code"]) == (400, "expired-invoice")


@given(
    query=st.text(st.characters()),
    peer=st.one_of(st.none(), st.text(), st.just("127.0.0.1")),
    headers=st.lists(st.tuples(st.binary(), st.binary()), max_size=3),
)
def test_no_request_makes_the_wallet_raise(query: str, peer: str | None, headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever arrives, the wallet answers with a status and never with a preimage it should not give."""
    status, body = node().answer_wallet(query, peer, headers)
    assert status in (400, 403)
    assert "preimage" not in body
