"""The project's documents, and what stands in them."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]


def section(page: Path, heading: str) -> str:
    """What stands under a heading of `page`, up to the next heading."""
    _, found, rest = page.read_text().partition(f"\n## {heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    return rest.partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table in `text`, row by row, without the heads."""
    found: list[list[str]] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r"\|[ |:-]+\|", line):
            for row in lines[number + 1 :]:
                if not row.startswith("|"):
                    break
                found.append([cell.strip() for cell in row.strip("|").split("|")])
    return found


def fenced(page: Path, language: str) -> list[str]:
    """The contents of the fenced blocks of `page` in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def code(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall("`([^`]+)`", cell)


def tracked_files() -> list[Path]:
    """Every file that git has or would take."""
    listed = subprocess.run(
        # A checkout that belongs to another user than the one who tests it is read all the same.
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return [path for path in paths if path.is_file()]
