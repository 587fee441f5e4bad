"""What each provider sends, and how it reads the answers, handed to its flow without any server."""

import json
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest

from l402_middleware.core.errors import ProviderError
from l402_middleware.core.money import sats
from l402_middleware.flow import Flow
from l402_middleware.providers import LND, CoreLightning, InvoiceRequest, LNbits, Phoenixd

PAID_FOR = bytes(range(32))
HASH = PAID_FOR.hex()
REQUEST = InvoiceRequest(sats(21), "⚡ & more", 600)
URL = "https://node.example/prefix/"

LNBITS = LNbits(URL, "KEY")
PLAIN_LND = LND(URL, macaroon="0201")
CLN = CoreLightning(URL, rune="RUNE")
PHOENIXD = Phoenixd(URL, password="WORD")


def asked(flow: Flow[Any]) -> httpx2.Request:
    """The request that a flow begins with."""
    request = vars(next(flow))["request"]
    assert isinstance(request, httpx2.Request)
    return request


def told(flow: Flow[Any], status: int, body: Any) -> Any:
    """What a flow makes of this answer: its result, or the kind of its failure."""
    asked(flow)
    try:
        flow.send(httpx2.Response(status, content=json.dumps(body).encode()))
    except StopIteration as end:
        return end.value
    except ProviderError as error:
        return error.kind
    raise AssertionError("the flow asked for more")


def cln(**invoice: Any) -> dict[str, Any]:
    """One invoice in an answer to `listinvoices`."""
    return {"label": "l402-00", "payment_hash": HASH, **invoice}


@pytest.mark.parametrize(
    ("provider", "status", "body", "expected"),
    [
        (PLAIN_LND, 200, {"state": "SETTLED"}, True),
        (PLAIN_LND, 200, {"state": "OPEN"}, False),
        (PLAIN_LND, 200, {"state": "ACCEPTED"}, False),
        (PLAIN_LND, 200, {"state": "CANCELED"}, False),
        (PLAIN_LND, 200, {"state": "settled"}, "bad-answer"),
        (PLAIN_LND, 200, {"state": 1}, "bad-answer"),
        (PLAIN_LND, 200, {"state": ["SETTLED"]}, "bad-answer"),
        (PLAIN_LND, 200, {"settled": True}, "bad-answer"),
        (PLAIN_LND, 404, {"code": 5}, False),
        (PLAIN_LND, 404, {"state": "SETTLED"}, "rejected"),
        (PLAIN_LND, 500, {"code": 2}, "unauthorized"),
        (PLAIN_LND, 500, {"code": 13}, "rejected"),
        (CLN, 201, {"invoices": [cln(status="paid")]}, True),
        (CLN, 201, {"invoices": [cln(status="unpaid")]}, False),
        (CLN, 201, {"invoices": [cln(status="expired")]}, False),
        (CLN, 201, {"invoices": []}, False),
        (CLN, 201, {"invoices": [cln(status="paid", payment_hash="00" * 32)]}, "bad-answer"),
        (CLN, 201, {"invoices": [cln(status="paid"), cln(status="paid")]}, "bad-answer"),
        (CLN, 201, {"invoices": [cln()]}, "bad-answer"),
        (CLN, 201, {"invoices": [cln(status=True)]}, "bad-answer"),
        (CLN, 201, {"invoices": {"status": "paid"}}, "bad-answer"),
        (CLN, 201, {}, "bad-answer"),
        (CLN, 200, {"invoices": [cln(status="paid")]}, "rejected"),
        (CLN, 401, {"code": 1502}, "unauthorized"),
        (CLN, 403, {"code": 1501}, "unauthorized"),
        (CLN, 500, {"code": -1}, "rejected"),
        (PHOENIXD, 200, {"isPaid": True}, True),
        (PHOENIXD, 200, {"isPaid": False}, False),
        (PHOENIXD, 200, {"isPaid": "true"}, "bad-answer"),
        (PHOENIXD, 200, {"isPaid": 1}, "bad-answer"),
        (PHOENIXD, 200, {"receivedSat": 21}, "bad-answer"),
        (PHOENIXD, 404, "Not found", False),
        (PHOENIXD, 401, "Invalid authentication", "unauthorized"),
        (PHOENIXD, 500, {"isPaid": True}, "rejected"),
        (LNBITS, 200, {"paid": True, "preimage": "00"}, True),
        (LNBITS, 200, {"paid": False}, False),
        (LNBITS, 200, {"paid": "true"}, "bad-answer"),
        (LNBITS, 200, {"detail": "?"}, "bad-answer"),
        (LNBITS, 404, {"detail": "Payment does not exist."}, False),
        (LNBITS, 520, {"paid": True}, "rejected"),
    ],
)
def test_only_a_plain_yes_is_a_settlement(provider: Any, status: int, body: Any, expected: object) -> None:
    """True for a payment that has arrived for good, False where the node says that it has not, else a failure."""
    answer = told(provider.is_settled(PAID_FOR), status, body)
    assert answer is expected or (isinstance(expected, str) and answer == expected)


