"""What cannot succeed is refused before the 402: nobody pays for it, and no invoice is made."""

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from file_conversion.catalogue import MAX_BODY_BYTES, MAX_FILE_BYTES
from file_conversion.links import LinkStore
from file_conversion.shop import Shop

from l402_middleware import ConfigurationError, Refusal

from .customer import PATH, code_of
from .in_process import Service


def changed(**members: Any) -> Callable[[bytes], bytes]:
    """A good order with some members changed, or left out where the value is None."""

    def change(good: bytes) -> bytes:
        merged = json.loads(good) | members
        return json.dumps({name: value for name, value in merged.items() if value is not None}).encode()

    return change


def text(file: bytes) -> str:
    """A file as base64."""
    return base64.b64encode(file).decode()


BAD_BODIES = [
    pytest.param(lambda good: b"", 400, "not-json", id="nothing"),
    pytest.param(lambda good: good[:-1], 400, "not-json", id="half of it"),
    pytest.param(lambda good: b"\xff\xfe\x00", 400, "not-json", id="no text"),
    pytest.param(lambda good: b"[" * 100_000, 400, "not-json", id="very deep"),
    pytest.param(lambda good: b"[" + good + b"]", 400, "not-an-object", id="a list"),
    pytest.param(lambda good: b'"file"', 400, "not-an-object", id="a string"),
    pytest.param(lambda good: b"null", 400, "not-an-object", id="null"),
    *(
        pytest.param(changed(**{name: None}), 400, "missing-member", id=f"no {name}")
        for name in ("file", "file_name", "extensionFrom", "extensionTo")
    ),
    *(
        pytest.param(changed(**{name: wrong}), 400, "wrong-type", id=f"{name} is {wrong}")
        for name in ("file", "file_name", "extensionFrom", "extensionTo")
        for wrong in (1, ["png"])
    ),
    pytest.param(changed(file="not base64!"), 400, "not-base64", id="no base64"),
    pytest.param(changed(file="iVBORw0\n"), 400, "not-base64", id="part of base64 with a line end"),
    pytest.param(changed(file="iVBORw0"), 400, "not-base64", id="base64 without its padding"),
    pytest.param(changed(file="\u00e9"), 400, "not-base64", id="base64 beyond ASCII"),
    pytest.param(changed(file="\ud800"), 400, "not-base64", id="half a character"),
    pytest.param(changed(file=""), 400, "empty-file", id="an empty file"),
    pytest.param(changed(file="data:image/png;base64,"), 400, "empty-file", id="an empty data URI"),
    pytest.param(changed(file=text(bytes(MAX_FILE_BYTES + 1))), 413, "file-too-large", id="a byte too many"),
    pytest.param(changed(file=text(b"%PDF-1.7 and so on")), 422, "type-mismatch", id="a PDF that says PNG"),
    pytest.param(changed(extensionFrom="docx", extensionTo="pdf"), 422, "type-mismatch", id="a PNG that says docx"),
    pytest.param(changed(extensionTo="png"), 422, "unknown-pair", id="into itself"),
    pytest.param(changed(extensionTo="docx"), 422, "unknown-pair", id="a picture into a document"),
    pytest.param(changed(extensionFrom="exe"), 422, "unknown-pair", id="an unknown source"),
    pytest.param(changed(extensionTo="../../etc/passwd"), 422, "unknown-pair", id="a path"),
    pytest.param(changed(extensionTo="\0"), 422, "unknown-pair", id="a NUL"),
]


@pytest.mark.parametrize(("spoil", "status", "code"), BAD_BODIES)
def test_a_bad_body(
    service: Service, png_to_webp: bytes, spoil: Callable[[bytes], bytes], status: int, code: str
) -> None:
    """Each mistake has its code, and none of them an invoice."""
    answer = service.customer.ask(spoil(png_to_webp))
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert "WWW-Authenticate" not in answer.headers
    assert service.node.invoiced == []


def test_a_compressed_body(service: Service, png_to_webp: bytes) -> None:
    """A Content-Encoding is refused, whether it is true or not."""
    for body, encoding in ((gzip.compress(png_to_webp), "gzip"), (png_to_webp, "br"), (png_to_webp, "")):
        answer = service.customer.ask(body, Content_Encoding=encoding)
        expected = (415, "content-encoding") if encoding else (402, "payment-required")
        assert (answer.status_code, code_of(answer)) == expected
    assert len(service.node.invoiced) == 1


def test_a_multipart_body(service: Service, png: bytes) -> None:
    """A form, as browsers send files, is refused: its boundary differs each time, so it could not be redeemed."""
    answer = service.customer.http.post(PATH, files={"file": png})
    assert (answer.status_code, code_of(answer)) == (415, "multipart-not-supported")
    assert service.node.invoiced == []


