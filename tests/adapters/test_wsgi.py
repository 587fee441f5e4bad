"""WSGI to the letter of PEP 3333: the validator around and inside, and every way in which an application may answer."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import pytest
from flask import Flask

from l402_middleware import Offer, Paywall
from l402_middleware.flask import L402
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.providers.devnode import DevNode
from l402_middleware.wsgi import L402Middleware
from l402_middleware.wsgi.exchange import EXCHANGE, WSGIExchange
from l402_middleware.wsgi.middleware import answer_wallet

from . import flask_app
from .servers import KEY
from .unsettled import Unsettled

OFFER = Offer(21)
BOUND = Offer(21, bind="request")


def environ_of(method: str = "GET", path: str = "/thing", body: bytes = b"", **more: Any) -> dict[str, Any]:
    """A request as a server gives it."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
    }
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    setup_testing_defaults(environ)
    return {**environ, **more}


class Answer:
    """An answer as a server collects it."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.starts = 0
        self.pieces: list[bytes] = []

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
        self.starts += 1
        if exc_info is not None and self.pieces:
            raise exc_info[1].with_traceback(exc_info[2])
        self.status, self.headers = status, headers
        return self.pieces.append

    @property
    def code(self) -> int:
        return int(self.status[:3])


def serve(app: Any, environ: dict[str, Any], *, leave_after: int | None = None) -> Answer:
    """What a server does with a request; a client may leave after some pieces."""
    answer = Answer()
    pieces = app(environ, answer.start)
    try:
        for piece in pieces:
            answer.pieces.append(piece)
            if leave_after is not None and len(answer.pieces) >= leave_after:
                break
    finally:
        if hasattr(pieces, "close"):
            pieces.close()
    return answer


def sold(app: Any, paywall: Paywall, offer: Offer = OFFER) -> Any:
    """A bare WSGI application, with one endpoint that is sold."""

    def gate(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        refusal = environ[EXCHANGE].admit(offer, "GET /thing")
        if refusal is None:
            pieces: Iterable[bytes] = app(environ, start_response)
            return pieces
        start_response(
            f"{refusal.status} Refused", [(name.decode(), value.decode("latin-1")) for name, value in refusal.headers]
        )
        return [refusal.body]

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        wallet = answer_wallet(paywall, environ, start_response)
        if wallet is not None:
            return wallet
        return WSGIExchange(paywall, environ).run(gate, start_response)

    return wrapped


def buy(app: Any, paywall: Paywall, **request: Any) -> str:
    """The Authorization value for a request."""
    quoted = json.loads(b"".join(serve(app, environ_of(**request)).pieces))
    assert paywall.wallet is not None
    return f"L402 {quoted['macaroon']}:{paywall.wallet.pay(quoted['invoice']).hex()}"


FILES: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
TEXT = [("Content-Type", "text/plain")]


def generating(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    """An application that is a generator."""
    start_response("200 OK", TEXT)
    yield b"one "
    yield b""
    yield b"two"


def writing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that pushes."""
    write = start_response("200 OK", TEXT)
    write(b"one ")
    write(b"two")
    return []


def listing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application with a list."""
    start_response("200 OK", [*TEXT, ("Content-Length", "7")])
    return [b"one ", b"two"]


def mending(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that thinks better of its answer before anything is out."""
    start_response("500 Oops", TEXT)
    try:
        raise ValueError("mended")
    except ValueError:
        start_response("200 OK", TEXT, sys.exc_info())
    return [b"one two"]


