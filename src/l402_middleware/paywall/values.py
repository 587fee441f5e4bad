"""How the text of a setting is read, and what the value of a parameter may be."""

from dataclasses import dataclass
from typing import Any

from ..core.errors import ConfigurationError


def as_it_is(value: Any) -> Any:
    """A text that says what is meant, or the thing itself."""
    return value


def yes_or_no(value: object) -> bool:
    """What a text says. Raises `ValueError` for one that says neither."""
    answers = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    text = str(value).strip().lower()
    if text not in answers:
        raise ValueError
    return answers[text]


def several(value: Any) -> Any:
    """A list of what stands in a text with commas or white space between."""
    return value.replace(",", " ").split() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least` to `most`; where it is a `float`, a whole one will do."""

    kind: type[int] | type[float]
    least: int
    most: int

    def __call__(self, name: str, value: object) -> None:
        kinds = (int,) if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not self.least <= value <= self.most:
            raise ConfigurationError(f"{name} must be a number from {self.least} to {self.most}, not {value!r}")


def is_text(name: str, value: object) -> None:
    """A text, or None."""
    if not (value is None or isinstance(value, str)):
        raise ConfigurationError(f"{name} must be a text, not {value!r}")


class OneOf:
    """One of these texts."""

    def __init__(self, *texts: str) -> None:
        self._texts = texts

    def __call__(self, name: str, value: object) -> None:
        if value not in self._texts:
            raise ConfigurationError(f"{name} must be {' or '.join(map(repr, self._texts))}, not {value!r}")
