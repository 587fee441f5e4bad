"""Hand over a result: a folder of files, and links to them that are signed and expire.

    https://example.org/files/<random id>/<name>?exp=<unix seconds>&sig=<HMAC-SHA256>

Nothing is kept in memory, so several workers share one folder, and links outlive a restart.
"""

import hmac
import os
import re
import secrets
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from l402_middleware import Refusal

from .catalogue import MEDIA_TYPES, MIB

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")
_STORED = re.compile(r"[A-Za-z0-9_-]{22}\.[1-9][0-9]{0,11}")
_UNFINISHED_SECONDS = 3600
_GRACE_SECONDS = 60
"""How long an expired file stays, for a download that began in time."""


@dataclass(frozen=True, slots=True)
class Download:
    """A file to answer with: all of `headers`, then what is in `path`."""

    path: Path
    headers: dict[str, str]


class LinkStore:
    """Files in `folder` for `lifetime` seconds, at most about `capacity` bytes of them.

    `secret` signs the links; without one, the folder keeps one that its first user made. The folder has to be this
    application's alone, and one for all its workers. Call `sweep` at the start and every minute.
    """

    def __init__(
        self,
        folder: Path,
        *,
        secret: bytes | None = None,
        lifetime: int = 3600,
        capacity: int = 2048 * MIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._secret = secret or _kept_secret(self._folder / "secret")
        self._lifetime = lifetime
        self._capacity = capacity
        self._clock = clock
        self._measured: tuple[float, int] | None = None

    def require_room(self) -> None:
        """Raise `Refusal` (503) while the store is full. For the time before the invoice.

        What has been paid for is stored even so, and exceeds the capacity by as much as was being converted meanwhile.
        """
        if self._used() >= self._capacity:
            raise Refusal(503, "storage-full", "The server has no room for more results; try again in a few minutes.")

    def put(self, content: bytes, label: str, extension: str, base_url: str) -> str:
        """Store a result and return its link below `base_url`. `label` is what the customer calls the file."""
        identity = secrets.token_urlsafe(16)
        expires = int(self._clock()) + self._lifetime
        unfinished = self._folder / f"unfinished-{identity}"
        try:
            unfinished.write_bytes(content)
            unfinished.rename(self._folder / f"{identity}.{expires}")
        except OSError:  # a full disk should not hold half a file for another hour
            unfinished.unlink(missing_ok=True)
            raise
        self._measured = None
        signed = _signed_part(identity, safe_name(label, extension), str(expires))
        return f"{base_url.rstrip('/')}{signed}&sig={self._signature(signed)}"

    def get(self, identity: str, name: str, expires: str, signature: str) -> Download:
        """The file of a link, given its four parts as a web framework hands them over, that is, percent-decoded.

        Raises `Refusal`: 404 unless the link is one of ours and its file is there, 410 once it has expired.
        """
        signed = _signed_part(identity, name, expires)
        authentic = hmac.compare_digest(self._signature(signed).encode(), signature.encode(errors="replace"))
        if not (authentic and _ID.fullmatch(identity) and _EXPIRY.fullmatch(expires)):
            raise Refusal(404, "unknown-link", "There is no such file; check that the link is complete.")
        path = self._folder / f"{identity}.{expires}"
        if int(expires) <= self._clock():
            raise Refusal(410, "link-expired", "This link has expired and its file was deleted.")
        if not path.is_file():
            raise Refusal(404, "unknown-link", "There is no such file; it was deleted.")
        return Download(path, _headers(name))

    def sweep(self) -> None:
        """Delete what has expired, and what a killed worker left unfinished. Safe to run in several workers at once."""
        now = self._clock()
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if _STORED.fullmatch(entry.name):
                        stale = int(entry.name.partition(".")[2]) + _GRACE_SECONDS < now
                    else:
                        unfinished = entry.name.startswith("unfinished-")
                        stale = unfinished and entry.stat().st_mtime + _UNFINISHED_SECONDS < time.time()
                    if stale:
                        os.unlink(entry.path)
        self._measured = None

    def _used(self) -> int:
        """Bytes in the folder, counted at most once a second: every unpaid request asks."""
        # Looked at once: a thread that stores or sweeps meanwhile forgets it.
        now, measured = time.monotonic(), self._measured
        if measured is None or now - measured[0] >= 1:
            used = 0
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        used += entry.stat(follow_symlinks=False).st_size
            measured = self._measured = (now, used)
        return measured[1]

    def _signature(self, signed: str) -> str:
        return hmac.digest(self._secret, signed.encode(), "sha256").hex()


def _signed_part(identity: str, name: str, expires: str) -> str:
    return "/files/{}/{}?exp={}".format(*(quote(part, safe="", errors="replace") for part in (identity, name, expires)))


def safe_name(label: str, extension: str) -> str:
    """A file name fit for any system, from whatever a stranger wrote: no path, no control character."""
    last = re.split(r"[/\\]", label)[-1]
    stem = last.rpartition(".")[0] or last
    plain = unicodedata.normalize("NFC", stem.encode(errors="ignore").decode())
    kept = "".join(
        " " if unicodedata.category(letter)[0] == "Z" else letter
        for letter in plain
        if unicodedata.category(letter)[0] != "C" and letter not in '<>:"|?*;%'
    )
    return f"{kept[:80].strip(' .') or 'converted'}.{extension}"


def _headers(name: str) -> dict[str, str]:
    """Whatever the file holds, a browser saves it and runs nothing in it (RFC 6266 for the name)."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    ascii_name = re.sub(r"[^A-Za-z0-9 ._()-]", "_", ascii_name)
    return {
        "Content-Type": MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream"),
        "Content-Disposition": f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "private, no-store",
    }


def _kept_secret(path: Path) -> bytes:
    """The secret in `path`, made by whichever worker comes first. A link never appears half written."""
    if not path.exists():
        fresh = path.with_name(f"unfinished-{secrets.token_urlsafe(16)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(fresh, path)
        fresh.unlink()
    kept = path.read_bytes()
    if len(kept) < 32:
        raise ValueError(f"{path.name} in the store's folder is not a secret of 32 bytes; delete it to have a new one")
    return kept
