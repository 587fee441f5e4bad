"""`l402 keygen`, `l402 inspect` and `l402 narrow`."""

import argparse
import sys
import time
from typing import TYPE_CHECKING, Final

from ..core.keys import generate_key
from ..credentials import attenuate, inspect
from .arguments import small
from .output import Failure, keys_of, lines_of, say, say_json

if TYPE_CHECKING:
    from .arguments import Commands

# More than one header's value, and no more than a mistaken pipe should cost.
_MAX_STDIN: Final = 64 * 1024


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the commands to the parser."""
    keygen = commands.add_parser("keygen", help="print a new secret for L402_SECRET_KEYS")
    keygen.set_defaults(run=_keygen)

    about = "show what a header's value, a macaroon or an invoice says"
    inspecting = commands.add_parser(
        "inspect",
        parents=[as_json],
        help=about,
        description=f"{about.capitalize()}. Needs no keys, verifies nothing, and never prints a preimage.",
    )
    inspecting.add_argument(
        "text",
        nargs="?",
        metavar="TEXT",
        help="read from the standard input where not given, as a credential should be",
    )
    inspecting.set_defaults(run=_inspect)

    about = "narrow a credential before it is handed on"
    narrowing = commands.add_parser(
        "narrow",
        help=about,
        description=f"{about.capitalize()}: to callers, or a time. Reads an Authorization value, or a macaroon, from "
        "the standard input, and prints it narrowed. Needs no keys.",
    )
    narrowing.add_argument("--ip", metavar="LIST", help="IP addresses or networks, separated by commas")
    narrowing.add_argument("--tls", metavar="SHA256", help="of the caller's TLS client certificate (DER), in hex")
    narrowing.add_argument("--seconds", type=small, metavar="N", help="good for so long, from now on")
    narrowing.set_defaults(run=_narrow)


def _keygen(options: argparse.Namespace) -> None:
    say([generate_key()])


def _inspect(options: argparse.Namespace) -> None:
    text: str | None = options.text
    if text is None:
        text = sys.stdin.buffer.read(_MAX_STDIN).decode("latin-1")
    try:
        parts = inspect(text)
    except ValueError as error:
        raise Failure(str(error)) from None
    if options.json:
        say_json(keys_of(parts))
    else:
        say(lines_of(parts))


def _narrow(options: argparse.Namespace) -> None:
    until = None if options.seconds is None else int(time.time()) + options.seconds
    text = sys.stdin.buffer.read(_MAX_STDIN).decode("latin-1")
    try:
        say([attenuate(text, ip=options.ip, tls=options.tls, valid_until=until)])
    except ValueError as error:
        raise Failure(str(error)) from None
