"""LNURL as text, with the package lnurl as a second opinion on the Pythons that it is for."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l402_middleware.core import bech32
from l402_middleware.providers.lnurl import PayRequest, pay_url

ANSWER: dict[str, Any] = {
    "tag": "payRequest",
    "callback": "https://wallet.example/callback",
    "minSendable": 1000,
    "maxSendable": 2000,
    "metadata": json.dumps([["text/plain", "alice"]]),
}

# LUD-01's own example.
EXAMPLE = (
    "LNURL1DP68GURN8GHJ7UM9WFMXJCM99E3K7MF0V9CXJ0M385EKVCENXC6R2C35XVUKXEFCV5MKVV34X5EKZD3EV56NYD3HXQURZEPEXEJXXEPNXSCRVWFNV9"
    "NXZCN9XQ6XYEFHVGCXXCMYXYMNSERXFQ5FNS"
)
BEHIND = "https://service.com/api?q=3fc3645b439ce8e7f2553a69e5267081d96dcd340693afabe04be7b0ccd178df"


def test_the_specifications_example() -> None:
    """LUD-01: upper case, lower case, and after `lightning:`."""
    for text in (EXAMPLE, EXAMPLE.lower(), f"lightning:{EXAMPLE}", f" {EXAMPLE} "):
        assert pay_url(text) == BEHIND


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    """What comes back is a URL that may be asked; there is no other failure than `ValueError`."""
    encoded = bech32.encode("lnurl", bech32.from_octets(text.encode("utf-8", "replace")))
    for address in (text, f"{text}@wallet.example", f"alice@{text}", f"lnurlp://{text}", encoded):
        try:
            parts = urlsplit(pay_url(address))
        except ValueError:
            continue
        assert parts.hostname
        assert parts.scheme == "https" or parts.hostname.endswith((".onion", "127.0.0.1", "localhost"))


@given(st.dictionaries(st.sampled_from([*ANSWER, "commentAllowed"]), st.none() | st.integers() | st.text(), max_size=3))
def test_any_answer_is_a_pay_request_or_an_error(changes: dict[str, Any]) -> None:
    """What comes back can be paid; there is no other failure than `ValueError`."""
    try:
        request = PayRequest.of(ANSWER | changes)
    except ValueError:
        return
    assert 0 < request.least <= request.most
    assert request.comment >= 0


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "alice@wallet.example",
        "alice.b-c_d+tip@wallet.example",
        "alice@abcdef.onion",
        "lnurlp://wallet.example/pay?u=1",
        "https://wallet.example/pay",
        "Alice@wallet.example",
        "alice@wallet",
        "alice@127.0.0.1",
        "http://wallet.example/pay",
        "ftp://wallet.example/pay",
        "lnurl1garbage",
        EXAMPLE[:-1] + "Q",
        "",
    ],
)
def test_a_second_opinion_on_addresses(text: str) -> None:
    """The package lnurl finds the same URL, or none either."""
    lnurl = pytest.importorskip("lnurl", reason="the package lnurl is for Python 3.11 and 3.12")
    opinion: str | None
    try:
        opinion = str((lnurl.LnAddress if "@" in text else lnurl.Lnurl)(text).url)
    except (ValueError, lnurl.LnurlException):
        opinion = None
    try:
        ours: str | None = pay_url(text)
    except ValueError:
        ours = None
    assert ours == opinion


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"commentAllowed": 7},
        {"commentAllowed": None},
        {"minSendable": "1000"},
        {"minSendable": 0},
        {"maxSendable": 999},
        {"maxSendable": None},
        {"metadata": "[]"},
        {"metadata": "alice"},
        {"metadata": json.dumps([["image/png;base64", "alice"]])},
        {"callback": "http://wallet.example/"},
        {"callback": "http://127.0.0.1:5000/"},
        {"callback": None},
        {"tag": "login"},
    ],
)
def test_a_second_opinion_on_pay_requests(changes: dict[str, Any]) -> None:
    """The package lnurl reads the same, or refuses it as well."""
    lnurl = pytest.importorskip("lnurl", reason="the package lnurl is for Python 3.11 and 3.12")
    answer = ANSWER | changes
    try:
        read = lnurl.LnurlPayResponse(**answer)
        opinion = (str(read.callback), read.minSendable, read.maxSendable, read.commentAllowed or 0)
    except (ValueError, lnurl.LnurlException):
        opinion = None
    if answer["tag"] != "payRequest":
        opinion = None
    try:
        request = PayRequest.of(answer)
        ours = (request.callback, request.least, request.most, request.comment)
    except ValueError:
        ours = None
    assert ours == opinion