@pytest.mark.parametrize(
    ("provider", "method", "path"),
    [
        (LNBITS, "GET", f"/prefix/api/v1/payments/{HASH}"),
        (PLAIN_LND, "GET", f"/prefix/v1/invoice/{HASH}"),
        (CLN, "POST", "/prefix/v1/listinvoices"),
        (PHOENIXD, "GET", f"/prefix/payments/incoming/{HASH}"),
    ],
)
def test_the_question_whether_it_is_settled(provider: Any, method: str, path: str) -> None:
    """It names the payment hash, in hex, below the address with its prefix."""
    request = asked(provider.is_settled(PAID_FOR))
    assert (request.method, request.url.path, request.url.host) == (method, path, "node.example")
    assert HASH in request.url.path + request.content.decode()


@pytest.mark.parametrize(
    ("provider", "path", "header", "sent"),
    [
        (
            LNBITS,
            "/prefix/api/v1/payments",
            ("x-api-key", "KEY"),
            {"out": False, "unit": "sat", "amount": 21, "memo": "⚡ & more", "expiry": 600},
        ),
        (
            PLAIN_LND,
            "/prefix/v1/invoices",
            ("grpc-metadata-macaroon", "0201"),
            {"value_msat": "21000", "memo": "⚡ & more", "expiry": "600", "private": False},
        ),
        (
            LND(URL, macaroon="0201", route_hints=True),
            "/prefix/v1/invoices",
            ("grpc-metadata-macaroon", "0201"),
            {"value_msat": "21000", "memo": "⚡ & more", "expiry": "600", "private": True},
        ),
        (
            CLN,
            "/prefix/v1/invoice",
            ("rune", "RUNE"),
            {"amount_msat": 21000, "description": "⚡ & more", "expiry": 600},
        ),
    ],
)
def test_what_is_asked_of_a_node(provider: Any, path: str, header: tuple[str, str], sent: dict[str, Any]) -> None:
    """The request has the key in its header, and says all that the invoice has to be."""
    request = asked(provider.create_invoice(REQUEST))
    members = json.loads(request.content)
    label = members.pop("label", None)
    assert (request.method, request.url.path, members) == ("POST", path, sent)
    assert request.headers[header[0]] == header[1]
    assert (label is not None) == (provider is CLN)


def test_what_is_asked_of_phoenixd() -> None:
    """A form, and a password without a user."""
    request = asked(PHOENIXD.create_invoice(REQUEST))
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["authorization"] == "Basic OldPUkQ="
    assert (request.method, request.url.path) == ("POST", "/prefix/createinvoice")
    assert parse_qs(request.content.decode()) == {
        "amountSat": ["21"],
        "description": ["⚡ & more"],
        "expirySeconds": ["600"],
    }


def test_no_text_of_core_lightnings_has_an_escape() -> None:
    """Core Lightning takes UTF-8 as it is, and no JSON escapes for it."""
    assert b"\\u" not in asked(CLN.create_invoice(REQUEST)).content


def test_each_label_is_its_own() -> None:
    """Core Lightning refuses a second invoice of the same label."""
    labels = {json.loads(asked(CLN.create_invoice(REQUEST)).content)["label"] for _ in range(100)}
    assert len(labels) == 100
