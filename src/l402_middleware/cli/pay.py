"""`l402 pay`."""

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import httpx2

from ..client import Budget, L402Auth, MemoryStore, NotPaid, PaidInVain, PaymentUncertain, Quote, Receipt, SQLiteStore
from ..client.asked import origin_of
from ..client.wallets import wallet_from_url
from ..core.errors import ConfigurationError
from .arguments import fields, small
from .output import Failure, printable

if TYPE_CHECKING:
    from .arguments import Commands

# What a script can branch on. 1 is everything else that went wrong, 2 a command that was called wrongly.
NOT_PAID: Final = 3
UNCERTAIN: Final = 4
IN_VAIN: Final = 5
HTTP_ERROR: Final = 6

_EXIT_CODES: Final = """\
exit status:
  0    the answer is there
  1    it is not: the server or the wallet cannot be reached, a file cannot be written
  2    the command was called wrongly
  3    nothing was paid: too dear, declined, an offer that no careful payer takes, or the wallet did not pay
  4    a payment was begun and it is not known how it ended; run the same command again: it asks the wallet first
  5    it was paid, and the server asks to be paid again
  6    the server answered with an error (400 and more)
  130  interrupted; the same command goes on from there
"""


class Ended(Failure):
    """A failure with an exit status of its own."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    about = "request a URL, and pay for the answer"
    pay = commands.add_parser(
        "pay",
        help=about,
        description="Request a URL, and pay for the answer within a limit; on a terminal it asks first.\n\nWhat is "
        "bought is written down before it is paid: the same command, run again after a\ncrash or an interruption, uses "
        "that payment and makes no other.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pay.add_argument("url", metavar="URL")
    pay.add_argument("--max", type=small, metavar="SATS", help="the most that the answer may cost; needed with --yes")
    pay.add_argument("--max-fee", type=small, metavar="SATS", help="the most for routing (1 %%, but 10 are allowed)")
    pay.add_argument("--per-day", type=small, metavar="SATS", help="the most in 24 hours, by this store")
    pay.add_argument("-y", "--yes", action="store_true", help="pay without asking")
    pay.add_argument("-X", "--method", metavar="NAME", help="GET where not given, POST with --data")
    pay.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE")
    pay.add_argument(
        "-d", "--data", metavar="TEXT", help="the body; @PATH is a file's content, @- the standard input's"
    )
    pay.add_argument("-o", "--output", metavar="PATH", help="where to write the answer; the standard output otherwise")
    pay.add_argument(
        "--wallet",
        metavar="URL",
        default=os.environ.get("L402_WALLET"),
        help="such as lnbits+https://HOST?admin_key_file=PATH; L402_WALLET where not given",
    )
    pay.add_argument(
        "--store",
        metavar="PATH",
        default=os.environ.get("L402_STORE"),
        help="the SQLite file of purchases; L402_STORE where not given, otherwise l402/purchases.db in XDG_DATA_HOME",
    )
    pay.add_argument("--timeout", type=small, default=60, metavar="SECONDS", help="for each wait for the server (60)")
    pay.set_defaults(run=_pay)


def _pay(options: argparse.Namespace) -> None:
    if options.wallet is None:
        raise ConfigurationError("l402 pay needs a wallet: give --wallet, or set L402_WALLET")
    if options.yes and options.max is None:
        raise ConfigurationError("l402 pay --yes needs --max: whoever pays without asking says how much at most")
    if not options.yes and not sys.stdin.isatty():
        raise ConfigurationError("there is no terminal to ask on: give --yes and --max")
    try:
        origin_of(options.url)
    except ValueError:
        raise ConfigurationError("URL must be an http or https URL with a host") from None
    body = None if options.data is None else _data(options.data)
    method = options.method or ("GET" if body is None else "POST")
    # Nobody has a million: without --max the question decides.
    budget = Budget(options.max or 1_000_000, per_day=options.per_day, max_fee=options.max_fee)
    with closing(wallet_from_url(options.wallet)) as wallet, closing(_store(options.store)) as store:
        auth = L402Auth(wallet, budget=budget, store=store, confirm=None if options.yes else _ask)
        try:
            with (
                httpx2.Client(auth=auth, timeout=options.timeout, follow_redirects=True) as client,
                client.stream(method, options.url, content=body, headers=fields(options.header)) as answer,
            ):
                _write(answer, options.output)
        except NotPaid as error:
            raise Ended(NOT_PAID, f"nothing was paid ({error.reason}): {error}") from None
        except PaymentUncertain as error:
            raise Ended(UNCERTAIN, f"{error}; run the same command again (payment {error.payment_hash})") from None
        except PaidInVain as error:
            raise Ended(IN_VAIN, f"{error} (payment {error.payment_hash})") from None
        except httpx2.HTTPError as error:
            raise Failure(
                f"{type(error).__name__} from {origin_of(options.url)}; if something was paid, the same command uses it"
            ) from None
        except httpx2.InvalidURL:
            raise ConfigurationError("URL cannot be read") from None


def _ask(wanted: Quote) -> bool:
    about = f" ({printable(wanted.invoice.description[:80])})" if wanted.invoice.description else ""
    sys.stderr.write(f"{origin_of(wanted.url)} asks for {wanted.amount}{about}. Pay? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _write(answer: Any, path: str | None) -> None:
    receipt: Receipt | None = answer.extensions.get("l402")
    if receipt is not None:
        fee = f" and {receipt.fee_msat} msat for routing" if receipt.fee_msat else ""
        how = f"paid {receipt.amount}{fee}" if receipt.is_new else f"used what was paid before ({receipt.amount})"
        sys.stderr.write(f"l402: {how}, payment {receipt.payment_hash}\n")
    if path is None:
        _copy(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    else:
        try:
            with Path(path).open("wb") as file:
                _copy(answer, file)
        except OSError as error:
            raise Failure(
                f"{path} cannot be written: {error.strerror}; the same command gets the answer again"
            ) from None
    if answer.status_code >= 400:
        raise Ended(HTTP_ERROR, f"the server answered {answer.status_code}")


def _copy(answer: Any, file: BinaryIO) -> None:
    for piece in answer.iter_bytes():
        file.write(piece)


def _data(given: str) -> bytes:
    if not given.startswith("@"):
        return given.encode()
    try:
        return sys.stdin.buffer.read() if given == "@-" else Path(given[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"--data: {given[1:]} cannot be read: {error.strerror}") from None


def _store(path: str | None) -> MemoryStore:
    if path is None:
        home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        folder = Path(home) / "l402"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be made: {error.strerror}; give --store") from None
        path = str(folder / "purchases.db")
    return SQLiteStore(path)
