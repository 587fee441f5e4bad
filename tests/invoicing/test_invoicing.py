"""The operator's provider and its invoices: what may make them, what one must be to be sold, and what it is for."""

import json
from pathlib import Path
from typing import Any

import pytest

from l402_middleware import sats
from l402_middleware.core.errors import ConfigurationError, ProviderError
from l402_middleware.core.invoice import decode
from l402_middleware.invoicing.invoicing import MAX_EXPIRY, Invoicing, accepted, memo_of
from l402_middleware.providers import CreatedInvoice, DevNode, Failover, InvoiceRequest, LNbits

# BOLT 11's own examples, made at 1496314658. The coffee is over 250,000 sat and good for a minute.
_EXAMPLES = {
    vector["name"]: vector["bolt11"]
    for vector in json.loads((Path(__file__).parents[1] / "core/vectors/bolt11_spec.json").read_text())["valid"]
}
COFFEE: str = _EXAMPLES["cup of coffee within a minute"]
DONATION: str = _EXAMPLES["donation of any amount"]
END = 1496314658 + 60

SECRET = "0123456789abcdef"


def function(request: InvoiceRequest) -> str:
    """A provider function."""
    return COFFEE


def lnbits(network: str = "bitcoin") -> LNbits:
    """A provider that knows its network, can be asked about payments, and sells whole sats."""
    return LNbits("https://node.example", SECRET, network=network)


@pytest.mark.parametrize(
    ("provider", "network", "expected"),
    [
        (function, None, ("bitcoin", 1000)),
        (function, "signet", ("signet", 1000)),
        (DevNode(), None, ("regtest", 1)),
        ([DevNode(), lnbits("regtest")], None, ("regtest", 1000)),
        ((DevNode(), function), "regtest", ("regtest", 1000)),
        (Failover(DevNode(), lnbits("regtest")), None, ("regtest", 1000)),
    ],
)
def test_what_invoices_are_made_by(provider: Any, network: str | None, expected: tuple[str, int]) -> None:
    """One provider or function, or several: they have one network, and amounts that each of them can express."""
    invoicing = Invoicing(provider, network, verify_settlement=False)
    assert (invoicing.network, invoicing.granularity_msat) == expected
    several = provider.providers if isinstance(provider, Failover) else provider
    assert len(invoicing.providers) == (len(several) if isinstance(several, list | tuple) else 1)


@pytest.mark.parametrize(
    ("provider", "options", "fault"),
    [
        ([], {}, "Failover needs at least one provider"),
        ([lnbits(), SECRET], {}, "not str"),
        (DevNode(), {"network": "regtest"}, "network is the provider's own setting"),
        ([DevNode(), lnbits("regtest")], {"network": "regtest"}, "network is the provider's own setting"),
        ([DevNode(), function], {}, "same network, not DevNode on regtest, FunctionProvider on bitcoin"),
        ([lnbits(), function], {"verify_settlement": True}, r"; FunctionProvider has no is_settled\(\)"),
        ([function, function], {"verify_settlement": True}, "; FunctionProvider, FunctionProvider has no"),
        (DevNode(), {"timeout": 0}, "timeout must be a number of seconds above 0, not 0"),
        (DevNode(), {"max_threads": 0}, "max_threads must be a whole number from 1, not 0"),
        (Failover(DevNode()), {"timeout": 3}, "^timeout: give it to the Failover"),
        (Failover(DevNode()), {"timeout": 3, "max_threads": 3}, "^timeout, max_threads: give it to the Failover"),
    ],
)
def test_what_can_not_make_invoices(provider: Any, options: dict[str, Any], fault: str) -> None:
    """It is refused at start-up, in words that say what to write instead, and never repeat a secret."""
    with pytest.raises(ConfigurationError, match=fault) as caught:
        Invoicing(provider, **{"network": None, "verify_settlement": False, **options})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({}, None),
        ({"payment_hash": decode(COFFEE).payment_hash}, None),
        ({"payment_hash": bytes(32)}, "has another payment hash than the provider says"),
        ({"network": "regtest"}, "is for bitcoin, not for regtest"),
        ({"sats": 249_999}, "is over 250000 sat, not over 249999 sat"),
        ({"bolt11": DONATION}, "is over any amount, not over 250000 sat"),
        ({"bolt11": COFFEE[:-1]}, "cannot be read: "),
        ({"now": END}, "has expired already, or never will; are both clocks right?"),
        ({"now": END - 1}, None),
        ({"now": END - MAX_EXPIRY}, "has expired already, or never will; are both clocks right?"),
        ({"now": END - MAX_EXPIRY + 1}, None),
    ],
)
def test_what_is_sold(changed: dict[str, Any], fault: str | None) -> None:
    """Case 21: the invoice that was asked for, and no other: the operator reads what is wrong with that one."""
    asked = {"bolt11": COFFEE, "payment_hash": None, "sats": 250_000, "network": "bitcoin", "now": END - 30, **changed}
    created = CreatedInvoice(asked["bolt11"], asked["payment_hash"])
    request = InvoiceRequest(sats(asked["sats"]), "1 cup coffee", 60)
    if fault is None:
        assert accepted(created, request, asked["network"], asked["now"]) == decode(COFFEE)
        return
    with pytest.raises(ProviderError) as caught:
        accepted(created, request, asked["network"], asked["now"])
    assert caught.value.kind == "wrong-invoice"
    assert str(caught.value).startswith(f"the provider's invoice {fault}")


@pytest.mark.parametrize(
    ("text", "memo"),
    [
        ("⚡ one cup", "⚡ one cup"),
        ("a\0b\nc\x7fd", "a b c d"),
        ("/\udc80", "/ "),
        ("x" * 640, "x" * 639),
        ("é" * 320, "é" * 319),
        ("x" * 636 + "⚡⚡", "x" * 636 + "⚡"),
    ],
)
def test_a_memo(text: str, memo: str) -> None:
    """Whatever is asked for by whatever name, its description fits into an invoice, and no character is cut in two."""
    assert memo_of(text) == memo