def filing(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An application with a file."""
    start_response("200 OK", TEXT)
    wrapper: Iterable[bytes] = environ["wsgi.file_wrapper"](io.BytesIO(b"one two"), 4)
    return wrapper


@pytest.mark.parametrize("app", [generating, writing, listing, mending, filing])
def test_every_way_to_answer(paywall: Paywall, app: Any) -> None:
    """Case 82: each way that PEP 3333 allows is delivered whole, charged once, and given again."""
    shop = sold(app, paywall)
    credential = buy(shop, paywall)
    for _ in range(2):
        environ = environ_of(HTTP_AUTHORIZATION=credential, **FILES)
        answer = serve(shop, environ)
        assert (answer.code, b"".join(answer.pieces), answer.starts) == (200, b"one two", 1)
        assert ("cache-control", "private") in answer.headers
    other = serve(shop, environ_of(HTTP_AUTHORIZATION=credential, QUERY_STRING="other"))
    assert other.code == 402


class Closing:
    """An iterable that counts how often it is closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> "Closing":
        return self

    def __next__(self) -> bytes:
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("pieces", "leave_after", "charged"),
    [
        ((b"one", b"two"), None, True),
        ((b"one", b"two"), 1, True),
        ((), None, True),
        ((b"one", ValueError("broken")), None, False),
        ((ValueError("broken"),), None, False),
    ],
)
def test_close(paywall: Paywall, pieces: tuple[Any, ...], leave_after: int | None, charged: bool) -> None:
    """Cases 51, 82: the application's iterable is closed exactly once, however it ended; and so it is charged."""
    iterables = []

    def app(environ: dict[str, Any], start_response: Any) -> Closing:
        start_response("200 OK", TEXT)
        iterables.append(Closing(*pieces))
        return iterables[-1]

    shop = sold(app, paywall)
    credential = buy(shop, paywall)
    try:
        serve(shop, environ_of(HTTP_AUTHORIZATION=credential), leave_after=leave_after)
    except ValueError:
        assert not charged
    assert [iterable.closed for iterable in iterables] == [1]
    other = environ_of(HTTP_AUTHORIZATION=credential, QUERY_STRING="other")
    try:
        assert (serve(shop, other).code == 402) == charged
    except ValueError:
        assert not charged


@pytest.mark.parametrize("replay_for", [600, 0])
@pytest.mark.parametrize("left", [ConnectionResetError, SystemExit])
def test_a_client_that_does_not_take_what_is_pushed(left: type[BaseException], replay_for: float) -> None:
    """Case 51: a server's `write` that fails, or never ends, is a client that left: charged, or given again."""

    class Leaving(Answer):
        def start(self, *args: Any, **kwargs: Any) -> Callable[[bytes], object]:
            write = super().start(*args, **kwargs)

            def write_once(piece: bytes) -> None:
                if self.pieces:
                    raise left
                write(piece)

            return write_once

    paywall = Paywall(DevNode(), secret_keys=[KEY], replay_for=replay_for)
    shop = sold(writing, paywall)
    credential = buy(shop, paywall)
    answer = Leaving()
    with suppress(left):
        for _ in shop(environ_of(HTTP_AUTHORIZATION=credential), answer.start):
            pass
    assert answer.pieces == [b"one "]
    again = serve(shop, environ_of(HTTP_AUTHORIZATION=credential))
    is_kept = replay_for and left is ConnectionResetError
    assert (again.code, b"".join(again.pieces) == b"one two") == ((200, True) if is_kept else (402, False))


