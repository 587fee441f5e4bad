"""`python -m bench`: run everything, print a table with each bar and whether it holds, write `bench/results.json`."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from . import bodies, ledgers, memory, requests, verification
from .measure import Result

PARTS = {"verification": verification, "requests": requests, "ledgers": ledgers, "bodies": bodies, "memory": memory}
PACKAGES = ("starlette", "flask", "pymacaroons", "httpx2", "anyio")


def main(names: list[str]) -> int:
    """Run the named parts, or all; the exit status says whether every bar holds."""
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    print(*(f"{name} {number}" for name, number in versions.items()), sep=", ")
    print(f"{'what':72} {'ratio':>7} {'bar':>6}  {'verdict':8} {'time':>10} {'against':>10}")
    results: list[Result] = []
    for name in names or PARTS:
        for result in PARTS[name].results():
            results.append(result)
            bar = "-" if result.bar is None else f"{result.bar:.2f}"
            verdict = {True: "holds", False: "FAILS", None: ""}[result.holds]
            times = f"{result.seconds * 1e6:>8.1f}us {result.against * 1e6:>8.1f}us"
            print(f"{result.name:72} {result.ratio:7.2f} {bar:>6}  {verdict:8} {times}", flush=True)
    written = [
        {"name": r.name, "ratio": round(r.ratio, 3), "bar": r.bar, "holds": r.holds, "versions": versions}
        for r in results
    ]
    Path(__file__).with_name("results.json").write_text(json.dumps(written, indent=1) + "\n")
    return 0 if all(result.holds is not False for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
