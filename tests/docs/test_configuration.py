"""The tables of configuration.md and errors.md, compared with the code."""

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from l402_middleware import Offer, Paywall, ledgers, providers
from l402_middleware.core.errors import CredentialCode, ProviderFault
from l402_middleware.ledgers import ledger_from_url
from l402_middleware.paywall.parameters import SETTINGS, Setting, check
from l402_middleware.paywall.settings import rules_from
from l402_middleware.providers import provider_from_url

from . import configuration
from .markdown import DOCS, PAGES, ROOT, code, rows, section

CONFIGURATION = DOCS / "configuration.md"
ERRORS = DOCS / "errors.md"
TREES = [ast.parse(path.read_bytes()) for path in sorted((ROOT / "src").rglob("*.py"))]


def nodes() -> Iterator[ast.AST]:
    """Every node of the package's syntax trees."""
    for tree in TREES:
        yield from ast.walk(tree)


def constants(pattern: str) -> set[str]:
    """The package's string constants that are wholly of this form."""
    texts = (node.value for node in nodes() if isinstance(node, ast.Constant))
    return {text for text in texts if isinstance(text, str) and re.fullmatch(pattern, text)}


def problem_codes() -> set[str]:
    """Each `code` that the package gives in an answer's body."""
    found = set(get_args(CredentialCode))
    for node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            named = node.func.id in {"Refusal", "WalletRefusal", "Refused"}
            parts: list[ast.expr] = node.args if named else []
        elif isinstance(node, ast.Tuple) and node.elts:
            begins_with_a_status = isinstance(node.elts[0], ast.Constant) and node.elts[0].value == 402
            parts = node.elts if begins_with_a_status else []
        else:
            continue
        texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        found.update(texts[:1])
    return found


def literal(cell: str) -> object:
    """The value that a table's cell names; the cell itself where it is none."""
    try:
        return ast.literal_eval(cell.strip("`"))
    except (ValueError, SyntaxError):
        return cell


@pytest.mark.parametrize(
    ("heading", "described"), [("Paywall parameters", Paywall.__init__), ("Offer conditions", Offer.__init__)]
)
def test_every_parameter_is_in_its_table(heading: str, described: Callable[..., object]) -> None:
    """A table has every parameter and no other, with its default."""
    table = {code(name)[0]: default for name, default, _ in rows(section(CONFIGURATION, heading))}
    parameters = dict(inspect.signature(described).parameters)
    del parameters["self"]
    assert table.keys() == parameters.keys()
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty:
            assert table[name] == "required"
        elif not callable(parameter.default):
            assert literal(table[name]) == parameter.default, name


def test_both_tables_are_of_today() -> None:
    """`python -m tests.docs.configuration` has nothing to change."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    assert configuration.page(text) == text, "run python -m tests.docs.configuration"


def test_every_parameter_has_its_row() -> None:
    """The table of parameters has each of `Paywall`'s, in that order, and no setting twice."""
    rows_of = list(dict.fromkeys(row.parameter for row in SETTINGS))
    assert rows_of == list(inspect.signature(Paywall.__init__).parameters)[1:]
    names = [row.setting for row in SETTINGS if row.setting]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("row", [row for row in SETTINGS if row.read is not None], ids=lambda row: row.setting)
def test_the_example_of_a_setting_can_be_read(row: Setting) -> None:
    """What the page shows is read, and is a value that the parameter may have."""
    if row.example.startswith("`"):
        value = rules_from({row.setting: code(row.example)[0]})[row.parameter]
        check(**{row.parameter: value})


def test_every_variable_that_the_package_reads_is_documented() -> None:
    """Each `L402_...` name in the package stands in a table's first column, and no page names another."""
    first_cells = (row[0] for row in rows(section(CONFIGURATION, "Settings")))
    documented = {name for cell in first_cells for name in code(cell)}
    assert {name for name in documented if name.startswith("L402_")} == constants("L402_[A-Z_]+")
    assert documented - constants("[A-Z0-9_]+") == set()
    for page in PAGES:
        named = set(re.findall(r"\bL402_[A-Z_]+\b", page.read_text()))
        assert named <= documented | {"L402_TEST_ALL", "L402_BENCH_APERTURE", "L402_BENCH_LND"}, page.name


def test_every_provider_url_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each URL in the table of providers makes the provider beside it, and each provider has one."""
    monkeypatch.setenv("L402_DEV", "1")
    secret = tmp_path / "key"
    secret.write_text("KEY\n")
    made = set()
    for url, provider, _ in rows(section(CONFIGURATION, "Providers")):
        named = provider_from_url(code(url)[0].replace("PATH", str(secret)))
        if provider != "the same, its key read from a file":
            beside = eval(code(provider)[0], {name: getattr(providers, name) for name in providers.__all__})
        assert type(named) is type(beside)
        assert isinstance(named, providers.DevNode) or named == beside
        made.add(type(named).__name__)
    classes = {name for name in providers.__all__ if hasattr(getattr(providers, name), "create_invoice")}
    assert made == classes - {"Provider", "FunctionProvider"}


def test_every_ledger_url_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each URL in the table of ledgers makes the ledger beside it, and each ledger has one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    made = set()
    for url, ledger, deployment in rows(section(CONFIGURATION, "Ledgers")):
        named = ledger_from_url(code(url)[0])
        assert code(ledger)[0].startswith(f"{type(named).__name__}(")
        assert deployment
        made.add(type(named).__name__)
    assert made == {name for name in ledgers.__all__ if name.endswith("Ledger")}


def test_every_code_is_documented_with_what_to_do() -> None:
    """errors.md lists every `code` that an answer can have, and no other."""
    listed = [row for row in rows(ERRORS.read_text()) if len(row) == 4]
    assert {code(row[0])[0] for row in listed} == problem_codes()
    assert all(all(row) for row in listed)


def test_the_short_table_has_every_status_of_the_paywall() -> None:
    """The table in how-it-works.md has the same statuses as the first one of errors.md."""
    short = {row[0] for row in rows(section(DOCS / "how-it-works.md", "Status codes"))} - {"as you say"}
    assert set(", ".join(short).split(", ")) == {row[1] for row in rows(section(ERRORS, "What a caller sees"))}


def test_every_kind_of_provider_failure_is_documented() -> None:
    """errors.md says what to do about each kind of `ProviderError`."""
    table = rows(section(ERRORS, "What an operator sees"))
    kinds = {code(row[0])[0] for row in table if len(row) == 3}
    assert kinds == set(get_args(ProviderFault))
