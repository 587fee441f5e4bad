"""The two tables of docs/configuration.md that are made from the table of parameters.

`python -m tests.docs.configuration` writes them anew.
"""

import inspect
import re

from l402_middleware import Paywall
from l402_middleware.paywall.parameters import SETTINGS

from .markdown import DOCS

PAGE = DOCS / "configuration.md"


def parameters() -> list[tuple[str, ...]]:
    """Of each parameter its name, its default, and what it means."""
    defaults = inspect.signature(Paywall.__init__).parameters
    return [(f"`{row.parameter}`", _default(defaults[row.parameter]), row.meaning) for row in SETTINGS if row.meaning]


def settings() -> list[tuple[str, ...]]:
    """Of each setting its name, the parameter that it gives, and an example."""
    return [(f"`{row.setting}`", f"`{row.parameter}`", row.example) for row in SETTINGS if row.setting]


def page(text: str) -> str:
    """The page, with both tables as they are today."""
    text = _written(text, "Paywall parameters", "| parameter | default | meaning |", parameters())
    return _written(text, "Settings", "| setting | parameter | example |", settings())


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "required"
    if callable(parameter.default):
        return f"`{parameter.default.__module__}.{parameter.default.__name__}`"
    return f"`{parameter.default!r}`".replace("'", '"')


def _written(text: str, heading: str, head: str, rows: list[tuple[str, ...]]) -> str:
    table = "\n".join([head, "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)])
    before, found, rest = text.partition(f"\n## {heading}\n")
    assert found, heading
    begin = rest.index(head)
    end = begin + re.search(r"\n(?!\|)", rest[begin:]).start()  # type: ignore[union-attr]
    return before + found + rest[:begin] + table + rest[end:]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