def test_a_length_beyond_the_limit(service: Service) -> None:
    """Case 75: a Content-Length alone is enough for a 413; what it announces is not read."""

    def body() -> Iterator[bytes]:
        yield b"{"

    request = service.customer.http.build_request(
        "POST", PATH, content=body(), headers={"Content-Length": str(MAX_BODY_BYTES + 1)}
    )
    answer = service.customer.http.send(request)
    assert (answer.status_code, code_of(answer)) == (413, "body-too-large")
    assert service.node.invoiced == []


def test_a_stream_beyond_the_limit(service: Service) -> None:
    """Case 75: a chunked body, which announces nothing, is a 413 once it has got too long."""
    answer = service.customer.http.post(PATH, content=iter([b" " * MAX_BODY_BYTES, b" "]))
    assert (answer.status_code, code_of(answer)) == (413, "body-too-large")
    assert service.node.invoiced == []


def test_a_chunked_order_is_as_good_as_any(service: Service, png_to_webp: bytes) -> None:
    """Case 85: how the body travels is no part of the request that was quoted."""
    credential = service.customer.pay(
        service.customer.http.post(PATH, content=iter([png_to_webp[:50], png_to_webp[50:]]))
    )
    assert service.customer.ask(png_to_webp, credential).status_code == 200


def test_a_full_store(service: Service, tmp_path: Path, png_to_webp: bytes) -> None:
    """While there is no room for results, nobody is asked to pay for one; what was paid for is still handed over."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    service.shop.links = LinkStore(tmp_path / "results", capacity=1)
    answer = service.customer.ask(png_to_webp)
    assert (answer.status_code, code_of(answer)) == (503, "storage-full")
    assert len(service.node.invoiced) == 1
    assert service.customer.ask(png_to_webp, credential).status_code == 200


HOSTILE_HOSTS = [
    "evil.example",
    "evil.example:8402",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil.example#127.0.0.1",
    "evil.example/127.0.0.1",
    "localhost@evil.example",
    "localhost:80@evil.example",
    "127.0.0.1 evil.example",
    " 127.0.0.1",
    "127.0.0.1\t",
    "127.0.0.1:",
    "127.0.0.1:8402x",
    "127.0.0.2",
    "0x7f000001",
    "[::1]evil.example",
    "::1",
    "localhost, evil.example",
    "",
]


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_a_host_that_is_not_this_machine(service: Service, png_to_webp: bytes, host: str) -> None:
    """Without PUBLIC_URL no link is made to wherever a Host header says, and nobody is asked to pay for one."""
    answer = service.customer.ask(png_to_webp, Host=host)
    assert (answer.status_code, code_of(answer)) == (503, "no-public-url")
    assert service.node.invoiced == []


def test_another_host_after_paying(service: Service, png_to_webp: bytes) -> None:
    """The Host header is no part of the quote: a false one converts nothing, and leaves the payment good."""
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    answer = service.customer.ask(png_to_webp, credential, Host="evil.example")
    assert (answer.status_code, code_of(answer)) == (503, "no-public-url")
    assert service.sandbox.runs == 0
    assert service.customer.ask(png_to_webp, credential).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8402", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8402"])
def test_a_host_on_this_machine(tmp_path: Path, host: str) -> None:
    """A developer's links lead back to where the developer asked."""
    assert Shop(tmp_path).address(host) == f"http://{host}"


def test_no_host_at_all(tmp_path: Path) -> None:
    """HTTP/1.0 has requests without a Host header."""
    with pytest.raises(Refusal, match="PUBLIC_URL") as refusal:
        Shop(tmp_path).address(None)
    assert (refusal.value.status, refusal.value.code) == (503, "no-public-url")


def test_a_public_url_decides(make_service: Callable[..., Service], png_to_webp: bytes) -> None:
    """Whatever Host says, links lead to PUBLIC_URL where it is set, below its path if it has one."""
    service = make_service(public_url="https://convert.example/below/")
    for host in ("evil.example", "localhost@evil", "", "127.0.0.1"):
        assert service.customer.ask(png_to_webp, Host=host).status_code == 402
    credential = service.customer.pay(service.customer.ask(png_to_webp))
    answer = service.customer.ask(png_to_webp, credential, Host="evil.example")
    assert answer.json()["url"].startswith("https://convert.example/below/files/")


@pytest.mark.parametrize(
    "url",
    [
        "convert.example",
        "ftp://convert.example",
        "https://",
        "https:///files",
        "https://a b",
        "https://a?b",
        "https://[a",
    ],
)
def test_a_public_url_that_is_no_address(tmp_path: Path, url: str) -> None:
    """A link that leads nowhere would be noticed by the first customer who paid for it; this one is noticed before."""
    with pytest.raises(ConfigurationError, match="PUBLIC_URL"):
        Shop(tmp_path, url)
