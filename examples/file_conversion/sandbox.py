"""Run one conversion in a child process that can do no harm, and bring back its result.

`Sandbox.convert` awaits and `Sandbox.convert_blocking` blocks; all but the waiting is shared, in `_Job`.
"""

import logging
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore

import anyio
import anyio.to_thread

from . import confinement
from .catalogue import MIB
from .explanations import MAX_RESULT_BYTES, NOTES, REASONS
from .order import Order

log = logging.getLogger(__name__)


class ConversionFailed(Exception):
    """The file cannot be converted. `code` is stable, for programs; `title` tells a person what to do."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.title = REASONS[code]
        super().__init__(self.title)


@dataclass(frozen=True, slots=True)
class Converted:
    """The result: its bytes, its format as an extension without a dot, and sentences on what it could not hold."""

    content: bytes
    extension: str
    notes: tuple[str, ...] = ()


class Sandbox:
    """At most `at_once` conversions at a time in this process, each in a fresh private folder below `folder`.

    `at_once` defaults to one for each processor, `folder` to the system's temporary folder. What the kernel does not
    offer is logged here, as a warning.
    """

    def __init__(self, at_once: int | None = None, folder: Path | None = None) -> None:
        at_once = at_once or os.cpu_count() or 1
        self._folder = folder
        self._blocking_slots = BoundedSemaphore(at_once)
        self._awaiting_slots = anyio.CapacityLimiter(at_once)
        if absent := confinement.missing():
            log.warning("conversions run with fewer walls: this kernel does not offer %s", " or ".join(absent))

    async def convert(self, order: Order) -> Converted:
        """Convert without holding the event loop. Raises `ConversionFailed`; cancelling kills the job."""
        async with self._awaiting_slots:
            job = await anyio.to_thread.run_sync(_Job, order, self._folder)
            try:
                return await anyio.to_thread.run_sync(job.result, await _verdict(job))
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(job.remove)

    def convert_blocking(self, order: Order) -> Converted:
        """Convert, holding the calling thread. Raises `ConversionFailed`."""
        with self._blocking_slots:
            job = _Job(order, self._folder)
            try:
                return job.result(_verdict_blocking(job))
            finally:
                job.remove()

    def sweep(self) -> None:
        """Delete what jobs of a killed server left behind an hour ago. For the start, and now and then."""
        long_ago = time.time() - 3600
        for left in Path(self._folder or tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with suppress(FileNotFoundError):
                if left.stat(follow_symlinks=False).st_mtime < long_ago:
                    shutil.rmtree(left, ignore_errors=True)


async def _verdict(job: "_Job") -> bytes:
    with anyio.CancelScope(shield=True):  # cancelled in here, nobody would know which process to kill
        process = await anyio.open_process(
            job.command, stdin=subprocess.DEVNULL, stderr=job.said, cwd=job.folder, env={}, start_new_session=True
        )
    assert process.stdout is not None
    try:
        with anyio.move_on_after(job.seconds):
            return await process.stdout.receive(_VERDICT_BYTES)
        return _TOO_LONG
    except anyio.EndOfStream:
        return b""
    finally:
        _kill_group(process.pid)
        with anyio.CancelScope(shield=True):
            await process.aclose()


def _verdict_blocking(job: "_Job") -> bytes:
    with subprocess.Popen(  # noqa: S603 - nothing in the command comes from the customer but two known extensions
        job.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=job.said,
        cwd=job.folder,
        env={},
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            # Popen.wait(timeout=...) would poll, and answer up to 50 ms late
            waiting = select.poll()
            waiting.register(process.stdout, select.POLLIN)
            if waiting.poll(job.seconds * 1000):
                return os.read(process.stdout.fileno(), _VERDICT_BYTES)
            return _TOO_LONG
        finally:
            _kill_group(process.pid)


_VERDICT_BYTES = 512
_TOO_LONG = b"took-too-long"


def _kill_group(leader: int) -> None:
    """Whatever a job started dies with it: after a timeout, after a crash and after success alike."""
    with suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(leader, signal.SIGKILL)


class _Job:
    """One order laid out in a folder: fixed names only, readable by this user only."""

    def __init__(self, order: Order, parent: Path | None) -> None:
        engine = order.engine
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent)).resolve()
        self.seconds = engine.seconds
        self.command = [
            sys.executable,
            "-I",
            str(_WORKER),
            engine.name,
            order.source,
            order.target,
            str(engine.seconds),
            str(engine.memory_mib * MIB),
            str(max(MAX_RESULT_BYTES, engine.scratch_mib * MIB)),
            "programs" if engine.runs_programs else "no-programs",
        ]
        self._pair = order.source, order.target
        self._made = self.folder / f"made.{order.target}"
        self.said = open(self.folder / "said", "w+b", buffering=0)  # noqa: SIM115 - closed by remove()
        try:
            (self.folder / f"given.{order.source}").write_bytes(order.file)
        except OSError:  # a full disk is no reason to leave a customer's file on it
            self.remove()
            raise

    def result(self, verdict: bytes) -> Converted:
        word, *notes = verdict.decode("ascii", "replace").split() or ["crashed"]
        if word == "done":
            if content := _read_regular(self._made):
                return Converted(content, self._pair[1], tuple(NOTES[note] for note in notes if note in NOTES))
            word = "empty-result"
        code = word if word in REASONS else "crashed"
        log.info("%s to %s failed: %s", *self._pair, code)
        if log.isEnabledFor(logging.DEBUG):
            self.said.seek(max(0, self.said.seek(0, os.SEEK_END) - 2000))
            log.debug("the converter said %r", self.said.read(2000))
        raise ConversionFailed(code)

    def remove(self) -> None:
        self.said.close()
        shutil.rmtree(self.folder, ignore_errors=True)


_WORKER = Path(__file__).with_name("worker.py")
_PREFIX = "l402-conversion-"


def _read_regular(path: Path) -> bytes:
    """The file's bytes; a job that left a link or a pipe there instead gets none of this process's rights."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_RESULT_BYTES:
                return file.read()
    except OSError:
        pass
    raise ConversionFailed("crashed")
