"""The scripts that a Redis runs for the ledger: one for each verb, with those of the functions that it needs.

Each run of a script makes all the functions in it anew, so a script for all verbs would spend most of a step on
functions that nobody calls.
"""

import re
from dataclasses import dataclass
from hashlib import sha1
from importlib import resources
from typing import Final

_FUNCTION: Final = re.compile(
    r"^(?:--[^\n]*\n)*(local function |function verbs\.)(\w+)\(([^)]*)\)\n(.*?)^end\n", re.MULTILINE | re.DOTALL
)
_NAMES_OF_KEYS: Final = re.compile(r"^local .* = unpack\(KEYS.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script, and the name by which a server that has seen it runs it again."""

    text: str
    sha: str


def _scripts() -> dict[str, Script]:
    source = "".join(
        resources.files(__package__).joinpath(name).read_text("utf-8")
        for name in ("redis_payment.lua", "redis_steps.lua")
    )
    names_of_keys = "".join(_NAMES_OF_KEYS.findall(source))
    functions: dict[str, str] = {}
    scripts = {}
    for found in _FUNCTION.finditer(source):
        kind, name, parameters, body = found.groups()
        if kind == "local function ":
            functions[name] = found[0]
            continue
        arguments = f"local {parameters} = unpack(ARGV)\n" if parameters else ""
        text = "".join([names_of_keys, *_called(body, functions), arguments, body])
        scripts[name] = Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())
    return scripts


def _called(body: str, functions: dict[str, str]) -> list[str]:
    """The functions that a body calls, and those that these call: as in the source, each after those it calls."""
    called: dict[str, str] = {}
    for name, text in reversed(functions.items()):
        if any(re.search(rf"\b{name}\(", caller) for caller in (body, *called.values())):
            called[name] = text
    return list(reversed(called.values()))


SCRIPTS: Final = _scripts()
"""By verb."""
