"""What every adapter must do, whichever framework and server it works under: one suite over one scenario."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from l402_middleware.core.offered import Offered, parse_challenges

from .scenario import EVENTS, PIECES

PRICED = {
    ("GET", "/forecast"): 21,
    ("POST", "/echo"): 21,
    ("POST", "/exact"): 21,
    ("POST", "/validated"): 21,
    ("GET", "/pages?pages=9"): 9,
    ("GET", "/bundle"): 5,
    ("GET", "/pass"): 5,
    ("GET", "/answers/200"): 21,
    ("GET", "/cached"): 21,
    ("GET", "/stream"): 21,
    ("POST", "/upload"): 21,
    ("GET", "/plain"): 21,
    ("GET", "/view"): 3,
    ("POST", "/view"): 4,
    ("GET", "/part/items/1"): 7,
    ("GET", "/part/deep/items/1"): 7,
    ("GET", "/basic/report"): 1,
    ("GET", "/premium/report"): 1000,
}

# Request headers by which some software is talked into more than the path says.
ASKING_FOR_MORE = pytest.mark.parametrize(
    "headers",
    [
        {"X-Middleware-Subrequest": "1"},
        {"X-L402-Paid": "1"},
        {"X-Original-URL": "/free"},
        {"X-Rewrite-URL": "/free"},
        {"X-Forwarded-Prefix": "/paid"},
        {"X-HTTP-Method-Override": "OPTIONS"},
        {"Host": "a/free?x="},
        {"If-None-Match": '"1"', "Range": "bytes=0-1"},
    ],
    ids=lambda headers: next(iter(headers)),
)


@dataclass
class Site:
    """A running scenario: a client of it, and the file that its handlers note their runs in.

    On a real server also the port that it listens on, the file that holds its output, and the headers that it
    keeps from the application. `scheme` is the one by which it is paid.
    """

    client: httpx2.Client
    runs_file: Path
    port: int = 0
    output: Path | None = None
    hidden_headers: tuple[str, ...] = ()
    failed: bool = False
    scheme: str = "l402"

    def runs(self) -> list[str]:
        """What ran since the last call."""
        lines = self.runs_file.read_text().splitlines()
        self.runs_file.write_text("")
        return lines

    def request(self, method: str, url: str, credential: str | None = None, **options: Any) -> httpx2.Response:
        """A request, with that credential; a body in pieces is given as a function that makes them."""
        options["headers"] = {**options.get("headers", {})} | ({"Authorization": credential} if credential else {})
        make_content = options.pop("content", None)
        for attempt in range(3):
            if make_content is not None:
                options["content"] = make_content() if callable(make_content) else make_content
            try:
                answer = self.client.request(method, url, follow_redirects=False, **options)
                break
            except (httpx2.NetworkError, httpx2.RemoteProtocolError):
                # uvicorn answers an exception with a 500, and then closes a connection that it had announced to keep;
                # gunicorn and granian close one whose body nobody read. Nothing is lost by asking again without a
                # credential.
                if attempt == 2 or (credential and not self.failed):
                    raise
        self.failed = answer.status_code == 500
        return answer

    def pay(self, challenge: httpx2.Response) -> str:
        """The Authorization value for a challenge, paid by the development wallet."""
        assert challenge.status_code == 402, challenge.text
        offer = next(offer for offer in offers_of(challenge) if offer.scheme == self.scheme)
        paid = self.request("GET", "/dev/wallet/pay", params={"invoice": offer.bolt11})
        return offer.authorization(bytes.fromhex(paid.json()["preimage"]))

    def buy(self, method: str, url: str, **options: Any) -> str:
        """The Authorization value for a request that nobody has paid for yet."""
        return self.pay(self.request(method, url, **options))


def offers_of(challenge: httpx2.Response) -> list[Offered]:
    """What a 402 offers, a line for each scheme."""
    lines = [line.encode() for line in challenge.headers.get_list("www-authenticate")]
    offers = parse_challenges(lines)
    assert len(offers) == len(lines)
    return offers


def code(response: httpx2.Response) -> tuple[int, str]:
    """The status and the `code` of a refusal."""
    return response.status_code, response.json()["code"]


class PaidBy:
    """A suite that is paid by `scheme`; the name of each subclass that is paid by another says so."""

    scheme = "l402"

    @pytest.fixture(autouse=True)
    def _paid_by(self, site: Site) -> None:
        site.scheme = self.scheme


class AdapterContract(PaidBy):
    """Subclasses give the fixture `site`."""

    @pytest.mark.parametrize(("method", "url"), PRICED)
    def test_unpaid_and_paid(self, site: Site, method: str, url: str) -> None:
        """Cases 1, 18, 22, 24, 62, 66, 80, 90: each kind of route is priced, opens when paid, and keeps caches out."""
        body: dict[str, Any] = {} if method == "GET" else {"json": {"city": "Bern"}}
        if url == "/exact":
            body = {"content": b"body", "headers": {"Content-Type": "application/octet-stream"}}
        challenge = site.request(method, url, **body)
        assert challenge.status_code == 402
        quoted = challenge.json()
        token, invoice = quoted["macaroon"], quoted["invoice"]
        first, second = challenge.headers.get_list("www-authenticate")
        assert first == f'L402 macaroon="{token}", invoice="{invoice}", version="0", token="{token}"'
        assert second.startswith('Payment id="')
        assert {offer.bolt11 for offer in offers_of(challenge)} == {invoice}
        assert challenge.headers["cache-control"] == "no-store"
        assert not {"etag", "set-cookie"} & challenge.headers.keys()
        assert {"accept", "authorization"} == set(challenge.headers["vary"].lower().split(", "))
        assert quoted["amount_sats"] == PRICED[method, url]
        assert site.runs() == []
        answer = site.request(method, url, site.pay(challenge), **body)
        assert answer.status_code == 200, answer.text
        assert len([run for run in site.runs() if run != "upload chunk"]) == 1
        assert "private" in answer.headers["cache-control"]
        assert "authorization" in answer.headers["vary"].lower()
        assert ("payment-receipt" in answer.headers) == (self.scheme == "payment")

    def test_what_was_paid(self, site: Site) -> None:
        """The handler is told the payment's hash, the amount and what is left; a free one None (case 72)."""
        challenge = site.request("GET", "/forecast")
        answer = site.request("GET", "/forecast", site.pay(challenge)).json()
        assert answer == {"paid": challenge.json()["payment_hash"], "sats": 21, "uses_left": 0}
        assert site.request("GET", "/free").json() == {"paid": None}
        assert site.request("GET", "/free", site.buy("GET", "/forecast")).json() == {"paid": None}

    @pytest.mark.parametrize("url", ["/forecast", "/view", "/part/items/1"])
    def test_head(self, site: Site, url: str) -> None:
        """Cases 23, 64: HEAD is priced as GET and has no body; where the router knows no HEAD, nothing runs."""
        answer = site.request("HEAD", url)
        assert answer.status_code in (402, 405)
        if answer.status_code == 402:
            get = site.request("GET", url)
            assert answer.headers.keys() == get.headers.keys()
            assert answer.headers["www-authenticate"].startswith('L402 macaroon="')
        assert answer.content == b""
        assert site.runs() == []

    @pytest.mark.parametrize("order", ["HEAD GET", "GET HEAD"])
    def test_a_paid_head(self, site: Site, order: str) -> None:
        """Case 23: a paid HEAD has the headers of the GET that follows, and never costs its body: one run, one use."""
        credential = site.buy("GET", "/cached")
        answers = {method: site.request(method, "/cached", credential) for method in order.split()}
        head, get = answers["HEAD"], answers["GET"]
        assert (get.status_code, get.content, head.content) == (200, b"cached", b"")
        if head.status_code != 405:
            assert head.status_code == 200
            for name in ("content-type", "content-length", "etag", "set-cookie", "cache-control", "vary"):
                assert head.headers.get_list(name) == get.headers.get_list(name), name
        assert site.runs() == ["cached"]
        assert code(site.request("GET", "/cached?other", credential)) == (402, "already-used")

    def test_a_paid_head_of_a_stream(self, site: Site) -> None:
        """Case 23: where the answer cannot be kept, HEAD costs nothing, and has the handler run once at most."""
        credential = site.buy("GET", "/stream")
        statuses = [site.request("HEAD", "/stream", credential).status_code for _ in range(3)]
        assert statuses in ([200] * 3, [405] * 3)
        assert len(site.runs()) <= 1
        assert site.request("GET", "/stream", credential).content == b"".join(PIECES)

    @pytest.mark.parametrize(
        "options",
        [{}, {"content": b"{"}, {"json": {"town": 1}}, {"content": b"\xff", "headers": {"Content-Type": "x"}}],
    )
    def test_the_price_comes_before_validation(self, site: Site, options: dict[str, Any]) -> None:
        """Case 24: at a fixed price an invalid body is a 402 and not a 4xx of the application's; nor is it charged."""
        challenge = site.request("POST", "/validated?copies=many", **options)
        assert code(challenge) == (402, "payment-required")
        assert site.runs() == []
        credential = site.pay(challenge)
        assert site.request("POST", "/validated", credential, **options).status_code >= 400
        assert site.request("POST", "/validated", credential, json={"city": "Bern"}).status_code == 200

    def test_single_use(self, site: Site) -> None:
        """Cases 45, 54: the same request gets the same answer without the handler; another one pays."""
        credential = site.buy("GET", "/cached?a=1")
        first = site.request("GET", "/cached?a=1", credential)
        assert site.runs() == ["cached"]
        again = site.request("GET", "/cached?a=1", credential)
        assert site.runs() == []
        assert (again.status_code, again.content) == (200, b"cached") == (first.status_code, first.content)
        for name in ("cache-control", "etag", "set-cookie", "vary", "content-length", "payment-receipt"):
            assert again.headers.get_list(name) == first.headers.get_list(name), name
        assert first.headers["cache-control"] == "private, max-age=60"
        assert first.headers["vary"] == "Accept, Authorization"
        other = site.request("GET", "/cached?a=2", credential)
        assert code(other) == (402, "already-used")
        assert not {"etag", "set-cookie"} & other.headers.keys()
        assert site.runs() == []

    def test_one_payment_two_schemes(self, site: Site) -> None:
        """Case 107: what was paid by one invoice is spent once, whichever scheme it is shown by."""
        challenge = site.request("GET", "/cached?a=1")
        credential = site.pay(challenge)
        site.scheme = "l402" if self.scheme == "payment" else "payment"
        other = site.pay(challenge)
        assert credential != other
        first = site.request("GET", "/cached?a=1", credential)
        again = site.request("GET", "/cached?a=1", other)
        assert (first.content, again.content) == (b"cached", b"cached")
        for each in (credential, other):
            assert code(site.request("GET", "/cached?a=2", each)) == (402, "already-used")
        assert site.runs() == ["cached"]

    def test_several_payment_credentials(self, site: Site) -> None:
        """Case 106: more than one Payment credential is a 400, and nobody is asked to pay for it."""
        site.scheme = "payment"
        both = ", ".join(site.buy("GET", "/forecast") for _ in range(2))
        answer = site.request("GET", "/forecast", both)
        assert code(answer) == (400, "several-credentials")
        assert answer.json()["type"] == "https://paymentauth.org/problems/malformed-credential"
        assert "www-authenticate" not in answer.headers
        assert site.runs() == []

    def test_replay_looks_at_the_body(self, site: Site) -> None:
        """Case 54: another body than the one that was answered is another request."""
        credential = site.buy("POST", "/echo", content=b"one")
        for body, expected in ((b"one", 200), (b"two", 402), (b"", 402), (b"one", 200)):
            assert site.request("POST", "/echo", credential, content=body).status_code == expected, body
        assert site.runs() == ["echo"]

    def test_bound_to_the_request(self, site: Site) -> None:
        """Cases 43, 75: a bound body reaches the handler byte for byte, and another one does not reach it."""
        body = bytes(range(256)) * 12_000
        credential = site.buy("POST", "/exact", content=body)
        other = site.request("POST", "/exact", credential, content=body[:-1])
        assert code(other) == (402, "wrong-request")
        assert code(site.request("POST", "/exact?x=1", credential, content=body)) == (402, "wrong-request")
        assert site.runs() == []
        answer = site.request("POST", "/exact", credential, content=body)
        assert answer.content == body
        assert site.runs() == ["exact"]

    def test_bound_body_over_the_limit(self, site: Site) -> None:
        """A bound body over the limit is a 413, before anybody pays for it."""
        assert code(site.request("POST", "/exact", content=bytes(4 * 1024 * 1024 + 1))) == (413, "body-too-large")
        assert site.runs() == []

    def test_bound_multipart(self, site: Site) -> None:
        """A bound multipart body is refused before the 402."""
        assert code(site.request("POST", "/exact", files={"f": b"x"})) == (415, "multipart-not-supported")

    def test_chunked(self, site: Site) -> None:
        """Case 85: a body without a length: unbound it is the handler's, bound it is read to its end."""

        def pieces() -> Iterator[bytes]:
            yield b"one "
            yield b"two"

        credential = site.buy("POST", "/upload", content=pieces)
        assert site.request("POST", "/upload", credential, content=pieces).json() == {"size": 7}
        credential = site.buy("POST", "/exact", content=pieces)
        assert site.request("POST", "/exact", credential, content=lambda: iter([b"one two!"])).status_code == 402
        assert site.request("POST", "/exact", credential, content=pieces).content == b"one two"

    def test_computed_price(self, site: Site) -> None:
        """A price from the body: refused before the invoice, quoted by what was sent, and good for that alone."""
        assert code(site.request("POST", "/computed")) == (422, "empty")
        quote = site.request("POST", "/computed", content=b"12345")
        assert quote.json()["amount_sats"] == 5
        credential = site.pay(quote)
        assert code(site.request("POST", "/computed", credential, content=b"1234567")) == (402, "wrong-request")
        assert code(site.request("POST", "/computed", credential)) == (422, "empty")
        assert site.request("POST", "/computed", credential, content=b"12345").content == b"12345"
        assert site.runs() == ["computed"]

    @pytest.mark.parametrize(("method", "options"), [("GET", {}), ("POST", {"json": {}}), ("POST", {"content": b"{"})])
    def test_a_price_function_with_a_bug(self, site: Site, method: str, options: dict[str, Any]) -> None:
        """Case 70: an exception in the gate is a 500, never the handler."""
        for credential in (None, site.buy("GET", "/forecast")):
            assert site.request(method, "/mistaken", credential, **options).status_code == 500
        assert site.runs() == []

    def test_bundle_and_pass(self, site: Site) -> None:
        """Three uses are three runs; a pass is any number of them."""
        credential = site.buy("GET", "/bundle")
        assert [site.request("GET", "/bundle", credential).json()["uses_left"] for _ in range(3)] == [2, 1, 0]
        assert code(site.request("GET", "/bundle", credential)) == (402, "already-used")
        entry = site.buy("GET", "/pass")
        assert [site.request("GET", "/pass", entry).json()["uses_left"] for _ in range(5)] == [None] * 5
        assert site.runs() == ["bundle"] * 3 + ["pass"] * 5

    @pytest.mark.parametrize("status", [404, 422, 500, 503, 599])
    def test_a_failure_is_not_charged(self, site: Site, status: int) -> None:
        """Case 49: a handler that fails, in any way, costs nothing: the same credential works again."""
        credential = site.buy("GET", "/answers/200")
        assert site.request("GET", f"/answers/{status}", credential).status_code == (500 if status == 599 else status)
        assert site.request("GET", "/answers/200", credential).status_code == 200
        assert site.runs() == [f"answers/{status}", "answers/200"]

    @pytest.mark.parametrize("status", [200, 204, 302, 304])
    def test_an_answer_is_charged(self, site: Site, status: int) -> None:
        """Case 50: any answer below 400 is delivery, and is given again as it was."""
        credential = site.buy("GET", f"/answers/{status}")
        first, again = (site.request("GET", f"/answers/{status}", credential) for _ in range(2))
        assert first.status_code == again.status_code == status
        assert first.headers.get("location") == again.headers.get("location")
        assert code(site.request("GET", f"/answers/{status}?x", credential)) == (402, "already-used")
        assert site.runs() == [f"answers/{status}"]

    def test_streams(self, site: Site) -> None:
        """Cases 76 and 80: a stream comes whole, private, is charged, and is given again."""
        for url, pieces in (("/stream", PIECES), ("/events", EVENTS)):
            credential = site.buy("GET", url)
            for _ in range(2):
                answer = site.request("GET", url, credential)
                assert answer.content == b"".join(pieces)
                assert "private" in answer.headers["cache-control"]
        assert site.runs() == ["stream", "events"]

    def test_a_stream_that_fails(self, site: Site) -> None:
        """Case 51: a handler that raises after the first byte is not charged."""
        credential = site.buy("GET", "/broken")
        for _ in range(2):
            with suppress(Exception):
                site.request("GET", "/broken", credential)
        assert site.runs() == ["broken"] * 2

    def test_a_cheap_credential_opens_no_dear_route(self, site: Site) -> None:
        """Case 43: one path in two routers, one template in two places: each is an endpoint of its own."""
        credential = site.buy("GET", "/basic/report")
        for method, url in (("GET", "/premium/report"), ("GET", "/forecast"), ("POST", "/view")):
            assert code(site.request(method, url, credential)) == (402, "wrong-endpoint")
        item = site.buy("GET", "/part/items/1")
        assert code(site.request("GET", "/part/deep/items/1", item)) == (402, "wrong-endpoint")
        assert site.runs() == []
        # The template, not the path, is what was sold.
        assert site.request("GET", "/part/items/2", item).json() == {"id": "2"}

    def test_at_once(self, site: Site) -> None:
        """Cases 46, 72: twenty requests with one single-use credential: one run; free ones between see no payment."""
        credential = site.buy("GET", "/slow")

        def ask(number: int) -> httpx2.Response:
            if number % 4 == 3:
                return site.request("GET", "/free", credential)
            return site.request("GET", "/slow", credential)

        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(ask, range(26)))
        assert all(answer.json() == {"paid": None} for answer in answers[3::4])
        paid = [answer for number, answer in enumerate(answers) if number % 4 != 3]
        assert {answer.status_code for answer in paid} <= {200, 409}
        assert sum(answer.status_code == 200 for answer in paid) >= 1
        assert all(answer.headers["retry-after"] == "1" for answer in paid if answer.status_code == 409)
        assert [run for run in site.runs() if run != "free"] == ["slow"]

    def test_many_payments_at_once(self, site: Site) -> None:
        """Case 72: concurrent handlers each see their own payment."""
        challenges = [site.request("GET", "/forecast") for _ in range(8)]
        credentials = [site.pay(challenge) for challenge in challenges]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda credential: site.request("GET", "/forecast", credential), credentials))
        assert [answer.json()["paid"] for answer in answers] == [each.json()["payment_hash"] for each in challenges]

    @pytest.mark.parametrize(
        "value",
        ["L402 " + "A" * 15_000, "L402 " + "A" * 17_000 + ":" + "0" * 64, "L402 " + "A" * 1_000_000, "L402 \xe9:\xff"],
        ids=["15k", "17k", "1M", "latin-1"],
    )
    def test_a_garbage_header(self, site: Site, value: str) -> None:
        """Cases 10, 13: garbage of any length is a 402, or refused by the server before it gets to us."""
        try:
            answer = site.request("GET", "/forecast", headers={"Authorization": value.encode("latin-1")})
        except (httpx2.TransportError, OSError, UnicodeDecodeError):
            pass  # A server may hang up on a header that it will not read, and httpx2's WSGI one speaks ASCII.
        else:
            assert answer.status_code in (402, 400, 413, 431)
            if answer.status_code == 402:
                assert answer.json()["code"] == "malformed-credential"
        assert site.runs() == []

    def test_options(self, site: Site) -> None:
        """Case 65: OPTIONS is the framework's to answer; a priced handler does not run, and nobody is asked to pay."""
        for url in ("/forecast", "/echo", "/view"):
            assert site.request("OPTIONS", url).status_code in (200, 405)
        assert site.runs() == []

    def test_other_methods(self, site: Site) -> None:
        """Case 64: a method that the route does not have is a 405 and no sale."""
        assert site.request("DELETE", "/forecast").status_code == 405
        assert site.request("GET", "/nowhere").status_code == 404
        assert site.runs() == []

    @ASKING_FOR_MORE
    def test_headers_that_ask_for_more(self, site: Site, headers: dict[str, str]) -> None:
        """Cases 61, 69, 91: no request header switches the gate off."""
        assert site.request("GET", "/cached", headers=headers).status_code in (402, 400)
        assert site.runs() == []

    def test_the_wallet(self, site: Site) -> None:
        """The development wallet answers on loopback, and nobody behind a proxy."""
        invoice = site.request("GET", "/forecast").json()["invoice"]
        url = f"/dev/wallet/pay?invoice={invoice}"
        assert site.request("GET", url).json().keys() == {"preimage"}
        assert site.request("HEAD", url).content == b""
        assert code(site.request("POST", url)) == (405, "method-not-allowed")
        assert code(site.request("GET", "/dev/wallet/pay")) == (400, "missing-invoice")
        for name in {"X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-IP", "Via"} - set(site.hidden_headers):
            assert code(site.request("GET", url, headers={name: "127.0.0.1"})) == (403, "not-local")


def raw(port: int, *parts: bytes, until: Callable[[bytes], bool] | None = None, timeout: float = 5) -> bytes:
    """What a server answers to these bytes, up to its end or until that is enough."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        with suppress(TimeoutError, ConnectionError):
            while not (until and until(answer)):
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        return answer


def json_of(answer: bytes) -> dict[str, Any]:
    """The JSON body at the end of a raw answer."""
    text = answer.partition(b"\r\n\r\n")[2]
    body: dict[str, Any] = json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])
    return body
