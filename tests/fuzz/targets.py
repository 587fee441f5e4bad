"""The targets, and the inputs that each has to go on passing."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from . import authorization, caveats, challenge_header, invoice, macaroon, payment_credential

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """One way in. `check` raises for what must not be; `mutate` makes another input out of one."""

    name: str
    check: Callable[[bytes], None]
    mutate: Callable[[bytes, Random, Callable[[bytes], bytes]], bytes]
    seeds: Callable[[], list[bytes]]
    max_bytes: int

    @property
    def kept(self) -> Path:
        """The file with what a long run found worth keeping: one JSON string a line, in which a character is a byte."""
        return CORPUS / f"{self.name}.jsonl"

    def corpus(self) -> list[bytes]:
        """The seeds, and what is kept."""
        lines = self.kept.read_text("ascii").splitlines() if self.kept.exists() else []
        return self.seeds() + [json.loads(line).encode("latin-1") for line in lines]

    def keep(self, inputs: list[bytes]) -> None:
        """Replace what is kept, shortest first."""
        lines = [json.dumps(given.decode("latin-1")) for given in sorted(set(inputs), key=lambda it: (len(it), it))]
        self.kept.write_text("".join(f"{line}\n" for line in lines), "ascii")


def _target(module: ModuleType | Any, max_bytes: int) -> Target:
    return Target(module.__name__.rpartition(".")[2], module.check, module.mutate, module.seeds, max_bytes)


# As long as the longest input that is looked into, and somewhat more.
TARGETS = {
    target.name: target
    for target in (
        _target(authorization, 17 * 1024),
        _target(macaroon, 4096),
        _target(invoice, 4200),
        _target(caveats, 2048),
        _target(payment_credential, 17 * 1024),
        _target(challenge_header, 8192),
    )
}
