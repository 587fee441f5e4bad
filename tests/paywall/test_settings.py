"""What may be set: the settings of a paywall, and the conditions of an offer."""

import re
from functools import partial
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

import pytest

from l402_middleware import ConfigurationError, Offer, Paywall, msats, paywall_from_settings, sats
from l402_middleware.invoicing.failover import Failover
from l402_middleware.ledgers import MemoryLedger, SQLiteLedger
from l402_middleware.paywall.delivery import Delivery
from l402_middleware.paywall.offer import Bind, is_priced_elsewhere, mark, offer_of, refuse_left_out
from l402_middleware.paywall.parameters import MAX_INVOICE_EXPIRY, MAX_SETTING, MAX_SPOOL_BYTES, MAX_THREADS
from l402_middleware.paywall.response import Response
from l402_middleware.paywall.settings import rates_from, rules_from, unknown_settings
from l402_middleware.providers.devnode import DevNode
from l402_middleware.providers.lnbits import LNbits
from l402_middleware.rates import Kraken

from .shop import KEY, Clock, Shop, ask, code, deliver

OTHER_KEY = "fedcba9876543210" * 4


def shop_of(settings: dict[str, Any]) -> Shop:
    """The paywall that settings describe, with somebody to pay it."""
    paywall = paywall_from_settings({"L402_PROVIDER": "dev:", "L402_SECRET_KEYS": KEY, **settings})
    shop = Shop()
    shop.paywall = paywall
    assert paywall.wallet is not None
    shop.node = paywall.wallet
    return shop


@pytest.mark.parametrize(
    ("settings", "second"),
    [
        ({}, 200),
        ({"L402_REPLAY_FOR": "0"}, 402),
        ({"L402_REPLAY_FOR": "0", "L402_INVALID_CREDENTIAL_STATUS": "401"}, 401),
        ({"L402_REPLAY_FOR": 0}, 402),
        ({"L402_SERVICE": "weather", "L402_INVOICE_EXPIRY": "60", "L402_LEASE": "2.5"}, 200),
        ({"L402_UNKNOWN_CAVEATS": "reject", "L402_SERVICE": ""}, 200),
        ({"L402_LEDGER": "memory:", "L402_PROVIDER": DevNode()}, 200),
        ({"L402_LEDGER": MemoryLedger, "L402_SECRET_KEYS": [OTHER_KEY, KEY]}, 200),
        ({"L402_SECRET_KEYS": f"{OTHER_KEY}, {KEY}"}, 200),
    ],
)
def test_settings(settings: dict[str, Any], second: int) -> None:
    """Settings, as text or as values, make a paywall that sells, and that answers a second request as it was told."""
    # Made here and not above: whoever forks between the two, as mutation testing does, would find it unusable.
    if settings.get("L402_LEDGER") is MemoryLedger:
        settings = settings | {"L402_LEDGER": MemoryLedger()}
    shop = shop_of(settings)
    offer = Offer(10)
    credential = shop.buy(offer)
    assert deliver(shop.decide(offer, ask("GET /thing", credential)))
    again = shop.decide(offer, ask("GET /thing", credential))
    assert isinstance(again, Response)
    assert again.status == second


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a mapping the environment is read."""
    monkeypatch.setenv("L402_PROVIDER", "lnbits+https://lnbits.example?invoice_key=abcdef0123456789")
    monkeypatch.setenv("L402_LEDGER", f"sqlite:///{tmp_path}/l402.db")
    paywall = paywall_from_settings()
    assert isinstance(paywall.ledger, SQLiteLedger)
    assert paywall.wallet is None


def test_keys_from_a_file(tmp_path: Path) -> None:
    """`L402_SECRET_KEYS_FILE` holds the ring; what one paywall sold another with that ring honours."""
    path = tmp_path / "keys"
    path.write_text(f"{OTHER_KEY},\n{KEY}\n")
    shop = shop_of({"L402_SECRET_KEYS": None, "L402_SECRET_KEYS_FILE": str(path)})
    credential = Shop().buy(Offer(10))
    assert isinstance(shop.decide(Offer(10), ask("GET /thing", credential)), Response)
    shop.paywall._admission._clock = Clock()
    assert isinstance(shop.decide(Offer(10), ask("GET /thing", credential)), Delivery)


def test_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none are given, the ring in `L402_SECRET_KEYS` is the paywall's; where some are, they are all of it."""
    offer = Offer(10)
    sold = {key: Shop({"secret_keys": [key]}).buy(offer) for key in (OTHER_KEY, KEY)}
    monkeypatch.setenv("L402_SECRET_KEYS", f"{OTHER_KEY}, {KEY}")
    for credential in sold.values():
        assert isinstance(Shop({"secret_keys": None}).decide(offer, ask("GET /thing", credential)), Delivery)
    refused = Shop({"secret_keys": [OTHER_KEY]}).decide(offer, ask("GET /thing", sold[KEY]))
    assert code(refused) == (402, "invalid-credential")


