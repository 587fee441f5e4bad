"""Each source against a real server on loopback that answers as it does, or as it does on a bad day."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import anyio
import pytest

from l402_middleware import ConfigurationError
from l402_middleware.core.errors import ProviderError, RateError
from l402_middleware.flow import adrive, drive
from l402_middleware.rates import Bitstamp, Coinbase, Kraken, LNbitsRate, RateSource, sources_from_text


@dataclass
class Answer:
    """What a server says to every GET, and the paths it was asked for."""

    body: bytes
    status: int = 200

    def __post_init__(self) -> None:
        self.paths: list[str] = []


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server with this answer on loopback; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.paths.append(self.path)
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def coinbase(rate: Any, currency: str = "USD") -> Any:
    """Coinbase's answer with this rate."""
    return {"data": {"currency": "BTC", "rates": {"AED": "367000.1", currency: rate}}}


def kraken(rate: Any, currency: str = "USD") -> Any:
    """Kraken's answer with this rate."""
    pair = f"XXBTZ{currency}" if currency in ("USD", "EUR", "JPY") else f"XBT{currency}"
    return {"error": [], "result": {pair: {"a": ["100001.0", "1", "1.0"], "c": [rate, "0.001"], "o": "99000.0"}}}


def bitstamp(rate: Any, currency: str = "USD") -> Any:
    """Bitstamp's answer with this rate."""
    return {"timestamp": "1700000000", "high": "101000", "last": rate, "bid": "99999", "ask": "100001", "low": "98000"}


def lnbits(rate: Any, currency: str = "USD") -> Any:
    """LNbits' answer with this price of a bitcoin."""
    return {"rate": 990.1, "price": rate}


SOURCES: list[tuple[Callable[[str], RateSource], Callable[..., Any]]] = [
    (Coinbase, coinbase),
    (Kraken, kraken),
    (Bitstamp, bitstamp),
    (LNbitsRate, lnbits),
]
each_source = pytest.mark.parametrize(("make", "shape"), SOURCES, ids=["coinbase", "kraken", "bitstamp", "lnbits"])


@pytest.fixture(params=["drive", "asyncio", "trio"])
def ask(request: pytest.FixtureRequest) -> Callable[[RateSource, str], Decimal]:
    """Ask a source with one of the drivers, and close its connections."""

    def blocking(source: RateSource, currency: str) -> Decimal:
        try:
            return drive(source.rate(currency))
        finally:
            source.close()

    def awaiting(source: RateSource, currency: str) -> Decimal:
        async def main() -> Decimal:
            try:
                return await adrive(source.rate(currency))
            finally:
                await source.aclose()

        return anyio.run(main, backend=request.param)

    return blocking if request.param == "drive" else awaiting


Ask = Callable[[RateSource, str], Decimal]


@each_source
@pytest.mark.parametrize("currency", ["USD", "EUR", "CHF"])
def test_the_published_answer(make: Any, shape: Any, ask: Ask, currency: str) -> None:
    """The rate for the currency that was asked for, with every digit."""
    answer = Answer(json.dumps(shape("64123.37999999999", currency)).encode())
    with serving(answer) as url:
        assert ask(make(url + "/"), currency) == Decimal("64123.37999999999")
    (path,) = answer.paths
    assert "//" not in path


@pytest.mark.parametrize(
    ("make", "shape", "path"),
    [
        (Coinbase, coinbase, "/v2/exchange-rates?currency=BTC"),
        (Kraken, kraken, "/0/public/Ticker?pair=XBTEUR"),
        (Bitstamp, bitstamp, "/api/v2/ticker/btceur/"),
        (LNbitsRate, lnbits, "/api/v1/rate/EUR"),
    ],
)
def test_where_it_asks(make: Any, shape: Any, path: str) -> None:
    """The published paths."""
    answer = Answer(json.dumps(shape("90000.5", "EUR")).encode())
    with serving(answer) as url:
        source = make(url)
        drive(source.rate("EUR"))
        source.close()
    assert answer.paths == [path]


@pytest.mark.parametrize("number", ["64123.37999999999", "100000", "90071992547409.93", "1.5e4"])
def test_a_number_keeps_its_digits(number: str) -> None:
    """LNbits answers with a number and no text: it never becomes a float."""
    with serving(Answer(b'{"rate": 1559.49, "price": %s}' % number.encode())) as url:
        source = LNbitsRate(url)
        assert drive(source.rate("USD")) == Decimal(number)
        source.close()


BAD_RATES: list[Any] = [
    "0", "0.0", 0, 0.0, "-1", -5, "NaN", "Infinity", float("nan"), float("inf"), "", "abc", "1,000", True, None, [], {},
    ["1"], "1e999", "9" * 70, 10**30, 1e300,
]  # fmt: skip


