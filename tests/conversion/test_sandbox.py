"""The sandbox: what a job may do, and that it ends."""

import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from file_conversion import confinement, sandbox
from file_conversion.catalogue import PAIRS
from file_conversion.order import Order
from file_conversion.sandbox import ConversionFailed, Converted, Sandbox

pytestmark = pytest.mark.slow

EXAMPLES = Path(sandbox.__file__).parents[1]

linux = pytest.mark.skipif(bool(confinement.missing()), reason=f"this kernel lacks {confinement.missing()}")


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """The folder that jobs get their folders in."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder


@pytest.fixture
def order() -> Order:
    """An order whose engine the tests replace."""
    return Order(b"# Title", "a", "md", "html")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let jobs run this Python code instead of the worker, with `notes` to leave process ids in."""

    def replace(code: str) -> None:
        script = tmp_path / "worker.py"
        script.write_text(f"import os, sys, time, subprocess\nnotes = {str(tmp_path / 'notes')!r}\n{code}")
        monkeypatch.setattr(sandbox, "_WORKER", script)

    return replace


def alive(process: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def noted(folder: Path) -> list[int]:
    """The process ids that a job noted, once it has noted two."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if (folder / "notes").exists() and len(ids := (folder / "notes").read_text().split()) == 2:
            return [int(number) for number in ids]
        time.sleep(0.01)
    raise AssertionError("the job did not start")


def gone(processes: list[int]) -> bool:
    """Whether all of the processes are gone, within a second."""
    deadline = time.monotonic() + 1
    while any(alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(alive(process) for process in processes)


HANGS = """
child = subprocess.Popen(["sleep", "60"], env={"PATH": "/usr/bin:/bin"})
open(notes, "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""


@pytest.fixture(params=["blocking", "asyncio", "trio"])
def run(request: pytest.FixtureRequest, jobs: Path) -> Callable[[Order], Converted]:
    """Both fronts, the awaiting one on both event loops."""
    box = Sandbox(folder=jobs)
    if request.param == "blocking":
        return box.convert_blocking
    return lambda order: anyio.run(box.convert, order, backend=request.param)


def test_converts_and_leaves_nothing_behind(run: Callable[[Order], Converted], jobs: Path, order: Order) -> None:
    """The result comes back, and the job's folder is gone."""
    assert b"<h1" in run(order).content
    assert list(jobs.iterdir()) == []


def test_a_job_that_hangs_is_killed_with_its_group(
    run: Callable[[Order], Converted],
    worker: Callable[[str], None],
    jobs: Path,
    order: Order,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After its time a job and what it started are dead, its folder is gone, and the error says what to do."""
    worker(HANGS)
    monkeypatch.setitem(PAIRS, ("md", "html"), dataclasses.replace(order.engine, seconds=1))
    started = time.monotonic()
    with pytest.raises(ConversionFailed) as caught:
        run(order)
    assert caught.value.code == "took-too-long"
    assert time.monotonic() - started < 3
    assert gone(noted(jobs.parent))
    assert list(jobs.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("os.kill(os.getpid(), 11)", "crashed"),
        ("sys.exit(0)", "crashed"),
        ("raise RuntimeError(os.getcwd())", "crashed"),
        ("os.write(1, b'done')", "crashed"),
        ("os.symlink('/etc/passwd', 'made.html'); os.write(1, b'done')", "crashed"),
        ("os.mkfifo('made.html'); os.write(1, b'done')", "crashed"),
        ("os.mkdir('made.html'); os.write(1, b'done')", "crashed"),
        ("open('made.html', 'w'); os.write(1, b'done')", "empty-result"),
        ("open('made.html', 'w').truncate(65 << 20); os.write(1, b'done')", "crashed"),
        ("os.write(1, b'unreadable')", "unreadable"),
        ("os.write(1, bytes(range(256)) * 10_000)", "crashed"),
        ("open('made.html', 'w').write('x'); os.chmod('.', 0); os.write(1, b'\\xff')", "crashed"),
    ],
)
def test_whatever_a_job_does_the_error_is_one(
    run: Callable[[Order], Converted], worker: Callable[[str], None], order: Order, code: str, reason: str
) -> None:
    """A job that crashes, lies, or leaves something else than a file fails with a sentence, and no path in it."""
    worker(code)
    with pytest.raises(ConversionFailed) as caught:
        run(order)
    assert caught.value.code == reason
    assert "/" not in caught.value.title


def test_what_a_successful_job_leaves_running_dies(
    run: Callable[[Order], Converted], worker: Callable[[str], None], jobs: Path, order: Order
) -> None:
    """The group is killed after success as well."""
    worker(HANGS.replace("time.sleep(60)", "open('made.html', 'w').write('x'); os.write(1, b'done')"))
    assert run(order) == Converted(b"x", "html")
    assert gone(noted(jobs.parent))


def test_sweep_deletes_what_a_killed_server_left(jobs: Path) -> None:
    """Folders of jobs go after an hour; fresh ones and those of others stay."""
    for name in ("l402-conversion-old", "l402-conversion-new", "another"):
        (jobs / name).mkdir()
        (jobs / name / "given.docx").touch()
    for name in ("l402-conversion-old", "another"):
        os.utime(jobs / name, (0, 0))
    Sandbox(folder=jobs).sweep()
    assert {left.name for left in jobs.iterdir()} == {"l402-conversion-new", "another"}


@pytest.mark.anyio
async def test_cancelling_kills_the_job(worker: Callable[[str], None], jobs: Path, order: Order) -> None:
    """A customer who leaves takes the job along: processes and folder."""
    worker(HANGS)
    async with anyio.create_task_group() as group:
        group.start_soon(Sandbox(folder=jobs).convert, order)
        processes = await anyio.to_thread.run_sync(noted, jobs.parent)
        group.cancel_scope.cancel()
    assert gone(processes)
    assert list(jobs.iterdir()) == []


@pytest.mark.anyio
async def test_no_more_jobs_than_allowed_at_once(worker: Callable[[str], None], jobs: Path, order: Order) -> None:
    """Six orders with two slots: never more than two folders exist, and all six are served."""
    worker("time.sleep(0.15); open('made.html', 'w').write('x'); os.write(1, b'done')")
    box, served, most = Sandbox(at_once=2, folder=jobs), [], 0

    async def one() -> None:
        served.append(await box.convert(order))

    async with anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(one)
        while len(served) < 6:
            most = max(most, len(list(jobs.iterdir())))
            await anyio.sleep(0.01)
    assert most == 2


@pytest.mark.anyio
async def test_the_event_loop_stays_free(
    jobs: Path, json_body: Callable[..., bytes], samples: dict[str, bytes]
) -> None:
    """While a large file is converted, the loop never waits long."""
    longest, done = 0.0, anyio.Event()

    async def watch() -> None:
        nonlocal longest
        while not done.is_set():
            before = time.perf_counter()
            await anyio.sleep(0.005)
            longest = max(longest, time.perf_counter() - before)

    async with anyio.create_task_group() as group:
        group.start_soon(watch)
        await Sandbox(folder=jobs).convert(Order(samples["txt"] * 20_000, "a", "txt", "rtf"))
        done.set()
    assert longest < 0.4


def test_a_job_has_no_environment(
    worker: Callable[[str], None], jobs: Path, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret in the server's environment does not reach the child, and no file of the server is open in it."""
    monkeypatch.setenv("L402_SECRET_KEYS", "secret")
    worker(
        "open('made.html', 'w').write(repr((sorted(os.environ.items()), sorted(os.listdir('/proc/self/fd')))));"
        "os.write(1, b'done')"
    )
    with open(EXAMPLES / "file_conversion" / "worker.py") as held:
        os.set_inheritable(held.fileno(), True)
        told = Sandbox(folder=jobs).convert_blocking(order).content.decode()
    assert "secret" not in told
    assert "'0', '1', '2', '3', '4'" in told  # the file being written, and the listing itself
    assert "'5'" not in told


def test_a_kernel_without_walls_is_named_at_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator reads which layers are absent; where all are there, nothing is logged."""
    monkeypatch.setattr(confinement, "missing", lambda: ["Landlock", "seccomp"])
    Sandbox()
    assert "does not offer Landlock or seccomp" in caplog.text
    caplog.clear()
    monkeypatch.setattr(confinement, "missing", list)
    Sandbox()
    assert caplog.text == ""


def test_what_the_converter_said_is_for_the_log_alone(
    jobs: Path, order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine's complaint reaches the debug log escaped, and never the error."""
    with caplog.at_level(logging.DEBUG), pytest.raises(ConversionFailed) as caught:
        Sandbox(folder=jobs).convert_blocking(Order(b"%PDF-1.7\nnothing", "a", "pdf", "txt"))
    assert caught.value.code == "unreadable"
    assert "Traceback" in caplog.text
    assert "Traceback" not in str(caught.value)


def confined(code: str, folder: Path, programs: bool = False) -> str:
    """What code prints in a process confined to `folder`."""
    script = (
        f"import sys, os; sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from pathlib import Path\nfrom file_conversion import confinement\n"
        "confinement.limit(5, 1 << 30, 1 << 20)\n"
        f"confinement.confine(Path.cwd(), {programs})\n"
        f"try:\n    print({code})\nexcept BaseException as error:\n    print(type(error).__name__)\n"
    )
    run = subprocess.run([sys.executable, "-I", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    return run.stdout.strip() or f"{run.returncode} {run.stderr}"


@linux
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("open('inside', 'w').write('x')", "1"),
        ("len(os.urandom(4))", "4"),
        ("open('/etc/passwd').read()", "PermissionError"),
        ("open('../outside').read()", "PermissionError"),
        ("open('../outside', 'w')", "PermissionError"),
        ("os.listdir('..')", "PermissionError"),
        ("os.listdir('/proc')", "PermissionError"),
        ("os.rename('given', '../given')", "PermissionError"),
        ("os.link('../outside', 'linked')", "OSError"),  # EXDEV
        ("open(__import__('os').__file__, 'a')", "PermissionError"),
        ("__import__('socket').socket()", "PermissionError"),
        ("__import__('socket').socket(1)", "PermissionError"),
        ("__import__('socket').socketpair()", "PermissionError"),
        ("os.setsid()", "PermissionError"),
        ("os.setpgid(0, 0)", "PermissionError"),
        ("os.kill(os.getppid(), 0)", "PermissionError"),
        ("__import__('subprocess').run(['/bin/true'])", "PermissionError"),
        ("len(bytearray(2 << 30))", "MemoryError"),
        ("open('inside', 'wb').write(bytes(2 << 20))", "OSError"),  # EFBIG
    ],
)
def test_what_a_confined_process_may_do(tmp_path: Path, code: str, said: str) -> None:
    """Its own folder, randomness, and nothing else."""
    (tmp_path / "outside").write_text("secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "given").touch()
    assert confined(code, folder) == said


@linux
@pytest.mark.parametrize(
    ("code", "error"),
    [("open('/etc/passwd')", "Permission denied"), ("import os; os.setsid()", "Operation not permitted")],
)
def test_programs_are_confined_too(tmp_path: Path, code: str, error: str) -> None:
    """A program that an engine may start inherits every wall."""
    run = f"__import__('subprocess').run([sys.executable, '-I', '-c', {code!r}], capture_output=True).stderr"
    assert error in confined(run, tmp_path, programs=True)


@linux
def test_a_job_dies_with_its_server(tmp_path: Path) -> None:
    """A worker whose server was killed does not go on."""
    child = (
        f"import sys, time; sys.path.insert(0, {str(EXAMPLES)!r}); from pathlib import Path;"
        "from file_conversion import confinement; confinement.confine(Path.cwd(), False);"
        "print('confined', flush=True); time.sleep(60)"
    )
    server = (
        "import subprocess, sys; job = subprocess.Popen([sys.executable, '-I', '-c', sys.argv[1]],"
        "stdout=subprocess.PIPE, start_new_session=True); job.stdout.readline(); print(job.pid, flush=True); job.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", server, child], stdout=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        job = int(process.stdout.readline())
        assert alive(job)
        process.send_signal(signal.SIGKILL)
    assert gone([job])
