"""The challenges in WWW-Authenticate fields, whatever their schemes (RFC 9110, sections 11.2 to 11.6).

    challenge    = auth-scheme [ 1*SP ( token68 / #auth-param ) ]
    auth-param   = token BWS "=" BWS ( token / quoted-string )

Read with the patience that servers in the field need: values that are not quoted although they hold more than a token
may (base64 with its padding), parameters with no comma between them, and several challenges in one line, as `fetch`
joins them. What separates two challenges is never a comma, but a word that no equals sign follows.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

Challenge: TypeAlias = tuple[str, dict[str, str]]

# The longest real one is under 2 KiB; all of them together, from one answer.
MAX_BYTES: Final = 64 * 1024

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, section 5.6.2
_PARAMETER: Final = re.compile(rf'({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s,"]*))(?=[\s,]|$)')
_SCHEME: Final = re.compile(rf"({_TOKEN})(?=[ \t,]|$)")
_BETWEEN: Final = re.compile(r"[ \t,]*")
_QUOTED_PAIR: Final = re.compile(r"\\(.)")

# RFC 9110, section 5.6.4: what may stand in a quoted-string, itself or behind a backslash.
_QUOTABLE: Final = re.compile(r"[\t -~\x80-\U0010ffff]*")


def read_challenges(values: Iterable[bytes]) -> list[Challenge]:
    """Each challenge's scheme and parameters, both names in lower case; of a repeated parameter the first.

    A value that cannot be read to its end gives what came before. Nothing is raised, whatever the bytes; of more than
    64 KiB nothing is read.
    """
    fields = list(values)
    if sum(map(len, fields)) > MAX_BYTES:
        return []
    return [challenge for value in fields for challenge in _challenges(_text(value))]


def write_challenge(scheme: str, parameters: Mapping[str, str]) -> str:
    """A challenge with every parameter quoted, and no blank around the equals signs.

    Raises `ValueError` for a value that no quoted-string can hold.
    """
    return f"{scheme} " + ", ".join(f'{name}="{_quotable(value)}"' for name, value in parameters.items())


def _challenges(value: str) -> Iterator[Challenge]:
    challenge: Challenge | None = None
    at = 0
    while True:
        at = _match_end(_BETWEEN, value, at)
        if challenge is not None and (found := _PARAMETER.match(value, at)) is not None:
            name, quoted, bare = found.groups()
            challenge[1].setdefault(name.lower(), bare if quoted is None else _QUOTED_PAIR.sub(r"\1", quoted))
        elif (found := _SCHEME.match(value, at)) is not None:
            if challenge is not None:
                yield challenge
            challenge = (found[1].lower(), {})
        else:
            break
        at = found.end()
    # Where the value goes on, what was read last may be half of something else.
    if challenge is not None and at == len(value):
        yield challenge


def _match_end(pattern: re.Pattern[str], value: str, at: int) -> int:
    found = pattern.match(value, at)
    return at if found is None else found.end()


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _quotable(value: str) -> str:
    if not _QUOTABLE.fullmatch(value):
        raise ValueError("a header's parameter cannot hold control characters")
    return value.replace("\\", "\\\\").replace('"', '\\"')
