"""One payment, one conversion: never for another file, never twice, and never for a failure."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from .customer import code_of, order
from .in_process import Service
from .results import check_webp


def settled(ledger: Path) -> list[tuple[int, int]]:
    """Of each payment the ledger knows: how many uses it bought, and how many were delivered."""
    db = sqlite3.connect(ledger)
    try:
        return db.execute("SELECT uses, settled FROM payments").fetchall()
    finally:
        db.close()


def test_a_credential_is_for_one_file(service: Service, png: bytes, png_to_webp: bytes, docx: bytes) -> None:
    """Paid for one order, a credential opens no other: not a dearer one, nor the same file with another name."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    for other in (
        order(docx, "docx", "pdf"),
        order(png, "png", "gif"),
        order(png, "png", "webp", "another name"),
        order(png + b"\0", "png", "webp"),
        png_to_webp + b" ",
    ):
        answer = service.customer.ask(other, credential)
        assert (answer.status_code, code_of(answer)) == (402, "wrong-request")
    assert service.sandbox.runs == 0
    check_webp(service.customer.fetch(service.customer.ask(png_to_webp, credential)))


def test_the_same_request_again_gets_the_same_link(service: Service, png_to_webp: bytes) -> None:
    """Case 45: a customer who lost the answer has it again; the conversion ran once."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    answers = [service.customer.ask(png_to_webp, credential) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.json()["url"] for answer in answers}) == 1
    assert service.sandbox.runs == 1
    assert settled(service.ledger) == [(1, 1)]


def test_a_failure_leaves_the_payment_good(service: Service, png_to_webp: bytes) -> None:
    """Case 49: a conversion that fails is a 422, and repeating the request with the same credential succeeds."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    service.sandbox.failures_to_come = 1
    answer = service.customer.ask(png_to_webp, credential)
    assert (answer.status_code, code_of(answer)) == (422, "crashed")
    assert [delivered for _, delivered in settled(service.ledger)] in ([], [0])
    check_webp(service.customer.fetch(service.customer.ask(png_to_webp, credential)))
    assert service.sandbox.runs == 2
    assert settled(service.ledger) == [(1, 1)]


def test_a_file_that_always_fails_is_never_charged(service: Service, broken_png: bytes) -> None:
    """Case 49: the ledger never counts a delivery, however often the broken file is sent."""
    body = order(broken_png, "png", "webp")
    credential = service.customer.pay(service.customer.ask(body))
    for _ in range(3):
        answer = service.customer.ask(body, credential)
        assert (answer.status_code, code_of(answer)) == (422, "unreadable")
    assert [delivered for _, delivered in settled(service.ledger)] in ([], [0])
    assert len(service.node.invoiced) == 1


def test_twenty_at_once_convert_once(service: Service, png_to_webp: bytes) -> None:
    """Case 46: of twenty identical paid requests one converts, nineteen have to wait, and then all have the link."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    service.sandbox.gate.clear()
    with ThreadPoolExecutor(20) as customers:
        running = [customers.submit(service.customer.ask, png_to_webp, credential) for _ in range(20)]
        answered = as_completed(running, timeout=10)
        early = [next(answered).result() for _ in range(19)]
        service.sandbox.gate.set()
        last = next(answered).result()
        assert {(answer.status_code, code_of(answer)) for answer in early} == {(409, "in-use")}
        assert {answer.headers["Retry-After"] for answer in early} == {"1"}
        assert last.status_code == 200
        again = list(customers.map(lambda _: service.customer.ask(png_to_webp, credential), range(20)))
    assert {answer.json()["url"] for answer in again} == {last.json()["url"]}
    assert service.sandbox.runs == 1
    assert settled(service.ledger) == [(1, 1)]


def test_a_conversion_holds_up_nobody(service: Service, png_to_webp: bytes) -> None:
    """While a conversion runs, the offers are answered as fast as ever."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    service.sandbox.gate.clear()
    with ThreadPoolExecutor(1) as customers:
        running = customers.submit(service.customer.ask, png_to_webp, credential)
        while not service.sandbox.runs:
            time.sleep(0.001)
        began = time.perf_counter()
        assert service.customer.http.get("/api/l402/file-conversion").status_code == 200
        took = time.perf_counter() - began
        assert not running.done()
        service.sandbox.gate.set()
        assert running.result().status_code == 200
    assert took < 1
