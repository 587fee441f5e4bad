"""`python -m bench [part ...]`: run all parts, or these; print a table, and write it to docs/performance.md.

`bench/results.json` keeps the last run of every part: a list of objects with `name`, `ratio`, `bar`, `holds`,
`versions`, and what the table shows beside them.
"""

import json
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import page
from .measure import Result

PARTS = (
    *("verification", "requests", "ledgers", "bodies", "memory"),
    *("startup", "lag", "million", "wire", "peers", "aperture"),
)
PACKAGES = ("starlette", "flask", "uvicorn", "granian", "gunicorn", "pymacaroons", "redis", "psycopg")
RESULTS = Path(__file__).with_name("results.json")


def main(names: list[str]) -> int:
    """Run the named parts, or all; the exit status says whether every bar holds."""
    unknown = set(names) - set(PARTS)
    if unknown:
        print(f"there is no part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    # The development node makes the invoices, and everything runs in one worker, or in those that a part starts.
    os.environ["L402_DEV"] = "1"
    os.environ.pop("WEB_CONCURRENCY", None)
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    print(*(f"{name} {number}" for name, number in versions.items()), sep=", ")
    kept: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    failed = False
    for part in names or PARTS:
        print(f"\n{part}", flush=True)
        entries = []
        module = import_module(f"bench.{part}")
        used = versions | getattr(module, "versions", dict)()
        for result in module.results():
            failed = failed or result.holds is False
            entries.append(_entry(part, result, used))
            print(page.line(entries[-1]), flush=True)
        if not entries:
            # What it is compared with is not here; an earlier figure stays.
            continue
        # Each part is kept as soon as it is over: all of them together take long.
        kept = [entry for entry in kept if entry["part"] != part] + entries
        kept.sort(key=lambda entry: PARTS.index(entry["part"]))
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        page.write(kept)
    return 1 if failed else 0


def _entry(part: str, result: Result, versions: dict[str, str]) -> dict[str, Any]:
    return {
        "part": part,
        "name": result.name,
        "ratio": round(result.ratio, 3),
        "bar": result.bar,
        "holds": result.holds,
        "value": float(f"{result.value:.4g}"),
        "against": float(f"{result.against:.4g}"),
        "unit": result.unit,
        "note": result.note,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": versions,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
