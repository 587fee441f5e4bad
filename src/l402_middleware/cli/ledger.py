"""`l402 ledger`: totals, one payment, revocation."""

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Final, get_args

from ..core.errors import ConfigurationError
from ..credentials.inspection import Parts, utc
from ..ledgers import MemoryLedger, SQLiteLedger, ledger_from_url
from ..ledgers.ledger import Ledger, What, day_of
from ..ledgers.listing import left_of
from .arguments import days, thirty_two_bytes
from .output import Failure, keys_of, lines_of, printable, say, say_json

if TYPE_CHECKING:
    from .arguments import Commands

_COLUMNS: Final[tuple[What, ...]] = ("paid", "delivered", "replayed", "released", "lapsed", "offered", "refused")


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command and its actions to the parser."""
    about = "look into a ledger, and revoke tokens"
    ledger = commands.add_parser("ledger", help=about, description=f"{about.capitalize()}.")
    actions = ledger.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False, parents=[as_json])
    add_ledger(common)
    totals = actions.add_parser("totals", parents=[common], help="what was sold, by day and endpoint")
    totals.add_argument("--days", type=days, default=7, metavar="N", help="the last N UTC days, today included (7)")
    totals.set_defaults(run=_totals)
    payment = actions.add_parser("payment", parents=[common], help="what happened to one payment")
    payment.add_argument("payment_hash", type=thirty_two_bytes, metavar="HASH", help="the payment hash, in hex")
    payment.set_defaults(run=show_payment)
    revoke = actions.add_parser("revoke", parents=[common], help="let a token open nothing any more, for good")
    revoke.add_argument(
        "token",
        type=thirty_two_bytes,
        metavar="TOKEN_ID_OR_PAYMENT_HASH",
        help="in hex; the hash of a payment that the ledger knows means its token",
    )
    revoke.set_defaults(run=_revoke)


def add_ledger(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which ledger."""
    parser.add_argument(
        "--ledger",
        metavar="URL",
        default=os.environ.get("L402_LEDGER"),
        help="such as sqlite:///l402.db; L402_LEDGER where not given",
    )


def _totals(options: argparse.Namespace) -> None:
    today = day_of(time.time())
    since = today - options.days + 1
    with closing(opened(options.ledger)) as ledger:
        totals = ledger.totals(since, today).block()
    rows: dict[tuple[str, str], Counter[str]] = {}
    whole: Counter[str] = Counter()
    for total in totals:
        row = rows.setdefault((_date(total.day), total.endpoint), Counter())
        for counts in (row, whole):
            counts.update({total.what: total.count, "msat": total.msat})
    if options.json:
        listed = [{"day": day, "endpoint": endpoint, **_numbers(row)} for (day, endpoint), row in rows.items()]
        say_json({"since": _date(since), "until": _date(today), "totals": listed, "sum": _numbers(whole)})
    elif rows:
        say(_table([*((day, printable(endpoint), row) for (day, endpoint), row in rows.items()), ("sum", "", whole)]))
    else:
        say([f"nothing on record since {_date(since)} (UTC)"])


def _numbers(row: Counter[str]) -> dict[str, int]:
    return {name: row[name] for name in ("msat", *get_args(What))}


def _table(rows: list[tuple[str, str, Counter[str]]]) -> Iterable[str]:
    paid, *others = _COLUMNS
    cells = [("day (UTC)", "endpoint", paid, "sats", *others)]
    for day, endpoint, row in rows:
        cells.append((day, endpoint, str(row[paid]), sats_of(row["msat"]), *(str(row[name]) for name in others)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        day, endpoint, *numbers = (
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join((day, endpoint, *numbers))


def sats_of(msat: int) -> str:
    """Millisatoshis as sats, exactly."""
    whole, fraction = divmod(msat, 1000)
    return f"{whole}.{fraction:03}".rstrip("0") if fraction else str(whole)


def show_payment(options: argparse.Namespace) -> None:
    """One payment, as `l402 payment` shows it."""
    with closing(opened(options.ledger)) as ledger:
        history = ledger.history(options.payment_hash).block()
        if history is None:
            raise Failure("the ledger knows no payment with this hash: it was not used yet, or is over and forgotten")
        revoked = history.token_id in ledger.revoked().block()
    sold: Parts = {
        "payment hash": history.payment_hash.hex(),
        "token id": history.token_id.hex(),
        "endpoint": history.endpoint,
    }
    if options.json:
        numbers = {
            "msat": history.msat,
            "uses": history.bought,
            "delivered": history.settled,
            "left": left_of(history),
            "revoked": revoked,
        }
        events = [{"at": event.at, "what": event.what} for event in history.events]
        say_json({**keys_of(sold), **numbers, "events": events})
        return
    sold["sats"] = sats_of(history.msat)
    sold["uses"] = "a pass" if history.bought is None else f"{history.settled} of {history.bought} delivered"
    if (left := left_of(history)) is not None:
        sold["left"] = str(left)
    sold["revoked"] = revoked
    sold["events"] = [f"{utc(event.at)}  {event.what}" for event in history.events]
    say(lines_of(sold))


def _revoke(options: argparse.Namespace) -> None:
    with closing(opened(options.ledger)) as ledger:
        history = ledger.history(options.token).block()
        token_id = options.token if history is None else history.token_id
        ledger.revoke(token_id).block()
    if options.json:
        payment_hash = None if history is None else history.payment_hash.hex()
        say_json({"revoked": token_id.hex(), "payment_hash": payment_hash})
    elif history is None:
        say(
            [
                f"token {token_id.hex()} is revoked",
                "(taken as a token id: the ledger knows no payment with this hash)",
            ]
        )
    else:
        say([f"token {token_id.hex()} is revoked, of a payment for {printable(history.endpoint)}"])


def opened(url: str | None) -> Ledger:
    """The ledger that an application already keeps at `url`; looking makes no file, but a database's schema."""
    if not url:
        raise ConfigurationError("no ledger: give --ledger URL, or set L402_LEDGER (such as sqlite:///l402.db)")
    ledger = ledger_from_url(url)
    if isinstance(ledger, MemoryLedger):
        raise ConfigurationError("a ledger in memory can be seen only by the application's own process")
    if isinstance(ledger, SQLiteLedger) and not os.path.exists(ledger.path):
        raise Failure(f"there is no ledger at {ledger.path}")
    return ledger


def _date(day: int) -> str:
    return utc(day * 86400)[:10]
