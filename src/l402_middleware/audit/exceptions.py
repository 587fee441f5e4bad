"""What a list of exceptions allows, and what in it is out of date."""

from collections.abc import Collection, Iterator, Sequence

from ..core.errors import ConfigurationError
from .finding import Finding


class Exceptions:
    """Routes that need no price: each is "/path", for all methods there, or "GET /path", as a finding writes them.

    Raises `ConfigurationError` for anything else.
    """

    def __init__(self, entries: Collection[str]) -> None:
        if isinstance(entries, str):
            raise ConfigurationError(f"the exceptions must be a set or a list of routes, not the text {entries!r}")
        for entry in entries:
            if not isinstance(entry, str) or "/" not in entry or len(entry.split(" ")) > 2:
                raise ConfigurationError(f'an exception must be "/path" or "GET /path", not {entry!r}')
        self._entries = list(dict.fromkeys(entries))

    def cover(self, finding: Finding) -> bool:
        return any(_names(entry, finding) for entry in self._entries)

    def stale(self, findings: Sequence[Finding]) -> Iterator[str]:
        """What is to be said of entries that no route, or a priced one, answers to."""
        for entry in self._entries:
            named = [finding for finding in findings if _names(entry, finding)]
            priced = [str(finding) for finding in named if finding.verdict.status == "priced"]
            if not named:
                yield f"the exception {entry!r} matches no route: take it away, or correct it"
            elif priced:
                yield f"the exception {entry!r} covers what is priced ({', '.join(priced)}): take it away, or narrow it"


def _names(entry: str, finding: Finding) -> bool:
    method, space, path = entry.rpartition(" ")
    return path == finding.path and (not space or method.upper() == finding.method)
