"""The rules that CONTRIBUTING.md asks everybody to keep, and that no other tool checks."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from itertools import product
from pathlib import Path

import pytest

from .markdown import DOCS, README, ROOT, code, fenced, tracked_files

PACKAGE = ROOT / "src" / "l402_middleware"
MODULES = sorted(PACKAGE.rglob("*.py"))
CONTRIBUTING = ROOT / "CONTRIBUTING.md"

# From the innermost outwards: each may import what stands before it, and itself, but not its neighbours.
LAYERS = (
    ("core", "event_loops", "lazy_imports"),
    ("flow",),
    ("bulkhead", "events", "throttled_log", "credentials", "slips"),
    ("observers",),
    ("narrowing",),
    ("outgoing", "ledgers", "schemes"),
    ("invoicing", "rates"),
    ("providers",),
    ("client",),
    ("paywall",),
    ("exchange", "openapi"),
    ("discovery",),
    ("asgi", "wsgi", "doctor", "checkup"),
    ("routing",),
    ("starlette", "flask"),
    ("fastapi",),
    ("audit",),
    ("__init__", "cli", "testing"),
)
DEPTH = {part: depth for depth, parts in enumerate(LAYERS) for part in parts}

# Spelled so that they do not match themselves.
PRIVATE = re.compile(rb"(?<![\w.])/(?:work|root|home|Users)/\w|\b(?:pypi|pythonhosted|npmjs)\.(?:org|com)\b")


def dotted(path: Path) -> str:
    """The name under which a file of the package is imported."""
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def part_of(module: str) -> str:
    """The folder or file of the package that a module is, or belongs to."""
    return [*module.split("."), "__init__"][1]


def imported(path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, by their full names."""
    package = path.parent.relative_to(PACKAGE.parent).parts
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from . import core` names a module too.
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "l402_middleware" else [module]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "l402_middleware")


def expanded(text: str) -> Iterator[str]:
    """The paths that `folder/{one,two}.py` stands for."""
    pieces = [piece.split(",") for piece in re.split("[{}]", text)]
    return ("".join(chosen) for chosen in product(*pieces))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    """Adapters import the paywall, it imports providers and ledgers, and all import core, which imports nothing."""
    own = part_of(dotted(path))
    assert own in DEPTH, f"{own} is new: say in LAYERS where it belongs"
    wrong = {module for module in imported(path) if part_of(module) != own and DEPTH[part_of(module)] >= DEPTH[own]}
    assert not wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_lists_are_sorted_and_real(path: Path) -> None:
    """What `__all__` promises is there, once and in order; a package's own list leaves out nothing that it imports."""
    tree = ast.parse(path.read_bytes())
    lists = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    # What a package loads lazily, it imports for type checkers only.
    body = [*tree.body, *(inner for node in tree.body if isinstance(node, ast.If) for inner in node.body)]
    imports = [node for node in body if isinstance(node, ast.ImportFrom) and node.level]
    names = {alias.asname or alias.name for node in imports for alias in node.names} - {"lazily"}
    taken = {name for name in names if not name.startswith("_")}
    if path.name == "__init__.py" and taken:
        assert len(lists) == 1
        assert set(lists[0]) == taken
    for names in lists:
        assert names == sorted(set(names))
        module = import_module(dotted(path))
        assert all(hasattr(module, name) for name in names)


def test_the_reference_names_everything_public() -> None:
    """reference.md has each name of each public module's `__all__`."""
    text = (DOCS / "reference.md").read_text()
    described = set(re.findall(r"^\.\. auto\w+:: (?:[\w.]+\.)?(\w+)$", text, re.MULTILINE))
    for module in (
        "",
        ".asgi",
        ".wsgi",
        ".credentials",
        ".starlette",
        ".fastapi",
        ".flask",
        ".providers",
        ".ledgers",
        ".rates",
        ".events",
        ".discovery",
        ".testing",
    ):
        assert set(import_module(f"l402_middleware{module}").__all__) <= described


@pytest.mark.parametrize("folder", [ROOT / "tests", PACKAGE / "testing"], ids=["tests", "testing"])
def test_every_test_has_a_docstring(folder: Path) -> None:
    """A test says in a sentence what it is about."""
    wanting = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}"
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert not wanting


def test_no_file_names_a_machine_or_a_registry() -> None:
    """No path of somebody's machine, and no package registry's host, in any file."""
    naming = {
        str(path.relative_to(ROOT)): found.group()
        for path in tracked_files()
        if (found := PRIVATE.search(path.read_bytes()))
    }
    assert not naming


@pytest.mark.parametrize("page", [README, CONTRIBUTING], ids=lambda page: page.name)
def test_every_path_and_target_that_is_named_exists(page: Path) -> None:
    """Files, folders and make targets that the page sends its reader to are there."""
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    blocks = [*fenced(page, ""), *fenced(page, "sh")]
    commands = [*code(re.sub("```.*?```", "", text, flags=re.DOTALL)), *blocks]
    words = {word for command in commands for word in re.split(r"[\s=]", command)}
    named = [word for word in words if re.match("(bench|docs|examples|src|tests)(/|$)", word)]
    assert named
    for path in (path for name in links + named for path in expanded(name)):
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^make (\w+)", "\n".join(commands), re.MULTILINE))
    assert targets
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
