"""The service on real servers: uvicorn with Starlette, gunicorn with Flask, three workers each."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from file_conversion.catalogue import MAX_BODY_BYTES
from PIL import Image

from .customer import PATH, code_of, order
from .results import check_mp3, check_pdf, check_webp
from .server import GUNICORN, UVICORN, Server, only, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def large_order() -> bytes:
    """An order that takes a second or so."""
    file = BytesIO()
    Image.effect_noise((1800, 1400), 60).convert("RGB").save(file, "PNG", compress_level=1)
    return order(file.getvalue(), "png", "webp", "large")


def test_the_contract(server: Server, docx: bytes, png: bytes, mp4: bytes) -> None:
    """Offer, challenge, payment and download for each of the three conversions that the service is known for."""
    with server.customer() as customer:
        assert customer.http.get(PATH).status_code == 200
        check_pdf(customer.fetch(customer.buy(order(docx, "docx", "pdf", "Übersicht 2026.docx"))))
        check_webp(customer.fetch(customer.buy(order(png, "png", "webp"))))
        check_mp3(customer.fetch(customer.buy(order(mp4, "mp4", "mp3"))))


def test_a_name_beyond_ascii(server: Server, png: bytes) -> None:
    """The customer's name for the file survives the link and the header."""
    with server.customer() as customer:
        url = customer.buy(order(png, "png", "webp", "Übersicht 100% (é).png")).json()["url"]
        answer = customer.http.get(url)
    assert answer.status_code == 200
    assert "filename*=UTF-8''%C3%9Cbersicht%20100%20%28%C3%A9%29.webp" in answer.headers["Content-Disposition"]


def test_refusals(server: Server, png: bytes, docx: bytes) -> None:
    """Bad bodies, an encoding and a foreign Host are refused before the 402; a credential is for one request."""
    good = order(png, "png", "webp")
    with server.customer() as customer:
        for answer, status, code in (
            (customer.ask(b"{"), 400, "not-json"),
            (customer.ask(order(b"", "png", "webp")), 400, "empty-file"),
            (customer.ask(order(docx, "png", "webp")), 422, "type-mismatch"),
            (customer.ask(order(png, "png", "docx")), 422, "unknown-pair"),
            (customer.ask(good, Content_Encoding="gzip"), 415, "content-encoding"),
            (customer.http.post(PATH, files={"file": png}), 415, "multipart-not-supported"),
            (customer.ask(good, Host="evil.example"), 503, "no-public-url"),
            (customer.ask(order(docx, "docx", "pdf"), customer.pay(customer.ask(good))), 402, "wrong-request"),
        ):
            assert (answer.status_code, code_of(answer)) == (status, code)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil", "127.0.0.1 evil", None])
def test_hostile_hosts_as_bytes(server: Server, png: bytes, host: str | None) -> None:
    """As bytes on the wire too, a Host that is not this machine gets no challenge and no link; nor does none at all."""
    body = order(png, "png", "webp")
    version, field = ("1.0", "") if host is None else ("1.1", f"Host: {host}\r\n")
    head = f"POST {PATH} HTTP/{version}\r\n{field}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    status, answer = server.raw(head.encode() + body)
    assert status in (400, 503)  # some are refused by the server itself
    assert b"macaroon" not in answer
    if host in (None, "evil.example"):
        assert b"no-public-url" in answer


def test_a_length_beyond_the_limit(server: Server) -> None:
    """A Content-Length alone is enough for a 413: the answer comes though no byte of the body does."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n"
    status, answer = server.raw(head.encode())
    assert (status, b"body-too-large" in answer) == (413, True)


def test_a_stream_beyond_the_limit(server: Server) -> None:
    """A chunked body is cut off where it gets too long, not when it ends."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    enough = MAX_BODY_BYTES // 0x10000 + 1
    head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, answer = server.raw(head.encode() + chunk * enough)
    assert (status, b"body-too-large" in answer) == (413, True)


def test_a_chunked_order(server: Server, png: bytes) -> None:
    """A client that streams its body is as welcome as any."""

    def streamed() -> Iterator[bytes]:
        yield from (body[:100], body[100:])

    body = order(png, "png", "webp", "streamed")
    with server.customer() as customer:
        credential = customer.pay(customer.http.post(PATH, content=streamed()))
        headers = {"Authorization": credential}
        check_webp(customer.fetch(customer.http.post(PATH, content=streamed(), headers=headers)))


