"""One target under libFuzzer: `python -m tests.fuzz.engine TARGET [libFuzzer's options] [folders]`."""

import sys
from random import Random

import atheris

with atheris.instrument_imports(include=["l402_middleware.core", "l402_middleware.schemes.l402"]):
    from .targets import TARGETS


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    target = TARGETS[sys.argv.pop(1)]

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        def mutate_bytes(part: bytes) -> bytes:
            changed: bytes = atheris.Mutate(part, min(len(part) + 64, max_size))
            return changed

        return target.mutate(data, Random(seed), mutate_bytes)[:max_size]

    atheris.Setup([*sys.argv, f"-max_len={target.max_bytes}"], target.check, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
