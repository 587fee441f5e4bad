"""The command itself: its parser, and how it ends."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from ..audit.loading import LoadingError
from ..core.errors import ConfigurationError, LedgerError
from . import check, credentials, doctor, keys, ledger, pay, payments, routes
from .output import Failure, printable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, 1 where it failed (`l402 pay` has more), 2 misused, 130 interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it, such as `head`, has seen enough. What is left must not fail as Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except ConfigurationError as error:
        parser.error(str(error))
    except (Failure, LedgerError, LoadingError) as error:
        print(f"l402: {printable(str(error))}", file=sys.stderr)  # noqa: T201 - the command's output
        return error.status if isinstance(error, pay.Ended) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="l402", description="Tools for those who sell, and those who buy, over L402.")
    parser.add_argument("--version", action="version", version=f"l402_middleware {version('l402_middleware')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON, for programs")
    for module in (credentials, doctor, check, routes, ledger, payments, keys, pay):
        module.add_commands(commands, as_json)
    return parser
