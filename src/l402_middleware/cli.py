"""The command `l402`."""

import argparse
from collections.abc import Sequence

from .core.keys import generate_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    parser = argparse.ArgumentParser(prog="l402", description="Tools for operators of an L402 paywall.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keygen = commands.add_parser("keygen", help="print a new secret for L402_SECRET_KEYS")
    keygen.set_defaults(run=_keygen)
    options = parser.parse_args(arguments)
    status: int = options.run()
    return status


def _keygen() -> int:
    print(generate_key())  # noqa: T201 - the command's output
    return 0
