"""Run mutmut, and name every mutant that lives and that README.md does not explain: `make mutants`."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .explained import Change, explained

_PROGRAM = Path(sys.executable).with_name("mutmut")
# What mutmut says of a mutant that no test noticed.
_ALIVE = ("survived", "no tests", "suspicious")


def main(patterns: list[str]) -> int:
    """The exit status: 0 where each survivor is explained."""
    subprocess.run([_PROGRAM, "run", *patterns], check=True)
    results = re.findall(r"^\s*(\S+): (.+)$", _output("results", "--all", "true"), re.MULTILINE)
    listed = [(name, status) for name, status in results if status != "not checked"]
    alive = [name for name, status in listed if status in _ALIVE]
    changes = {name: Change.of_mutant(name, _output("show", name)) for name in alive}
    known = explained()
    of_words = {name for name, change in changes.items() if change.is_of_words_only}
    of_names = {name for name, change in changes.items() if change.is_of_names_only}
    one_by_one = {name for name, change in changes.items() if change in known} - of_words - of_names
    rest = [name for name in alive if name not in of_words | of_names | one_by_one]
    at_import = [name for name in rest if _dies_alone(name)]
    unexplained = [name for name in rest if name not in at_import]
    sys.stdout.write(
        f"{len(listed)} mutants, {len(listed) - len(alive) + len(at_import)} killed ({len(at_import)} at import), "
        f"{len(of_words)} of words, {len(of_names)} of names, {len(one_by_one)} explained one by one, "
        f"{len(unexplained)} unexplained\n"
    )
    for name in unexplained:
        change = changes[name]
        lines = [*(f"- {line}" for line in change.before), *(f"+ {line}" for line in change.after)]
        sys.stdout.write("\n".join(["", f"{name} ({change.where})", *lines, ""]))
    return int(bool(unexplained))


def _dies_alone(name: str) -> bool:
    """Whether tests fail where the mutant lives from the start: mutmut switches it on after everything is imported."""
    room = name.split(".")[1]
    command = [sys.executable, "-m", "pytest", "--quiet", "--exitfirst", "-m", "not slow", f"tests/{room}"]
    environment = os.environ | {"MUTANT_UNDER_TEST": name, "PYTHONPATH": "src"}
    done = subprocess.run(command, cwd="mutants", env=environment, capture_output=True, check=False)
    # 2 where it cannot even be imported.
    return done.returncode in (1, 2)


def _output(*arguments: str) -> str:
    return subprocess.run([_PROGRAM, *arguments], capture_output=True, check=True).stdout.decode()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
