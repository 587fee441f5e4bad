"""`l402 payments` and `l402 payment`: what came in, and what was delivered for it."""

import argparse
import csv
import io
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from ..credentials.inspection import utc
from ..flow import drive
from ..ledgers.ledger import History
from ..ledgers.listing import STATES, Wanted, left_of, payments, states_of
from .arguments import moment, thirty_two_bytes
from .ledger import add_ledger, opened, sats_of, show_payment
from .output import printable, say, say_json

if TYPE_CHECKING:
    from .arguments import Commands


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the commands to the parser."""
    about = "list the payments that a ledger remembers, the newest first"
    listing = commands.add_parser("payments", help=about, description=f"{about.capitalize()}.")
    add_ledger(listing)
    form = listing.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for programs")
    form.add_argument("--csv", action="store_true", help="print CSV, for spreadsheets")
    listing.add_argument("--since", type=moment, metavar="TIME", help="first shown at that UTC time or later")
    listing.add_argument("--until", type=moment, metavar="TIME", help="first shown before that UTC time")
    listing.add_argument("--endpoint", metavar="NAME", help='such as "GET /weather/{city}", as printed here')
    listing.add_argument("--state", choices=STATES, help="only those in this state")
    listing.set_defaults(run=_payments)
    about = "show what happened to one payment, and what is left of it"
    payment = commands.add_parser("payment", parents=[as_json], help=about, description=f"{about.capitalize()}.")
    add_ledger(payment)
    payment.add_argument("payment_hash", type=thirty_two_bytes, metavar="HASH", help="the payment hash, in hex")
    payment.set_defaults(run=show_payment)


def _payments(options: argparse.Namespace) -> None:
    wanted = Wanted(options.since, options.until, options.endpoint, options.state)
    with closing(opened(options.ledger)) as ledger:
        found = drive(payments(ledger, wanted))
    rows = [_members(each) for each in found]
    msat = sum(each.msat for each in found)
    if options.json:
        say_json({"payments": rows, "msat": msat})
    elif options.csv:
        say(_csv(rows))
    elif rows:
        say(_table(found))
        say([f"{len(found)} payments, {sats_of(msat)} sats"])
    else:
        say(["no such payments"])


def _members(payment: History) -> dict[str, object]:
    return {
        "shown_at": utc(payment.shown_at),
        "payment_hash": payment.payment_hash.hex(),
        "endpoint": payment.endpoint,
        "msat": payment.msat,
        "bought": payment.bought,
        "settled": payment.settled,
        "left": left_of(payment),
        "states": sorted(states_of(payment)),
        "scheme": payment.scheme,
        "backend": payment.backend,
    }


_COLUMNS = tuple(_members(History(b"", b"", "", 0, None, 0, 0.0, "", "", None, ())))


def _csv(rows: Iterable[dict[str, object]]) -> Iterable[str]:
    for cells in (_COLUMNS, *(map(_cell, row.values()) for row in rows)):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(cells)
        yield line.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, list):
        return " ".join(value)
    # A spreadsheet would run as a formula what a stranger has put into a path.
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def _table(found: Iterable[History]) -> Iterable[str]:
    cells = [("shown at (UTC)", "sats", "delivered", "state", "payment hash", "endpoint")]
    for each in found:
        units = "pass" if each.bought is None else f"{each.settled} of {each.bought}"
        states = ", ".join(sorted(states_of(each)))
        hash_, endpoint = each.payment_hash.hex(), printable(each.endpoint)
        cells.append((utc(each.shown_at), sats_of(each.msat), units, states, hash_, endpoint))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
