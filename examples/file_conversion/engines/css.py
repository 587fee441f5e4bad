"""CSS that drawing engines do not know: custom properties and `light-dark()`, settled element by element."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import cssselect2
import tinycss2

_CALL = re.compile(r"(?<![\w-])(var|light-dark)\(", re.IGNORECASE)
_MOST_STEPS = 50
"""How often one value may refer to others: `var()` can multiply without end."""
_LONGEST = 10_000


@dataclass(frozen=True, slots=True)
class _Declaration:
    name: str
    value: str
    weight: tuple[bool, tuple[int, int, int], int]


def needs_settling(text: str) -> bool:
    """Whether a drawing or page uses what `settle` settles."""
    return _CALL.search(text) is not None


def settle(root: Element, sheets: str) -> None:
    """Write the values that come from `var()` and `light-dark()` into the `style` of each element that has them.

    Of `light-dark()` the first colour is taken; a name that is not set gives the fallback, or no declaration.
    """
    matcher = cssselect2.Matcher()
    for order, (selector, declarations) in enumerate(_rules(sheets)):
        matcher.add_selector(selector, (order, declarations))
    inherited: dict[Element | None, dict[str, str]] = {None: {}}
    for wrapped in cssselect2.ElementWrapper.from_xml_root(root).iter_subtree():
        element: Element = wrapped.etree_element
        names = dict(inherited[wrapped.parent.etree_element if wrapped.parent is not None else None])
        winning = _winning(wrapped, matcher)
        names |= {name: found.value for name, found in winning.items() if name.startswith("--")}
        inherited[element] = names
        settled = []
        for name, found in winning.items():
            if not name.startswith("--") and _CALL.search(found.value):
                value = _resolved(found.value, names)
                settled.append(f"{name}:{value if value is not None else 'unset'}")
        for name, value in list(element.attrib.items()):
            if name != "style" and _CALL.search(value):
                element.set(name, _resolved(value, names) or "")
        if settled:
            element.set("style", ";".join([element.get("style", "").rstrip("; "), *settled]).lstrip(";"))


def _rules(sheets: str) -> Iterator[tuple[cssselect2.compiler.CompiledSelector, list[tuple[str, str, bool]]]]:
    for rule in tinycss2.parse_stylesheet(sheets, skip_comments=True, skip_whitespace=True):
        if rule.type == "qualified-rule":
            try:
                selectors = cssselect2.compile_selector_list(rule.prelude)
            except cssselect2.SelectorError:
                continue
            declarations = list(_declarations(rule.content))
            for selector in selectors:
                yield selector, declarations


def _declarations(content: object) -> Iterator[tuple[str, str, bool]]:
    for found in tinycss2.parse_blocks_contents(content, skip_comments=True, skip_whitespace=True):
        if found.type == "declaration":
            yield found.name, tinycss2.serialize(found.value).strip(), found.important


def _winning(wrapped: cssselect2.ElementWrapper, matcher: cssselect2.Matcher) -> dict[str, _Declaration]:
    """What the cascade leaves: important before not, then the element's own style, specificity, and order."""
    candidates = [
        _Declaration(name, value, (important, specificity, order))
        for specificity, _, _, (order, declarations) in matcher.match(wrapped)
        for name, value, important in declarations
    ]
    own = wrapped.etree_element.get("style", "")
    candidates += [
        _Declaration(name, value, (important, (9_999, 0, 0), 0)) for name, value, important in _declarations(own)
    ]
    winning: dict[str, _Declaration] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.weight):
        winning[candidate.name if candidate.name.startswith("--") else candidate.name.lower()] = candidate
    return winning


def _resolved(value: str, names: dict[str, str]) -> str | None:
    for _ in range(_MOST_STEPS):
        call = _CALL.search(value)
        if call is None:
            return value
        end = _closing(value, call.end())
        arguments = _arguments(value[call.end() : end])
        if call[1].lower() == "light-dark":
            found: str | None = arguments[0]
        else:
            name, _, fallback = value[call.end() : end].partition(",")
            found = names.get(name.strip(), fallback.strip() or None)
        if found is None or len(value) + len(found) > _LONGEST:
            return None
        value = f"{value[: call.start()]}{found}{value[end + 1 :]}"
    return None


def _closing(text: str, at: int) -> int:
    depth = 1
    for end in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if not depth:
            return end
    return len(text)


def _arguments(text: str) -> list[str]:
    depth, parts = 0, [""]
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]