def test_a_ledger_that_keeps_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """With it a paywall without keys is refused at start-up: machines would each make their own."""
    monkeypatch.delenv("L402_SECRET_KEYS", raising=False)

    class Keyless(MemoryLedger):
        keeps_keys = False

    with pytest.raises(ConfigurationError, match=r"Keyless keeps no secret keys: set L402_SECRET_KEYS or secret_keys"):
        Paywall(DevNode(), Keyless())
    Paywall(DevNode(), Keyless(), secret_keys=[KEY])


READ: dict[str, tuple[str, Any, str, Any]] = {
    **{
        f"yes as {text!r}": ("L402_VERIFY_SETTLEMENT", text, "verify_settlement", True)
        for text in ("1", "true", "yes", "on", "True", "YES", " on ", True, 1)
    },
    **{
        f"no as {text!r}": ("L402_VERIFY_SETTLEMENT", text, "verify_settlement", False)
        for text in ("0", "false", "no", "off", "FALSE", " No", False)
    },
    "a network": ("L402_TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", ["10.0.0.0/8"]),
    "several, by commas": ("L402_TRUSTED_PROXIES", "10.0.0.0/8,::1", "trusted_proxies", ["10.0.0.0/8", "::1"]),
    "several, by spaces": (
        "L402_TRUSTED_PROXIES",
        " 10.0.0.1, ::1  unix",
        "trusted_proxies",
        ["10.0.0.1", "::1", "unix"],
    ),
    "a list": ("L402_TRUSTED_PROXIES", ["10.0.0.1"], "trusted_proxies", ["10.0.0.1"]),
    "a fraction": ("L402_LEASE", "2.5", "lease", 2.5),
    "a number": ("L402_INVOICE_EXPIRY", "60", "invoice_expiry", 60),
}


@pytest.mark.parametrize(("name", "value", "parameter", "expected"), READ.values(), ids=READ.keys())
def test_how_a_setting_is_read(name: str, value: Any, parameter: str, expected: Any) -> None:
    """As text, as an environment has it, or as a value, as Flask's configuration may; nothing set is nothing given."""
    arguments = rules_from({name: value, "L402_SERVICE": ""})
    assert arguments == {parameter: expected}
    assert type(arguments[parameter]) is type(expected)


