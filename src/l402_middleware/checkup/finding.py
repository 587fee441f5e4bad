"""What is said of a service."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Objection:
    """One thing that was looked at: "ok"; a "note", which may be meant; or a "fault", which loses somebody.

    `code` is a stable name for programs, `said` a sentence for people, which may hold what the service sent.
    """

    status: Status
    code: str
    said: str


def fault(code: str, said: str) -> Objection:
    """Something that loses customers, or their money."""
    return Objection("fault", code, said)


def note(code: str, said: str) -> Objection:
    """Something that may be meant."""
    return Objection("note", code, said)


def ok(code: str, said: str) -> Objection:
    """Something that is as it should be."""
    return Objection("ok", code, said)
