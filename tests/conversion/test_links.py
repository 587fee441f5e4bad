"""Links: signed, expiring, and the folder behind them."""

import os
import stat
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from file_conversion.catalogue import MEDIA_TYPES
from file_conversion.links import Download, LinkStore, safe_name
from hypothesis import given, settings
from hypothesis import strategies as st

from l402_middleware import Refusal


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> LinkStore:
    """An empty store whose files live an hour."""
    return LinkStore(tmp_path / "files", clock=clock)


def parts(url: str) -> dict[str, str]:
    """What a web framework makes of a link: percent-decoded path parts and query."""
    split = urlsplit(url)
    _, files, identity, name = split.path.split("/")
    assert files == "files"
    query = parse_qs(split.query, strict_parsing=True)
    return {
        "identity": unquote(identity),
        "name": unquote(name),
        "expires": query["exp"][0],
        "signature": query["sig"][0],
    }


def refused(store: LinkStore, link: dict[str, str]) -> tuple[int, str]:
    """Status and code of the refusal that a link meets."""
    with pytest.raises(Refusal) as caught:
        store.get(**link)
    assert str(store._folder) not in caught.value.title
    return caught.value.status, caught.value.code


def test_a_link_gives_the_file_back(store: LinkStore) -> None:
    """What was put is what a link gets, below the base URL, under the customer's name for it."""
    url = store.put(b"content", "My letter.docx", "pdf", "https://example.org/base/")
    assert url.startswith("https://example.org/base/files/")
    assert "/My%20letter.pdf?exp=" in url
    assert store.get(**parts(url.replace("/base", ""))).path.read_bytes() == b"content"


def test_the_headers_make_a_browser_save_and_run_nothing(store: LinkStore) -> None:
    """A stranger's HTML is an attachment, of one type, sandboxed and cached by nobody."""
    download = store.get(**parts(store.put(b"<script>", 'ä"; x=é.odt', "html", "")))
    assert download.headers == {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Disposition": "attachment; filename=\"a x_e.html\"; filename*=UTF-8''%C3%A4%20x%3D%C3%A9.html",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "private, no-store",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "A" * 22},
        {"identity": "../../../etc/passwd"},
        {"identity": ""},
        {"name": "other.pdf"},
        {"name": "../secret"},
        {"expires": "9999999999"},
        {"expires": "x"},
        {"expires": ""},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "\u2603"},
    ],
)
def test_a_changed_link_is_unknown(store: LinkStore, change: dict[str, str]) -> None:
    """Every part of a link is signed."""
    link = parts(store.put(b"content", "a.docx", "pdf", ""))
    assert refused(store, link | change) == (404, "unknown-link")


@settings(deadline=None)
@given(st.text(), st.text(), st.text(), st.text())
def test_any_link(
    tmp_path_factory: pytest.TempPathFactory, identity: str, name: str, expires: str, signature: str
) -> None:
    """Any four strings are refused, never a traceback."""
    store = LinkStore(tmp_path_factory.getbasetemp() / "any-link", secret=bytes(32))
    with pytest.raises(Refusal):
        store.get(identity, name, expires, signature)


@settings(deadline=None)
@given(st.text(st.characters()), st.sampled_from(sorted(MEDIA_TYPES)))
def test_any_label(tmp_path_factory: pytest.TempPathFactory, label: str, extension: str) -> None:
    """Whatever a customer calls the file, its link works and its headers are plain ASCII on one line."""
    store = LinkStore(tmp_path_factory.getbasetemp() / "any-label", secret=bytes(32))
    url = store.put(b"content", label, extension, "http://127.0.0.1")
    download = store.get(**parts(url))
    download.path.unlink()
    name = safe_name(label, extension)
    assert not set(name) & set('/\\"<>:|?*;\r\n\0')
    assert not name.startswith(".")
    for value in download.headers.values():
        assert value.isascii()
        assert value.isprintable()


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("letter.docx", "letter.pdf"),
        ("../../etc/passwd", "passwd.pdf"),
        ("C:\\Users\\me\\letter.docx", "letter.pdf"),
        ("..", "converted.pdf"),
        ("", "converted.pdf"),
        (".htaccess", "htaccess.pdf"),
        ("a\r\nSet-Cookie: b.docx", "aSet-Cookie b.pdf"),
        ("gnp.\u202etxt.docx", "gnp.txt.pdf"),
        ("x" * 500, "x" * 80 + ".pdf"),
        ("年度報告.docx", "年度報告.pdf"),
        ("100%41.docx", "10041.pdf"),
    ],
)
def test_safe_names(label: str, name: str) -> None:
    """Paths, control characters and reserved ones go, the rest of a name stays."""
    assert safe_name(label, "pdf") == name


