"""`l402 keys`: the secret that a ledger keeps."""

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

from .ledger import add_ledger, opened
from .output import Failure, say

if TYPE_CHECKING:
    from .arguments import Commands


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command and its action to the parser."""
    about = "the secret key that a ledger keeps"
    keys = commands.add_parser("keys", help=about, description=f"{about.capitalize()}.")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        help="print it, to list it first in L402_SECRET_KEYS",
        description="Prints the ledger's own secret, and nothing else. Whoever has it can make credentials that open "
        "everything: send it to a file or a secret store, not to a screen.",
    )
    add_ledger(show)
    show.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> None:
    with closing(opened(options.ledger)) as ledger:
        key = ledger.kept_key().block()
    if key is None:
        raise Failure("the ledger keeps no secret key: the application has its own in L402_SECRET_KEYS or secret_keys")
    say([key])
