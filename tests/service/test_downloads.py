"""The link: signed, for a while, and harmless to the browser that opens it."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from file_conversion.links import LinkStore

from .customer import code_of, order
from .in_process import LOOPBACK, Service
from .results import check_webp


def test_the_headers_of_a_download(service: Service, png: bytes) -> None:
    """A browser saves the file under the customer's name for it, and runs nothing in it; no cache keeps it."""
    url = service.customer.buy(order(png, "png", "webp", "../holiday.png")).json()["url"]
    answer = service.customer.http.get(url)
    assert answer.headers.get_list("Content-Type") == ["image/webp"]
    assert answer.headers.get_list("Content-Disposition") == [
        "attachment; filename=\"holiday.webp\"; filename*=UTF-8''holiday.webp"
    ]
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Content-Security-Policy") == ["sandbox"]
    assert answer.headers.get_list("Cache-Control") == ["private, no-store"]
    assert answer.headers.get_list("Content-Length") == [str(len(answer.content))]


def test_a_download_can_be_repeated_and_asked_about(service: Service, png_to_webp: bytes) -> None:
    """A link works as often as it is used while it lasts, and HEAD says how long the file is."""
    url = service.customer.buy(png_to_webp).json()["url"]
    files = [service.customer.http.get(url).content for _ in range(2)]
    assert files[0] == files[1]
    head = service.customer.http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(files[0]))


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("identity", "AAAAAAAAAAAAAAAAAAAAAA"),
        ("identity", "secret"),
        ("identity", "..%2Fsecret"),
        ("identity", "%2e%2e"),
        ("name", "a%20file.html"),
        ("name", "a%20file.webp%00"),
        ("name", "%2e%2e%2fsecret"),
        ("exp", "9999999999"),
        ("exp", ""),
        ("exp", "0"),
        ("exp", "-1"),
        ("exp", "%00"),
        ("sig", ""),
        ("sig", "0" * 64),
        ("sig", "%C3%A9"),
        ("sig", "%FF"),
    ],
)
def test_a_changed_link_is_unknown(service: Service, part: str, other: str) -> None:
    """Nothing of a link can be changed, and none of what is tried leads out of the folder."""
    url = service.shop.links.put(b"a picture", "a file", "webp", LOOPBACK)
    assert service.customer.http.get(url).content == b"a picture"
    link = urlsplit(url)
    _, _, identity, name = link.path.split("/")
    parts = {"identity": identity, "name": name} | {key: values[0] for key, values in parse_qs(link.query).items()}
    parts[part] = other
    tried = "/files/{identity}/{name}?exp={exp}&sig={sig}".format_map(parts)
    assert service.customer.http.get(tried).status_code == 404


def test_a_link_without_its_signature_is_unknown(service: Service, png_to_webp: bytes) -> None:
    """The query is part of the link; without it there is a 404 that says so."""
    url = service.customer.buy(png_to_webp).json()["url"]
    answer = service.customer.http.get(url.partition("?")[0])
    assert (answer.status_code, code_of(answer)) == (404, "unknown-link")


def test_a_link_expires(service: Service, tmp_path: Path, png_to_webp: bytes) -> None:
    """After an hour the link is a 410, before and after the file is swept."""
    now = 1_800_000_000.0
    service.shop.links = LinkStore(tmp_path / "results", clock=lambda: now)
    url = service.customer.buy(png_to_webp).json()["url"]
    now += 3599
    check_webp(service.customer.http.get(url).content)
    for later in (1, 3600):
        now += later
        answer = service.customer.http.get(url)
        assert (answer.status_code, code_of(answer)) == (410, "link-expired")
        service.shop.links.sweep()


def test_two_buyers_of_one_thing_have_two_links(service: Service, png_to_webp: bytes) -> None:
    """A link cannot be guessed from another one, even for the very same order."""
    first, second = (service.customer.buy(png_to_webp).json()["url"] for _ in range(2))
    assert first.split("/")[4] != second.split("/")[4]
    assert service.sandbox.runs == 2