@each_source
@pytest.mark.parametrize("rate", BAD_RATES, ids=lambda rate: repr(rate)[:20])
def test_a_senseless_rate_is_none(make: Any, shape: Any, rate: Any) -> None:
    """Zero, less, no number, a number of the wrong type or an absurd one is a `RateError`, and never a rate."""
    with serving(Answer(json.dumps(shape(rate)).encode())) as url:
        source = make(url)
        with pytest.raises(RateError, match="without a USD rate"):
            drive(source.rate("USD"))
        source.close()


BAD_ANSWERS = [
    (Answer(b"<html>maintenance</html>"), RateError, "without a USD rate"),
    (Answer(b""), RateError, "without a USD rate"),
    (Answer(b"null"), RateError, "without a USD rate"),
    (Answer(b"[]"), RateError, "without a USD rate"),
    (Answer(b'"100000"'), RateError, "without a USD rate"),
    (Answer(b"100000"), RateError, "without a USD rate"),
    (Answer(b"{}"), RateError, "without a USD rate"),
    (Answer(b'{"data": {}, "result": {}, "rate": 1000}'), RateError, "without a USD rate"),
    (Answer(b'{"data": {"rates": []}, "result": [[1, 2]], "last": {}, "price": []}'), RateError, "without a USD rate"),
    (Answer(json.dumps({**coinbase("1", "EUR"), **kraken("1", "EUR")}).encode()), RateError, "without a USD rate"),
    (Answer(b'{"data": {"currency": "ETH", "rates": {"USD": "3000"}}}'), RateError, "without a USD rate"),
    (Answer(b'{"result": {"XETHZUSD": {"c": ["3000"]}}}'), RateError, "without a USD rate"),
    (Answer(b'{"result": {"XXBTZUSD": {"c": []}}}'), RateError, "without a USD rate"),
    (Answer(b'{"error": ["EQuery:Unknown asset pair"]}'), RateError, "without a USD rate"),
    (Answer(b"[" * 100_000), RateError, "without a USD rate"),
    (Answer(b'{"price": 1e99999999999999999999, "last": 1e99999999999999999999}'), RateError, "without a USD rate"),
    (Answer(b'{"price": %s}' % (b"9" * 5000)), RateError, "without a USD rate"),
    (Answer(b"\xff\xfe\x00"), RateError, "without a USD rate"),
    (Answer(json.dumps(bitstamp("1")).encode(), 500), RateError, "HTTP 500"),
    (Answer(json.dumps(lnbits("1")).encode(), 404), RateError, "HTTP 404"),
    (Answer(json.dumps(coinbase("1")).encode(), 429), RateError, "HTTP 429"),
    (Answer(b"", 302), ProviderError, "redirect"),
    (Answer(b" " * 300_000), ProviderError, "more than"),
]


@each_source
@pytest.mark.parametrize(
    ("answer", "error", "words"), BAD_ANSWERS, ids=[f"{a.status}-{a.body[:24]!r}" for a, _, _ in BAD_ANSWERS]
)
def test_a_failure_is_no_rate(make: Any, shape: Any, answer: Answer, error: Any, words: str) -> None:
    """A server that fails, says something else, or says too much gives no rate, and the error repeats nothing of it."""
    with serving(answer) as url:
        source = make(url)
        with pytest.raises(error, match=words) as caught:
            drive(source.rate("USD"))
        source.close()
    assert "maintenance" not in str(caught.value)


@each_source
def test_nobody_there(make: Any, shape: Any, ask: Ask) -> None:
    """A server that is gone is a `ProviderError`, as it is for an invoice."""
    with serving(Answer(b"")) as url:
        pass
    with pytest.raises(ProviderError, match="cannot be reached"):
        ask(make(url), "USD")


@each_source
@pytest.mark.parametrize(
    "url", ["", "rates.example", "ftp://rates.example", "http://a:b@rates.example", "http://x?y=1"]
)
def test_refuses_what_is_no_address(make: Any, shape: Any, url: str) -> None:
    """An address that cannot work is named at start-up."""
    with pytest.raises(ConfigurationError, match="url must be"):
        make(url)


@pytest.mark.parametrize("make", [Coinbase, Kraken, Bitstamp])
def test_the_public_sources_need_no_address(make: Any) -> None:
    """They know their own, which is encrypted."""
    assert make().url.startswith("https://")


def test_sources_by_name() -> None:
    """A setting names them; what it names wrongly is counted, and not repeated."""
    named = sources_from_text("Coinbase, kraken bitstamp\nlnbits+https://lnbits.example")
    assert named == [Coinbase(), Kraken(), Bitstamp(), LNbitsRate("https://lnbits.example")]
    with pytest.raises(ConfigurationError, match="source 2 of exchange rates is none of coinbase") as caught:
        sources_from_text("kraken hunter2")
    assert "hunter2" not in str(caught.value)