def test_pushing_what_is_no_bytes() -> None:
    """A mistake of the application is not charged, whoever finds it."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", TEXT)
        write("text")
        return []

    class Strict(Answer):
        def start(self, *args: Any, **kwargs: Any) -> Callable[[bytes], object]:
            super().start(*args, **kwargs)
            return io.BytesIO().write

    paywall = Paywall(DevNode(), secret_keys=[KEY], replay_for=0)
    shop = sold(app, paywall)
    credential = buy(shop, paywall)
    for _ in range(2):
        with pytest.raises(TypeError):
            shop(environ_of(HTTP_AUTHORIZATION=credential), Strict().start)


@pytest.mark.parametrize("read", [list, lambda pieces: None], ids=["read", "unread"])
def test_a_cascade(paywall: Paywall, read: Any) -> None:
    """Two sold applications with one environ, the first left without its `close`: it does not pay for the second."""

    def missing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("404 Not Found", TEXT)
        return [b"nothing"]

    first, second = (L402Middleware(app, paywall, default=21) for app in (missing, listing))
    ends = []

    def cascade(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer = Answer()
        pieces = first(environ, answer.start)
        ends.append(pieces)
        body: list[bytes] | None = read(pieces)
        if body is not None and answer.code != 404:
            start_response(answer.status, answer.headers)
            return body
        return second(environ, start_response)

    credential = buy(first, paywall)
    codes = [
        serve(cascade, environ_of(HTTP_AUTHORIZATION=credential, QUERY_STRING=query)).code for query in ("", "other")
    ]
    assert codes == ([200, 402] if read is list else [409, 409])


def test_another_paywall_in_a_cascade(paywall: Paywall) -> None:
    """The environ is the outer paywall's again when an inner one's application is done."""
    other = L402Middleware(listing, Paywall(DevNode(), secret_keys=[KEY]), default=1, free=["/thing"])

    def cascade(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        exchange = environ[EXCHANGE]
        serve(other, environ)
        assert environ[EXCHANGE] is exchange
        return listing(environ, start_response)

    shop = sold(cascade, paywall)
    environ = environ_of(HTTP_AUTHORIZATION=buy(shop, paywall))
    assert serve(shop, environ).code == 200
    assert EXCHANGE not in environ


def test_an_error_after_the_headers(paywall: Paywall) -> None:
    """Case 82: `exc_info` after the first piece raises the application's error again, and nothing is charged."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        yield b"one"
        try:
            raise ValueError("late")
        except ValueError:
            start_response("500 Oops", TEXT, sys.exc_info())

    shop = sold(app, paywall)
    credential = buy(shop, paywall)
    for _ in range(2):
        with pytest.raises(ValueError, match="late"):
            serve(shop, environ_of(HTTP_AUTHORIZATION=credential))


def test_an_application_that_never_answers(paywall: Paywall) -> None:
    """Case 49: an application that gives no answer at all is not charged, and the server gets none either."""
    silent = sold(lambda environ, start_response: [], paywall)
    credential = buy(silent, paywall)
    for _ in range(2):
        assert serve(silent, environ_of(HTTP_AUTHORIZATION=credential)).starts == 0


def test_an_answer_that_is_replaced_is_closed() -> None:
    """Case 82: the iterable of an answer that gave way to a 503 is closed like any other."""
    iterables = []

    def app(environ: dict[str, Any], start_response: Any) -> Closing:
        start_response("200 OK", [*TEXT, ("Content-Length", "5")])
        iterables.append(Closing(b"goods"))
        return iterables[-1]

    unsettled = Paywall(DevNode(), Unsettled(), secret_keys=[KEY])
    shop = sold(app, unsettled)
    assert serve(shop, environ_of(HTTP_AUTHORIZATION=buy(shop, unsettled))).code == 503
    assert [iterable.closed for iterable in iterables] == [1]


# --- bodies