def test_twenty_at_once_convert_once(server: Server, large_order: bytes) -> None:
    """Case 46: over three workers too, twenty identical paid requests make one conversion, and all get its link."""
    stored = server.results()
    with server.customer() as customer:
        credential = customer.pay(customer.ask(large_order))

        def ask(_: int) -> httpx2.Response:
            with server.customer() as other:
                return other.ask(large_order, credential)

        with ThreadPoolExecutor(20) as customers:
            answers = list(customers.map(ask, range(20)))
            assert {answer.status_code for answer in answers} == {200, 409}
        # Two at a time: one payment has an eighth of the room for bodies, and these are large.
        with ThreadPoolExecutor(2) as customers:
            again = list(customers.map(ask, range(20)))
    assert {answer.status_code for answer in again} == {200}
    assert len({answer.json()["url"] for answer in answers + again if answer.status_code == 200}) == 1
    assert server.results() == stored + 1


def test_a_customer_who_hangs_up(server: Server, large_order: bytes) -> None:
    """Case 51: who disconnects while the conversion runs finds its one result by repeating the request."""
    stored = server.results()
    address = urlsplit(server.url)
    with server.customer() as customer:
        credential = customer.pay(customer.ask(large_order))
        head = f"POST {PATH} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(large_order)}\r\n"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(f"{head}Authorization: {credential}\r\n\r\n".encode() + large_order)
            server.wait_for_a_hold()
        seen: list[int] = []
        while not seen or seen[-1] == 409:
            seen.append((answer := customer.ask(large_order, credential)).status_code)
            time.sleep(0.05)
        assert seen[0] == 409  # otherwise the conversion was over too soon to show anything
        assert seen[-1] == 200
        assert customer.ask(large_order, credential).json() == answer.json()
        assert customer.http.get(answer.json()["url"]).status_code == 200
    assert server.results() == stored + 1


def test_any_worker_redeems(server: Server, png: bytes) -> None:
    """Case 84: what one worker sold, another one's wallet pays, a third one converts, and the first hands out."""
    body = order(png, "png", "webp", "workers")
    first, second, third = workers = server.workers()
    with only(first, workers), server.customer() as customer:
        challenge = customer.ask(body)
    with only(second, workers), server.customer() as customer:
        credential = customer.pay(challenge)
    with only(third, workers), server.customer() as customer:
        answer = customer.ask(body, credential)
    with only(first, workers), server.customer() as customer:
        check_webp(customer.fetch(answer))
        assert customer.ask(body, credential).json() == answer.json()


def test_either_framework_redeems(tmp_path: Path, png: bytes) -> None:
    """The two applications are one service: what Starlette sold, Flask delivers, on the same data."""
    body = order(png, "png", "webp")
    with serving(UVICORN, tmp_path) as starlette, starlette.customer() as customer:
        credential = customer.pay(customer.ask(body))
        with serving(GUNICORN, tmp_path) as flask, flask.customer() as other:
            answer = other.ask(body, credential)
            assert customer.ask(body, credential).json() == answer.json()
            check_webp(other.fetch(answer))


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_conversions_hold_up_nobody(tmp_path: Path, command: tuple[str, ...], large_order: bytes) -> None:
    """While its only worker takes orders and converts, the offers are answered within reason."""
    with serving(command, tmp_path) as server, server.customer() as customer, server.customer() as other:

        def buy() -> float:
            began = time.perf_counter()
            customer.fetch(customer.buy(large_order))
            return time.perf_counter() - began

        lags = []
        with ThreadPoolExecutor(1) as buyers:
            buying = buyers.submit(buy)
            while not buying.done():
                began = time.perf_counter()
                assert other.http.get(PATH).status_code == 200
                lags.append(time.perf_counter() - began)
                time.sleep(0.01)
    assert len(lags) > 5
    assert max(lags) < buying.result() / 2


@pytest.mark.parametrize("command", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])
def test_a_worker_that_is_killed(tmp_path: Path, command: tuple[str, ...], large_order: bytes) -> None:
    """Case 52: workers that are killed while they convert cost the customer a lease's wait, and not the payment."""
    with (
        serving(command, tmp_path, workers=2, L402_LEASE="2") as server,
        server.customer() as customer,
        ThreadPoolExecutor(1) as customers,
    ):
        credential = customer.pay(customer.ask(large_order))
        with server.customer() as unlucky:
            cut_off = customers.submit(unlucky.ask, large_order, credential)
            server.wait_for_a_hold()
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
            with pytest.raises(httpx2.TransportError):
                cut_off.result()
        assert server.results() == 0

        def again() -> httpx2.Response:
            with server.customer() as other:
                return other.ask(large_order, credential)

        seen = [again()]
        while seen[-1].status_code == 409:
            time.sleep(0.2)
            seen.append(again())
        assert customer.fetch(seen[-1])
        assert server.results() == 1
