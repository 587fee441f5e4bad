"""What a 402 carries: the header line to the byte, and the body's members."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core.challenge import Challenge, problem
from l402_middleware.core.invoice import decode
from l402_middleware.core.money import MAX_MSAT, Msat, msats

SPEC: dict[str, Any] = json.loads((Path(__file__).parent / "vectors" / "bolt11_spec.json").read_text())
BOLT11: str = SPEC["valid"][1]["bolt11"]
INVOICE = decode(BOLT11)
TOKEN = "AgEEbDQwMg+/AA=="
CHALLENGE = Challenge(TOKEN, INVOICE)

# protocol.md names them: each makes some client take the answer for another protocol's, or break.
FORBIDDEN = {"detail", "challenge", "resource", "payment", "settlement", "accepts"}


def test_the_header_to_the_byte() -> None:
    """Case 16: scheme, order, casing, spacing and quotes are what every known client reads; nothing else is."""
    assert CHALLENGE.header() == (
        f'L402 macaroon="AgEEbDQwMg+/AA==", invoice="{BOLT11}", version="0", token="AgEEbDQwMg+/AA=="'
    )


# How clients look for the two values, as alternatives that all have to find them.
CLIENTS = {
    "by name, quoted": r'macaroon="(?P<macaroon>.*?)".*?invoice="(?P<invoice>.*?)"',
    "the rest of the line": r'L402 macaroon="(?P<macaroon>[^"]+)", invoice="(?P<invoice>[^"]+)"',
    "quotes optional": r'macaroon="?(?P<macaroon>[^",\s]+)"?,\s*invoice="?(?P<invoice>[^",\s]+)"?',
    "any case": r'(?i)^l402\s+macaroon="(?P<macaroon>[^"]*)"\s*,\s*invoice="(?P<invoice>[^"]*)"',
}


@pytest.mark.parametrize("pattern", CLIENTS.values(), ids=CLIENTS.keys())
def test_clients_find_both_values(pattern: str) -> None:
    """Case 16: however a client goes about it, it finds the macaroon and the invoice."""
    match = re.search(pattern, CHALLENGE.header())
    assert match is not None
    assert match.groupdict() == {"macaroon": TOKEN, "invoice": BOLT11}


def test_the_body() -> None:
    """The flat members that two clients read and nothing else, with units in their names."""
    assert CHALLENGE.members() == {
        "macaroon": TOKEN,
        "token": TOKEN,
        "invoice": BOLT11,
        "payment_hash": "0001020304050607080900010203040506070809000102030405060708090102",
        "amount_sats": 250_000,
        "price_sats": 250_000,
        "amount_msat": 250_000_000,
        "expires_at": 1_496_314_658 + 60,
    }


def test_problems_name_themselves() -> None:
    """RFC 9457's members and our machine-readable `code`, which the type repeats."""
    assert problem(402, "payment-required", "Pay.") == {
        "type": "urn:l402:problem:payment-required",
        "title": "Pay.",
        "status": 402,
        "code": "payment-required",
    }


def test_no_member_breaks_a_client() -> None:
    """The names that make clients take a 402 for another protocol's are not used, and no name is used twice."""
    of_problem, of_challenge = problem(402, "c", "t").keys(), CHALLENGE.members().keys()
    assert not (of_problem | of_challenge) & FORBIDDEN
    assert not of_problem & of_challenge


@given(st.integers(1, MAX_MSAT))
def test_numbers_are_numbers(msat: int) -> None:
    """Amounts, the status and the expiry are JSON integers, and sats are rounded up, never down."""
    members = problem(402, "c", "t") | Challenge(TOKEN, replace(INVOICE, amount=Msat(msat))).members()
    read = json.loads(json.dumps(members))
    assert {name for name, value in read.items() if type(value) is int} == {
        "status", "amount_sats", "price_sats", "amount_msat", "expires_at",
    }  # fmt: skip
    assert all(type(value) in (int, str) for value in read.values())
    assert read["amount_msat"] == msat
    assert (read["amount_sats"] - 1) * 1000 < msat <= read["amount_sats"] * 1000
    assert read["price_sats"] == read["amount_sats"]


def test_an_amount_of_less_than_a_sat() -> None:
    """Case 57: 1 msat is told as 1 msat, and as 1 sat to who counts sats."""
    members = Challenge(TOKEN, replace(INVOICE, amount=msats(1))).members()
    assert (members["amount_sats"], members["amount_msat"]) == (1, 1)


def test_a_challenge_shows_no_token() -> None:
    """Case 113: a macaroon is a secret; the text of a challenge does not hold it."""
    assert TOKEN not in repr(CHALLENGE)
    assert TOKEN not in str(CHALLENGE)