def test_a_link_expires_and_its_file_is_swept(store: LinkStore, clock: Clock) -> None:
    """A link works until its time, says so afterwards, and a minute later its file is gone."""
    url = store.put(b"content", "a", "pdf", "")
    clock.now += 3599
    path = store.get(**parts(url)).path
    clock.now += 1
    assert refused(store, parts(url)) == (410, "link-expired")
    store.sweep()
    assert path.exists(), "a download that began in time"
    clock.now += 61
    store.sweep()
    assert not path.exists()


def test_sweep_spares_what_is_not_its_own(store: LinkStore, clock: Clock) -> None:
    """Fresh files, fresh unfinished ones and the secret stay; what a killed worker left an hour ago goes."""
    kept = store.get(**parts(store.put(b"content", "a", "pdf", ""))).path
    fresh, old = kept.with_name("unfinished-fresh"), kept.with_name("unfinished-old")
    fresh.touch()
    old.touch()
    os.utime(old, (0, 0))
    store.sweep()
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, fresh.name, "secret"}


def test_a_deleted_file_is_unknown(store: LinkStore) -> None:
    """A good link whose file somebody deleted is a 404."""
    link = parts(store.put(b"content", "a", "pdf", ""))
    store.get(**link).path.unlink()
    assert refused(store, link) == (404, "unknown-link")


def test_a_full_store_refuses_before_the_invoice(tmp_path: Path, clock: Clock) -> None:
    """At its capacity the store answers 503; it has room again once the files are swept."""
    store = LinkStore(tmp_path, secret=bytes(32), capacity=10, clock=clock)
    store.require_room()
    store.put(b"0123456789", "a", "pdf", "")
    with pytest.raises(Refusal) as caught:
        store.require_room()
    assert (caught.value.status, caught.value.code) == (503, "storage-full")
    clock.now += 3700
    store.sweep()
    store.require_room()


def test_a_sweep_while_the_room_is_measured(tmp_path: Path) -> None:
    """Another thread that stores or sweeps makes the next request measure again, and this one no trouble."""

    class Swept(LinkStore):
        kept: tuple[float, int] | None = None

        @property
        def _measured(self) -> tuple[float, int] | None:
            measured, self.kept = self.kept, None
            return measured

        @_measured.setter
        def _measured(self, measured: tuple[float, int] | None) -> None:
            self.kept = measured

    store = Swept(tmp_path, secret=bytes(32))
    store.kept = time.monotonic(), 10
    store.require_room()


def test_workers_share_one_folder(tmp_path: Path, clock: Clock) -> None:
    """A link made by one worker is honoured by another, and by one that started anew."""
    first, second = LinkStore(tmp_path, clock=clock), LinkStore(tmp_path, clock=clock)
    assert isinstance(second.get(**parts(first.put(b"content", "a", "pdf", ""))), Download)
    other = LinkStore(tmp_path, secret=bytes(32), clock=clock)
    assert refused(other, parts(first.put(b"content", "a", "pdf", ""))) == (404, "unknown-link")


def test_workers_that_start_at_once_agree_on_the_secret(tmp_path: Path, clock: Clock) -> None:
    """Sixteen first starts in one folder make one secret, readable by its owner only."""
    stores: list[LinkStore] = []
    barrier = threading.Barrier(16)

    def start() -> None:
        barrier.wait()
        stores.append(LinkStore(tmp_path / "files", clock=clock))

    threads = [threading.Thread(target=start) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    link = parts(stores[0].put(b"content", "a", "pdf", ""))
    assert len({store.get(**link).path for store in stores}) == 1
    assert len(stores) == 16
    assert stat.S_IMODE((tmp_path / "files" / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700


def test_a_truncated_secret_is_not_used(tmp_path: Path) -> None:
    """A damaged secret stops the start with a remedy, and the message does not hold it."""
    (tmp_path / "secret").write_bytes(b"short")
    with pytest.raises(ValueError, match="delete it"):
        LinkStore(tmp_path)