@pytest.mark.parametrize("text", ["perhaps", "2", "yes please", "truefalse", "-1"])
def test_neither_yes_nor_no(text: str) -> None:
    """What is neither is not taken for no."""
    with pytest.raises(ConfigurationError, match=f"L402_VERIFY_SETTLEMENT is '{text}', which cannot be read"):
        rules_from({"L402_VERIFY_SETTLEMENT": text})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"L402_PROVIDER": None}, "L402_PROVIDER"),
        ({"L402_PROVIDER": "lnd://hunter2@node"}, "provider URL"),
        ({"L402_PROVIDER": "lnbits+https://node?invoice_key=hunter2"}, "ledger"),
        ({"L402_LEDGER": "mysql://me:hunter2@db"}, "ledger URL"),
        ({"L402_SERVICE": "two words"}, "service"),
        ({"L402_SERVICE": "under_score"}, "service"),
        ({"L402_INVOICE_EXPIRY": "soon"}, "L402_INVOICE_EXPIRY"),
        ({"L402_INVOICE_EXPIRY": "0"}, "invoice_expiry"),
        ({"L402_INVOICE_EXPIRY": "9" * 30}, "invoice_expiry"),
        ({"L402_REPLAY_FOR": "-1"}, "replay_for"),
        ({"L402_REPLAY_FOR": "nan"}, "replay_for"),
        ({"L402_REPLAY_FOR": "inf"}, "replay_for"),
        ({"L402_LEASE": "0"}, "lease"),
        ({"L402_LEASE": "nan"}, "lease"),
        ({"L402_LEASE": "inf"}, "lease"),
        ({"L402_LEASE": "1 minute"}, "L402_LEASE"),
        ({"L402_INVALID_CREDENTIAL_STATUS": "403"}, "invalid_credential_status"),
        ({"L402_UNKNOWN_CAVEATS": "maybe"}, "unknown_caveats"),
        ({"L402_SECRET_KEYS": "hunter2"}, "secret key 1"),
        ({"L402_SECRET_KEYS": "hunter2" * 10}, "secret key 1"),
        ({"L402_SECRET_KEYS": f"{KEY},"}, "secret key 2"),
        ({"L402_SECRET_KEYS": f"{KEY},{KEY}"}, "twice"),
        ({"L402_SECRET_KEYS_FILE": "/nowhere/keys"}, "L402_SECRET_KEYS_FILE"),
        ({"L402_SECRET_KEYS_FILE": "/dev/null"}, "L402_SECRET_KEYS_FILE"),
    ],
)
def test_settings_that_can_not_work(settings: dict[str, Any], named: str) -> None:
    """A setting that cannot work is an error at start-up that names it, and never repeats a secret."""
    with pytest.raises(ConfigurationError) as refused:
        shop_of(settings)
    assert named in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((LNbits("https://node.example", "0123456789abcdef"),), {}),
        ((DevNode(),), {"network": "regtest"}),
        ((Failover(DevNode()),), {"provider_timeout": 3}),
        ((Failover(DevNode()),), {"provider_threads": 3}),
        (("dev:",), {"ledger": MemoryLedger()}),
        ((None,), {"ledger": MemoryLedger()}),
        ((DevNode(),), {"secret_keys": KEY}),
        ((DevNode(),), {"secret_keys": []}),
        ((DevNode(),), {"secret_keys": [7]}),
        ((DevNode(),), {"service": "two words"}),
        ((DevNode(),), {"unknown_caveats": "maybe"}),
        ((DevNode(),), {"invalid_credential_status": 500}),
        ((DevNode(),), {"challenge_limit": 60}),
    ],
)
def test_paywalls_that_can_not_work(arguments: tuple[Any], options: dict[str, Any]) -> None:
    """A paywall without a ledger, with a provider that is none, or with impossible numbers is never built."""
    with pytest.raises(ConfigurationError):
        Paywall(*arguments, **options)


@pytest.mark.parametrize(
    ("name", "least", "most", "may_be_a_fraction"),
    [
        ("invoice_expiry", 1, MAX_INVOICE_EXPIRY, False),
        ("replay_for", 0, MAX_SETTING, True),
        ("replay_max_bytes", 0, MAX_SETTING, False),
        ("lease", 1, MAX_SETTING, True),
        ("spool_bodies", 1, MAX_SETTING, False),
        ("spool_bytes", 1, MAX_SPOOL_BYTES, False),
        ("body_seconds", 1, MAX_SETTING, True),
        ("price_threads", 1, MAX_THREADS, False),
    ],
)
def test_numbers(name: str, least: int, most: int, may_be_a_fraction: bool) -> None:
    """Each has its least and its most, a time may be a fraction, and the error says all of it."""
    allowed: list[object] = [least, most]
    refused: list[object] = [least - 1, most + 1, str(most), True]
    (allowed if may_be_a_fraction else refused).append(least + 0.5)
    for value in allowed:
        assert code(Shop({name: value}).decide(Offer(10), ask())) == (402, "payment-required")
    for value in refused:
        with pytest.raises(ConfigurationError, match=f"^{name} must be a number from {least} to {most}, not {value!r}"):
            Shop({name: value})