def reading(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that reads what its Content-Length says, or what a terminated input holds."""
    length = environ.get("CONTENT_LENGTH")
    start_response("200 OK", [*TEXT, ("X-Length", length or "none")])
    return [environ["wsgi.input"].read(int(length)) if length else environ["wsgi.input"].read()]


def reading_by_line(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that reads in all the other ways."""
    start_response("200 OK", TEXT)
    stream = environ["wsgi.input"]
    return [stream.readline(), *stream.readlines(), *stream]


@pytest.mark.parametrize("offer", [OFFER, BOUND])
@pytest.mark.parametrize("app", [reading, reading_by_line])
def test_bodies(paywall: Paywall, app: Any, offer: Offer) -> None:
    """Case 75: however an application reads, it reads the body, and another body is not the same request."""
    shop = sold(app, paywall, offer)
    credential = buy(shop, paywall, method="POST", body=b"one\ntwo\n")
    wrong = environ_of("POST", body=b"one\nTWO\n", HTTP_AUTHORIZATION=credential)
    if offer is BOUND:
        assert serve(shop, wrong).code == 402
    for _ in range(2):
        answer = serve(shop, environ_of("POST", body=b"one\ntwo\n", HTTP_AUTHORIZATION=credential))
        assert (answer.code, b"".join(answer.pieces)) == (200, b"one\ntwo\n")
    assert serve(shop, environ_of("POST", body=b"one\nTWO\n", HTTP_AUTHORIZATION=credential)).code == 402


class Endless(io.RawIOBase):
    """An input whose end cannot be seen."""

    def read(self, size: int = -1) -> bytes:
        pytest.fail("read an input that does not end")


CHUNKED: dict[str, Any] = {"HTTP_TRANSFER_ENCODING": "chunked"}


def test_chunked(paywall: Paywall) -> None:
    """Case 85: without a length: unbound it is the handler's; bound it is read to the end that there is, or a 411."""
    terminated = {**CHUNKED, "wsgi.input_terminated": True}
    shop = sold(reading, paywall, BOUND)
    refused = serve(shop, environ_of("POST", **CHUNKED | {"wsgi.input": Endless()}))
    assert refused.code == 411
    credential = buy(shop, paywall, method="POST", **terminated, **{"wsgi.input": io.BytesIO(b"body")})
    other: dict[str, Any] = {**terminated, "HTTP_AUTHORIZATION": credential, "wsgi.input": io.BytesIO(b"other")}
    assert serve(shop, environ_of("POST", **other)).code == 402
    mine = {**other, "wsgi.input": io.BytesIO(b"body")}
    answer = serve(shop, environ_of("POST", **mine))
    assert b"".join(answer.pieces) == b"body"
    assert ("X-Length", "4") in answer.headers

    unbound = sold(reading, paywall)
    credential = buy(unbound, paywall, method="POST", **CHUNKED, **{"wsgi.input": Endless()})
    mine = {**CHUNKED, "HTTP_AUTHORIZATION": credential, "wsgi.input": io.BytesIO(b"body")}
    answer = serve(unbound, environ_of("POST", **mine))
    assert b"".join(answer.pieces) == b"body"


@pytest.mark.parametrize("length", ["\xb2", "-1", "1e3", "9" * 5000, "", " 4"])
@pytest.mark.parametrize("offer", [OFFER, BOUND])
def test_lengths_that_are_none(paywall: Paywall, offer: Offer, length: str) -> None:
    """A Content-Length that is no number is none: it makes no exception, and opens nothing."""
    request: dict[str, Any] = {"CONTENT_LENGTH": length, "wsgi.input": Endless()}
    app = sold(generating, paywall, offer)
    environ = environ_of("POST", **request)
    assert serve(app, environ).code == 402
    credential = buy(app, paywall, method="POST", **request)
    again = environ_of("POST", HTTP_AUTHORIZATION=credential, **request)
    assert serve(app, again).code == 200


def test_a_body_that_ends_early(paywall: Paywall) -> None:
    """Half a bound body is a 400, and never a quote."""
    shop = sold(reading, paywall, BOUND)
    assert serve(shop, environ_of("POST", body=b"half", CONTENT_LENGTH="8")).code == 400


class Broken(io.BytesIO):
    """The input of a client that leaves in the middle of its body."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise ConnectionResetError("the client is gone")
        return piece


@pytest.mark.parametrize("body", [io.BytesIO, Broken])
@pytest.mark.parametrize(("begun", "codes"), [(True, [200, 402]), (False, [0, 0])])
def test_a_client_that_breaks_off_its_own_body(paywall: Paywall, body: Any, begun: bool, codes: list[int]) -> None:
    """Case 51: who makes a streaming handler fail by leaving has left: charged if some of the answer went out."""

    def answering_while_it_reads(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", TEXT)
        if begun:
            yield b"all but the end "
        left = int(environ["CONTENT_LENGTH"])
        while left:
            piece = environ["wsgi.input"].read(left)
            if not piece:
                raise ValueError("the body ends early")
            left -= len(piece)
        yield b"the end"

    shop = sold(answering_while_it_reads, paywall)
    credential = buy(shop, paywall, method="POST")
    found = []
    for _ in codes:
        answer = Answer()
        environ = environ_of(
            "POST", **{"CONTENT_LENGTH": "8", "wsgi.input": body(b"half")}, HTTP_AUTHORIZATION=credential
        )
        pieces = shop(environ, answer.start)
        try:
            answer.pieces.extend(pieces)
        except (ValueError, ConnectionResetError):
            pieces.close()
        found.append(int(answer.status[:3] or 0))
    assert found == codes
    whole = environ_of("POST", body=b"complete", HTTP_AUTHORIZATION=credential)
    assert serve(shop, whole).code == (402 if begun else 200)


def test_half_a_body_is_not_taken_for_a_whole_one(paywall: Paywall) -> None:
    """Case 51: gunicorn ends the input where the connection was lost; the answer to half a body is not charged."""

    def reading_all(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", TEXT)
        return [environ["wsgi.input"].read()]

    shop = sold(reading_all, paywall)
    credential = buy(shop, paywall, method="POST")
    with pytest.raises(ConnectionResetError):
        serve(shop, environ_of("POST", body=b"half", CONTENT_LENGTH="8", HTTP_AUTHORIZATION=credential))
    answer = serve(shop, environ_of("POST", body=b"complete", HTTP_AUTHORIZATION=credential))
    assert (answer.code, b"".join(answer.pieces)) == (200, b"complete")


# --- the validator


def test_the_validator(paywall: Paywall, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases 81, 83: `wsgiref.validate` around the paywall and inside it is content with every kind of answer."""
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    app = Flask(__name__)
    app.register_blueprint(flask_app.site)
    app.wsgi_app = validator(app.wsgi_app)  # type: ignore[method-assign, assignment]
    L402(app, paywall)
    checked = validator(app)

    def ask(method: str, path: str, body: bytes = b"", **more: Any) -> Answer:
        environ = environ_of(method, path, body, **more)
        environ.pop("CONTENT_TYPE", None)
        environ.pop("CONTENT_LENGTH", None) if not body else None
        return serve(checked, environ)

    assert ask("GET", "/free").code == 200
    for method, path, body in (
        ("GET", "/forecast", b""),
        ("HEAD", "/forecast", b""),
        ("POST", "/echo", b"body"),
        ("POST", "/exact", b"body"),
        ("GET", "/stream", b""),
        ("GET", "/answers/304", b""),
        ("GET", "/answers/404", b""),
        ("GET", "/view", b""),
    ):
        assert ask(method, path, body).code == 402
        if method == "HEAD":
            continue
        quoted = json.loads(b"".join(ask(method, path, body).pieces))
        assert paywall.wallet is not None
        wallet = ask("GET", "/dev/wallet/pay", QUERY_STRING=f"invoice={quoted['invoice']}")
        preimage = json.loads(b"".join(wallet.pieces))["preimage"]
        credential = f"L402 {quoted['macaroon']}:{preimage}"
        for _ in range(2):
            assert ask(method, path, body, HTTP_AUTHORIZATION=credential).code in (200, 204, 304, 404)
    latin = "/r\xc3\xa9sum\xc3\xa9"
    assert ask("GET", latin, HTTP_AUTHORIZATION="L402 \xe9\xff", QUERY_STRING="%C3%A9").code == 404
    broken = Paywall(lambda request: "", MemoryLedger(), secret_keys=[KEY])
    assert serve(validator(sold(generating, broken)), environ_of()).code == 503
