"""What importing costs: whole processes in turn, with and without us.

As installed: modules are compiled before anything is measured. And without trio, which the tests install and hardly
any application has: httpcore2 imports it where it is there, and that costs more than everything else together.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from tempfile import TemporaryDirectory

from .measure import PAIRS, Result

BARE = "a bare interpreter"
ALONE = "the framework alone"
IMPORTS = (
    ("import l402_middleware", BARE, "import sys", "import l402_middleware", 8.0),
    ("Paywall", BARE, "import sys", "from l402_middleware import Paywall", None),
    (
        "Starlette's adapter",
        ALONE,
        "import starlette.applications",
        "import starlette.applications, l402_middleware.starlette",
        1.6,
    ),
    ("Flask's adapter", ALONE, "import flask", "import flask, l402_middleware.flask", None),
)


def results() -> Iterator[Result]:
    """The milliseconds that a fresh process takes with us, against one without."""
    with TemporaryDirectory() as compiled:
        for name, against, without, with_us, bar in IMPORTS:
            # The first run of each compiles.
            times = [(_seconds(with_us, compiled), _seconds(without, compiled)) for _ in range(PAIRS + 1)][1:]
            ours, floor = (statistics.median(side) * 1e3 for side in zip(*times, strict=True))
            ratio = statistics.median(subject / bare for subject, bare in times)
            yield Result(f"import time, {name}, against {against}", ratio, bar, ours, floor, "ms")


def _seconds(statement: str, compiled: str) -> float:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", f"import sys; sys.modules['trio'] = None; {statement}"]
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environ | {"PYTHONPYCACHEPREFIX": compiled})
    return time.perf_counter() - started
