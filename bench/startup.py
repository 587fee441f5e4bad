"""What importing costs: whole processes in turn, with and without us.

Without trio, which the tests install and hardly any application has: httpcore2 imports it where it is there, and that
costs more than everything else together.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from .measure import PAIRS, Result

IMPORTS = (
    ("import l402_middleware", "import sys", "import l402_middleware"),
    (
        "Starlette's adapter",
        "import starlette.applications",
        "import starlette.applications, l402_middleware.starlette",
    ),
    ("Flask's adapter", "import flask", "import flask, l402_middleware.flask"),
)


def results() -> Iterator[Result]:
    """The milliseconds that a fresh process takes with us, against the framework alone."""
    for name, without, with_us in IMPORTS:
        times = [(_milliseconds(with_us), _milliseconds(without)) for _ in range(PAIRS)]
        ours, floor = (statistics.median(side) for side in zip(*times, strict=True))
        ratio = statistics.median(subject / bare for subject, bare in times)
        against = "a bare interpreter" if without == "import sys" else "the framework alone"
        yield Result(f"import time, {name}, against {against}", ratio, None, ours, floor, "ms")


def _milliseconds(statement: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import sys; sys.modules['trio'] = None; {statement}"], check=True)
    return (time.perf_counter() - started) * 1e3
