"""The challenges of a 402, in every form that is known of servers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core import base64url, strict_json
from l402_middleware.core.auth_params import read_challenges, write_challenge
from l402_middleware.core.offered import L402Offer, PaymentOffer, parse_challenges

M, I = "AgEEbDQwMg+/==", "lnbcrt210n1pexample"  # noqa: E741 - the invoice

DETAILS = {"invoice": I, "paymentHash": "00" * 32, "network": "regtest"}
REQUEST: dict[str, Any] = {"amount": "21", "currency": "sat", "methodDetails": DETAILS}


def payment(request: object = REQUEST, **changes: str) -> str:
    """A Payment challenge."""
    encoded = base64url.encode(strict_json.canonical(request))
    named = {"id": "x", "realm": "r", "method": "lightning", "intent": "charge", "request": encoded}
    return write_challenge("Payment", {**named, **changes})


@pytest.mark.parametrize(
    "value",
    [
        f'L402 macaroon="{M}", invoice="{I}", version="0", token="{M}"',
        f'L402 macaroon="{M}", invoice="{I}"',
        f'LSAT macaroon="{M}", invoice="{I}"',
        f'lsat  MACAROON="{M}",Invoice="{I}"',
        f'L402 version="0", token="{M}", invoice="{I}"',
        f'L402 invoice="{I}", macaroon="{M}"',
        f"L402 macaroon={M}, invoice={I}",
        f"L402 macaroon={M},invoice={I}",
        f'L402 macaroon="{M}" invoice="{I}"',
        f'L402 macaroon = "{M}" ,\tinvoice\t=\t"{I}"',
        f'L402 realm="a, b=c \\"LSAT\\"", macaroon="{M}", invoice="{I}"',
        f'L402 macaroon="{M}", invoice="{I}", macaroon="other", invoice="other"',
        f'Basic realm="x", L402 macaroon="{M}", invoice="{I}", Bearer',
        f'Negotiate YIIabc==, L402 macaroon="{M}", invoice="{I}"',
    ],
)
def test_every_form_of_l402_is_read(value: str) -> None:
    """Scheme, names, order, quotes, commas: as servers in the field have them."""
    assert parse_challenges([value.encode()]) == [L402Offer(M, I)]


def test_several_come_apart() -> None:
    """Two lines, or one that somebody joined, give the same offers in the same order."""
    lines = [f'LSAT macaroon="{M}", invoice="{I}"', f'L402 macaroon="{M}", invoice="{I}"', payment()]
    found = parse_challenges(line.encode() for line in lines)
    assert [offer.scheme for offer in found] == ["l402", "l402", "payment"]
    assert parse_challenges([", ".join(lines).encode()]) == found
    assert parse_challenges([",".join(lines).encode()]) == found


def test_a_payment_challenge_is_read() -> None:
    """With what it says beside the invoice, and the description in whichever encoding it came."""
    (offer,) = parse_challenges(
        [payment(description="x").encode().replace(b"x", b"caf\xe9").replace(b"caf\xe9", b"x", 1)]
    )
    assert isinstance(offer, PaymentOffer)
    assert (offer.bolt11, offer.amount, offer.currency, offer.network) == (I, "21", "sat", "regtest")
    assert offer.payment_hash == "00" * 32


@pytest.mark.parametrize(
    "value",
    [
        "",
        "L402",
        f'L402 macaroon="{M}"',
        f'L402 invoice="{I}"',
        f'L402 macaroon="", invoice="{I}"',
        f'L402 macaroon="a b", invoice="{I}"',
        f'L402 macaroon="a\u00e9", invoice="{I}"',
        f'L402 macaroon="{M}", invoice="{I}',
        f'Bearer macaroon="{M}", invoice="{I}"',
        payment(method="tempo"),
        payment(intent="session"),
        payment(request="!"),
        payment(request="e30"),
        payment({**REQUEST, "amount": 21}),
        payment({**REQUEST, "methodDetails": []}),
        payment({**REQUEST, "methodDetails": {**DETAILS, "network": 1}}),
        payment({"amount": "21", "methodDetails": DETAILS}),
        payment(id=""),
    ],
)
def test_what_nobody_can_pay_is_left_out(value: str) -> None:
    """Incomplete, unreadable, or paid in another way."""
    assert parse_challenges([value.encode()]) == []


def test_a_bad_one_beside_a_good_one_does_no_harm() -> None:
    """Neither before nor after it, neither in one line nor in two."""
    good, bad = f'L402 macaroon="{M}", invoice="{I}"', payment(request="!")
    for values in ([good, bad], [bad, good], [f"{good}, {bad}"], [f"{bad}, {good}"]):
        assert parse_challenges(value.encode() for value in values) == [L402Offer(M, I)]


def test_too_much_is_not_read() -> None:
    """More than 64 KiB of challenges is nobody's offer."""
    assert parse_challenges([f'L402 macaroon="{M}", invoice="{I}"'.encode(), b"x" * 65_536]) == []


def test_the_preimage_makes_the_authorization() -> None:
    """Of L402 the token as it came; nothing is shown in a repr."""
    offer = L402Offer(M, I)
    assert offer.authorization(bytes(32)) == f"L402 {M}:{'00' * 32}"
    assert M not in repr(offer)


@given(st.lists(st.binary(max_size=80) | st.text('L402 Payment="\\,mac invoe;', max_size=80).map(str.encode)))
def test_any_bytes_are_harmless(values: list[bytes]) -> None:
    """Nothing is raised."""
    parse_challenges(values)


NAMES = st.from_regex("[a-z]{1,8}", fullmatch=True)
QUOTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20)


@given(
    st.lists(st.tuples(NAMES, st.dictionaries(NAMES, QUOTABLE, max_size=4)), max_size=4), st.sampled_from([", ", ","])
)
def test_what_is_written_is_read_again(challenges: list[tuple[str, dict[str, str]]], comma: str) -> None:
    """Any text in a quoted parameter, several challenges in a line."""
    line = comma.join(write_challenge(scheme, parameters) for scheme, parameters in challenges)
    assert read_challenges([line.encode()]) == challenges


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\x00", "\x7f"])
def test_control_characters_are_not_written(value: str) -> None:
    """A line end in a header would begin another one."""
    with pytest.raises(ValueError, match="control"):
        write_challenge("Payment", {"id": value})