@pytest.mark.parametrize(
    ("provider", "options", "said"),
    [
        (DevNode, {}, r"the class DevNode itself: make one, DevNode\(\.\.\.\)"),
        ("dev:", {}, r"not str; provider_from_url\(\) makes one of a URL"),
        (lambda request: "", {"network": "mainnet"}, "^Paywall: network must be one of bitcoin, .* not 'mainnet'"),
        (lambda request: "", {"ledger": None}, "or the setting L402_LEDGER"),
        (
            lambda request: "",
            {"ledger": SQLiteLedger},
            "ledger must be a ledger, or a URL .*, not the class SQLiteLedger itself",
        ),
        (lambda request: "", {"ledger": Path("l402.db")}, "ledger must be .*, not PosixPath"),
        (lambda request: "", {"rates": "coinbase"}, r"rates must be Rates\(\[...\]\), not 'coinbase'"),
        (lambda request: "", {"clock": 1763870000}, "clock must be a function .*, not 1763870000"),
        (lambda request: "", {"service": b"shop"}, "service must be a text, not b'shop'"),
        (lambda request: "", {"forwarded_header": 1}, "forwarded_header must be a text, not 1"),
        (lambda request: "", {"certificate_header": True}, "certificate_header must be a text, not True"),
        (lambda request: "", {"challenge_limit": 60}, "challenge_limit must be a text, not 60"),
        (lambda request: "", {"limit_storage": []}, r"limit_storage must be a text, not \[\]"),
        (lambda request: "", {"trusted_proxies": 10}, "trusted_proxies must be a list of addresses .*, not 10"),
        (lambda request: "", {"secret_keys": 10}, "secret_keys must be a list of secrets"),
    ],
)
def test_what_is_easily_mistaken(provider: Any, options: dict[str, Any], said: str) -> None:
    """For a provider a class, a URL, and a function for a network that no invoice is for; and so on: the error says it
    at start-up, and not to the first who asks or pays.
    """
    with pytest.raises(ConfigurationError, match=said):
        Paywall(provider, **{"ledger": "memory:", **options})


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("L402_SECRET_KEY", ["there is no setting L402_SECRET_KEY, so it does nothing; is L402_SECRET_KEYS meant?"]),
        ("L402_LEDGERS", ["there is no setting L402_LEDGERS, so it does nothing; is L402_LEDGER meant?"]),
        ("L402_OF_ANOTHER_PROGRAM", []),
        ("L402_LEASE", []),
        ("L402_TIMEOUT", []),
    ],
)
def test_a_misspelt_setting(name: str, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """What looks like a setting and is none is one line in the log at start-up, and is no error."""
    paywall_from_settings({"L402_PROVIDER": "dev:", "L402_LEDGER": "memory:", name: "0123456789"})
    assert [record.getMessage() for record in caplog.records] == lines


@pytest.mark.parametrize(
    ("provider", "unknown"),
    [
        ("lnbits+https://lnbits.example?invoice_key_env=L402_SECRETS", []),
        ("dev: lnd+https://lnd.example?macaroon_env=L402_SECRETS&tls_cert=/what?/tls.cert", []),
        ("lnbits+https://lnbits.example?invoice_key_file=L402_SECRETS", [("L402_SECRETS", "L402_SECRET_KEYS")]),
        (DevNode(), [("L402_SECRETS", "L402_SECRET_KEYS")]),
    ],
)
def test_a_setting_that_a_provider_reads(provider: Any, unknown: list[tuple[str, str]]) -> None:
    """What a provider's URL names is known, and nothing else that begins alike."""
    assert list(unknown_settings({"L402_PROVIDER": provider, "L402_SECRETS": "0123456789"})) == unknown


@pytest.mark.parametrize("price", [0, -1, 1.0, True, "21", None, 21_000_000 * 10**8 + 1])
def test_prices_that_are_none(price: Any) -> None:
    """Case 57: an amount that cannot be paid is an error where the offer is made."""
    with pytest.raises(ConfigurationError, match=r"price|amount"):
        Offer(price)


async def charges_for_all(status: int) -> bool:
    """A coroutine is true, whatever it would come to."""
    return status < 400


@pytest.mark.parametrize(
    ("conditions", "named"),
    [
        ({"uses": 0}, "uses must be"),
        ({"uses": -1}, "not -1"),
        ({"uses": 1.0}, "uses must be"),
        ({"uses": True}, "uses must be"),
        ({"uses": 10**9 + 1}, "from 1 to 1000000000"),
        ({"valid_for": 0}, "valid_for must be"),
        ({"valid_for": 3600.0}, "valid_for must be"),
        ({"valid_for": True}, "valid_for must be"),
        ({"valid_for": 100 * 365 * 24 * 3600 + 1}, "from 1 to 3153600000"),
        ({"bind": "path"}, "bind must be"),
        ({"max_body": -1}, "max_body must be"),
        ({"max_body": 1e6}, "max_body must be"),
        ({"replay_for": -1}, "replay_for must be"),
        ({"replay_for": "0"}, "replay_for must be"),
        ({"price": lambda request: 1, "bind": "endpoint"}, "a computed price cannot have bind"),
        ({"charge_if": 200}, "charge_if must be a plain function of the status, not 200"),
        ({"charge_if": None}, "charge_if must be"),
        ({"charge_if": charges_for_all}, "charge_if must be"),
        ({"memo": b"a forecast"}, "memo must be a text, not b'a forecast'"),
    ],
)
def test_offers_that_can_not_be_kept(conditions: dict[str, Any], named: str) -> None:
    """Case 57: conditions that no credential could carry, or that would open a dear request with a cheap one."""
    with pytest.raises(ConfigurationError, match=named):
        Offer(**{"price": 10, **conditions})


@pytest.mark.parametrize(("bind", "binds"), [(None, False), ("endpoint", False), ("request", True)])
def test_what_an_offer_is_bound_to(bind: Bind | None, binds: bool) -> None:
    """A fixed price is bound to its endpoint, and to the request where that is said; a computed one always is."""
    assert Offer(10, bind=bind).binds_request is binds
    assert Offer(lambda request: 10, bind=None if bind == "endpoint" else bind).binds_request is True


@pytest.mark.parametrize("is_method", [False, True])
def test_what_a_priced_endpoint_was_made_from(is_method: bool) -> None:
    """It is known as such, a bound method too, and not as priced; what cannot be marked is passed over."""

    def plain(_: object = None) -> None: ...
    def paid() -> None: ...

    made_from: Any = MethodType(plain, object()) if is_method else plain
    assert not is_priced_elsewhere(made_from)
    offer = Offer(10)
    mark(paid, offer, made_from)
    mark(lambda: None, offer, object())
    assert (offer_of(paid), offer_of(made_from)) == (offer, None)
    assert [is_priced_elsewhere(each) for each in (paid, made_from, lambda: None)] == [False, True, False]
    mark(plain, offer)
    assert not is_priced_elsewhere(made_from)


def test_an_endpoint_that_was_left_out() -> None:
    """A function that was priced, once or twice, is refused only where nothing made of it is among the routes."""

    def plain() -> None: ...

    nameless = partial(plain)
    for endpoint, name in ((plain, "plain"), (nameless, repr(nameless))):
        priced: list[Any] = [SimpleNamespace(), SimpleNamespace()]
        for each, offer in zip(priced, (Offer(10), Offer(1)), strict=True):
            mark(each, offer, endpoint)
        for each in priced:
            refuse_left_out(endpoint, "/x", [endpoint, each])
        with pytest.raises(
            ConfigurationError, match=f"^/x would be free: its route has {re.escape(name)} as it was before"
        ):
            refuse_left_out(endpoint, "/x", [endpoint, SimpleNamespace()])
    refuse_left_out(lambda: None, "/x", [])


@pytest.mark.parametrize(
    "other",
    [
        {"price": 11},
        {"uses": 2},
        {"valid_for": 60},
        {"bind": "request"},
        {"bind_caller": "ip"},
        {"memo": "ten"},
        {"replay_for": 0},
    ],
    ids=lambda other: next(iter(other)),
)
def test_offers_with_the_same_terms(other: dict[str, Any]) -> None:
    """Two offers say the same only where they do so in every respect."""
    assert Offer(10).has_terms_of(Offer(10))
    assert not Offer(10).has_terms_of(Offer(**{"price": 10, **other}))


def test_the_largest_offer_can_be_bought() -> None:
    """The most that an offer may say is a credential that works: nobody pays for one that cannot be honoured."""
    offer = Offer(sats(21_000_000 * 10**8), uses=1_000_000_000, valid_for=100 * 365 * 24 * 3600)
    shop = Shop()
    assert isinstance(shop.decide(offer, ask("GET /thing", shop.buy(offer))), Delivery)


def test_the_smallest_offer_can_be_bought() -> None:
    """Case 57: a millisatoshi is a price, and requests without a body can be all that is sold."""
    offer = Offer(msats(1), valid_for=1, bind="request", max_body=0)
    shop = Shop()
    credential = shop.buy(offer)
    assert isinstance(shop.decide(offer, ask("GET /thing", credential)), Delivery)
    shop.clock.now += 601
    assert code(shop.decide(offer, ask("GET /thing", credential))) == (402, "expired")


def test_exchange_rates() -> None:
    """Sources and the greatest age come from settings, one without the other too; a `Rates` is taken as it is."""
    rates = rates_from({"L402_RATES": "kraken", "L402_RATES_MAX_AGE": "30"})
    assert rates is not None
    assert (rates._sources, rates._max_age, rates._refresh) == ((Kraken(),), 30, 15)
    public = rates_from({"L402_RATES_MAX_AGE": 300})
    assert public is not None
    assert (len(public._sources), public._refresh) == (3, 60)
    assert rates_from({"L402_RATES": rates}) is rates
    assert rules_from({"L402_RATES": rates}) == {"rates": rates}
    assert rates_from({"L402_RATES": "", "L402_RATES_MAX_AGE": ""}) is None
    for wrong in ({"L402_RATES": "hunter2"}, {"L402_RATES_MAX_AGE": "0"}, {"L402_RATES_MAX_AGE": "old"}):
        with pytest.raises(ConfigurationError, match="L402_RATES") as caught:
            rates_from(wrong)
        assert "hunter2" not in str(caught.value)
