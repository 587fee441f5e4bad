"""Which of the inputs that a run has found are worth keeping in the repository."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import l402_middleware

from .targets import Target

_PACKAGE = str(Path(l402_middleware.__file__).parent)

Step = tuple[str, int, int]


def worth_keeping(target: Target, inputs: Iterable[bytes]) -> list[bytes]:
    """The shortest of `inputs` that go some way through the package which the seeds and shorter ones do not go."""
    seen: set[Step] = set()
    for seed in target.seeds():
        seen |= way(target.check, seed)
    kept = []
    for given in sorted(inputs, key=len):
        if new := way(target.check, given) - seen:
            kept.append(given)
            seen |= new
    return kept


def way(check: Callable[[bytes], None], given: bytes) -> set[Step]:
    """The steps from line to line of the package that an input makes."""
    steps: set[Step] = set()
    before: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        step = (frame.f_code.co_filename, before.get(frame, 0), frame.f_lineno)
        steps.add(step)
        before[frame] = frame.f_lineno
        return trace

    outer = sys.gettrace()
    sys.settrace(trace)
    try:
        check(given)
    finally:
        sys.settrace(outer)
    return steps
