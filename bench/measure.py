"""How a figure is taken: two things in turn, many times, and the median of their ratios.

The machines that run this are shared and noisy, so seconds mean little; what holds is how the two compare
when they run right after each other.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

PAIRS = 15


@dataclass(frozen=True, slots=True)
class Result:
    """A ratio and the bar it has to stay under; `bar` is None for a figure that is only reported.

    `value` and `against`, the two sides of the ratio, are in `unit`; `note` says what a reader must know beside them.
    """

    name: str
    ratio: float
    bar: float | None
    value: float
    against: float
    unit: str = "us"
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bar holds; None where there is none."""
        return None if self.bar is None else self.ratio <= self.bar


def seconds_per_call(function: Callable[[], object], calls: int) -> float:
    """The mean time of one call, over `calls` of them."""
    started = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - started) / calls


def calls_that_take(function: Callable[[], object], seconds: float = 0.02) -> int:
    """How often to call something so that one measurement takes about `seconds`."""
    calls = 1
    while seconds_per_call(function, calls) * calls < seconds / 2:
        calls *= 2
    return calls


def compare(
    name: str,
    subject: Callable[[], object],
    floor: Callable[[], object],
    bar: float | None,
    pairs: int = PAIRS,
    note: str = "",
) -> Result:
    """The median ratio of `subject` to `floor` over interleaved pairs, with the median time of each."""
    subject_calls, floor_calls = calls_that_take(subject), calls_that_take(floor)
    times = [(seconds_per_call(subject, subject_calls), seconds_per_call(floor, floor_calls)) for _ in range(pairs)]
    return from_times(name, times, bar, note)


def from_times(name: str, times: list[tuple[float, float]], bar: float | None, note: str = "") -> Result:
    """The result of pairs that were timed elsewhere: (subject, floor), in seconds."""
    return Result(
        name,
        statistics.median(subject / floor for subject, floor in times),
        bar,
        statistics.median(subject for subject, _ in times) * 1e6,
        statistics.median(floor for _, floor in times) * 1e6,
        note=note,
    )


def in_own_process(function: Callable[..., T], *args: Any) -> T:
    """What `function` returns in a fresh process, where no earlier part has left its memory or its peak behind."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *args).result()


def resident() -> int:
    """The bytes of memory that this process holds now."""
    return _status("VmRSS")


def peak() -> int:
    """The most bytes of memory that this process ever held; unlike getrusage's, not its parent's before it."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1]) * 1024
