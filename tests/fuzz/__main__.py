"""Fuzz every target, one after the other: `make fuzz RUNS=...`."""

import argparse
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from .keep import worth_keeping
from .targets import TARGETS, Target

# Not committed: what every run on this machine has found, and goes on from.
GROWN = Path(".fuzz")

SECONDS_PER_INPUT = 5
MEGABYTES = 512

_FIGURES = ("number_of_executed_units", "average_exec_per_sec", "slowest_unit_time_sec", "peak_rss_mb")


def main() -> int:
    """The exit status: 0 where nothing was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=f"some of {', '.join(TARGETS)}; all where none is named")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, help="end each target after this long; 0 for never")
    parser.add_argument("--keep", action="store_true", help="fuzz nothing: pick the corpus anew")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(TARGETS):
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    targets = [TARGETS[name] for name in options.targets or TARGETS]
    if options.keep:
        for target in targets:
            target.keep(worth_keeping(target, [path.read_bytes() for path in sorted(_folder(target).iterdir())]))
        return 0
    if find_spec("atheris") is None:
        sys.stderr.write(
            "atheris is not installed: it has wheels for Python 3.11 to 3.13 on Linux x86-64 only; "
            "make .venv with such a Python, as in `make clean; make PYTHON=python3.13 fuzz`\n"
        )
        return 1
    sys.stdout.write(f"{'target':<15}{'inputs':>10}{'a second':>10}{'slowest s':>11}{'MB':>6}\n")
    return max([_fuzz(target, options.runs, options.seconds) for target in targets])


def _fuzz(target: Target, runs: int, seconds: int) -> int:
    folder = _folder(target)
    for number, given in enumerate(target.corpus()):
        (folder / f"given-{number}").write_bytes(given)
    command = [sys.executable, "-m", f"{__package__}.engine", target.name, str(folder), f"-runs={runs}"]
    command += [f"-max_total_time={seconds}", f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEGABYTES}"]
    command += ["-print_final_stats=1", f"-artifact_prefix={GROWN}/{target.name}-", "-verbosity=1"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    log = done.stdout.decode(errors="replace")
    found = dict(re.findall(r"^stat::(\w+):\s+(\d+)", log, re.MULTILINE))
    figures = [found.get(name, "?") for name in _FIGURES]
    sys.stdout.write("{:<15}{:>10}{:>10}{:>11}{:>6}\n".format(target.name, *figures))
    sys.stdout.flush()
    if done.returncode:
        sys.stdout.write(log[-6000:])
        saved = re.search(r"Test unit written to (\S+)", log)
        if saved:
            sys.stdout.write(
                f"\nThe input is {Path(saved[1]).read_bytes()!r}.\n"
                f"Run it alone: {sys.executable} -m {__package__}.engine {target.name} {saved[1]}\n"
            )
    return int(done.returncode != 0)


def _folder(target: Target) -> Path:
    folder = GROWN / target.name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
