"""The command `l402`."""

import argparse
import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Final, get_args

from .audit import Exceptions, audit
from .audit.loading import LoadingError, load_application
from .audit.table import lines, members
from .core.errors import ConfigurationError, LedgerError
from .core.keys import generate_key
from .doctor import Finding, examine
from .inspection import Parts, inspect, utc
from .ledgers import MemoryLedger, SQLiteLedger, ledger_from_url
from .ledgers.ledger import Ledger, What, day_of
from .narrowing import narrow

# More than one header's value, and no more than a mistaken pipe should cost.
_MAX_STDIN: Final = 64 * 1024

_COLUMNS: Final[tuple[What, ...]] = ("paid", "delivered", "replayed", "released", "lapsed", "offered", "refused")


class _Failure(Exception):
    """What the command was asked for can not be done; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status: 0, 1 where it failed, 2 where it was called wrongly."""
    parser = _parser()
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except ConfigurationError as error:
        parser.error(str(error))
    except (_Failure, LedgerError, LoadingError) as error:
        print(f"l402: {_printable(str(error))}", file=sys.stderr)  # noqa: T201 - the command's output
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="l402", description="Tools for operators of an L402 paywall.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    keygen = commands.add_parser("keygen", help="print a new secret for L402_SECRET_KEYS")
    keygen.set_defaults(run=_keygen)

    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="print JSON, for programs")

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
    narrowing.add_argument("--seconds", type=_small, metavar="N", help="good for so long, from now on")
    narrowing.set_defaults(run=_narrow)

    about = "try the configured provider, ledger and keys, and say what is wrong and how to mend it"
    doctor = commands.add_parser(
        "doctor",
        parents=[as_json],
        help=about,
        description=f"{about.capitalize()}. Reads the settings of the application from the environment; run it as the "
        "user, and in the folder, that the application has. Makes one invoice, which stays in the wallet until it "
        "expires. Prints no secret.",
    )
    doctor.add_argument("--env-file", metavar="PATH", help="a file of lines NAME=VALUE, set before anything is tried")
    doctor.add_argument("--no-invoice", action="store_true", help="make no invoice, and so ask the provider nothing")
    doctor.add_argument("--amount", type=_small, default=1, metavar="SATS", help="of the invoice (1)")
    doctor.add_argument(
        "--currency", type=_currency, metavar="USD", help="also ask the sources of exchange rates for this currency"
    )
    doctor.add_argument("--timeout", type=_small, default=30, metavar="SECONDS", help="for each check (30)")
    doctor.set_defaults(run=_doctor)

    about = "list every route of an application: what it sells, or why it sells nothing"
    routes = commands.add_parser(
        "routes",
        parents=[as_json],
        help=about,
        description=f"{about.capitalize()}. Imports the application, and calls no route. Fails where a price was "
        "meant and is not kept; with --strict also where a route is free and no --except names it.",
    )
    routes.add_argument("application", metavar="MODULE:APP", help='such as "shop:app", or "shop:create_app()"')
    routes.add_argument("--factory", action="store_true", help="MODULE:APP is a function that makes the application")
    routes.add_argument("--strict", action="store_true", help="fail where anything else than the exceptions is free")
    routes.add_argument(
        "--except",
        dest="exceptions",
        action="append",
        default=[],
        metavar="ROUTE",
        help='"/path" or "GET /path", as printed here; give it once for each route that needs no price',
    )
    routes.set_defaults(run=_routes)

    about = "look into a ledger, and revoke tokens"
    ledger = commands.add_parser("ledger", help=about, description=f"{about.capitalize()}.")
    actions = ledger.add_subparsers(required=True, metavar="ACTION")
    common = argparse.ArgumentParser(add_help=False, parents=[as_json])
    common.add_argument(
        "--ledger",
        metavar="URL",
        default=os.environ.get("L402_LEDGER"),
        help="such as sqlite:///l402.db; L402_LEDGER where not given",
    )
    totals = actions.add_parser("totals", parents=[common], help="what was sold, by day and endpoint")
    totals.add_argument("--days", type=_days, default=7, metavar="N", help="so many UTC days, today among them (7)")
    totals.set_defaults(run=_totals)
    payment = actions.add_parser("payment", parents=[common], help="what happened to one payment")
    payment.add_argument("payment_hash", type=_thirty_two_bytes, metavar="HASH", help="the payment hash, in hex")
    payment.set_defaults(run=_payment)
    revoke = actions.add_parser("revoke", parents=[common], help="let a token open nothing any more, for good")
    revoke.add_argument(
        "token",
        type=_thirty_two_bytes,
        metavar="TOKEN_ID_OR_PAYMENT_HASH",
        help="in hex; the hash of a payment that the ledger knows means its token",
    )
    revoke.set_defaults(run=_revoke)
    return parser


def _days(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,4}", text):
        raise argparse.ArgumentTypeError("give a number of days from 1 to 99999")
    return int(text)


def _small(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,5}", text):
        raise argparse.ArgumentTypeError("give a whole number from 1 to 999999")
    return int(text)


def _currency(text: str) -> str:
    if not re.fullmatch("[A-Za-z]{3}", text):
        raise argparse.ArgumentTypeError("give a currency as three letters, such as USD")
    return text.upper()


def _thirty_two_bytes(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 32:
        raise argparse.ArgumentTypeError("give 32 bytes as 64 hexadecimal digits")
    return value


def _keygen(options: argparse.Namespace) -> None:
    _say([generate_key()])


def _inspect(options: argparse.Namespace) -> None:
    text: str | None = options.text
    if text is None:
        text = sys.stdin.buffer.read(_MAX_STDIN).decode("latin-1")
    try:
        parts = inspect(text)
    except ValueError as error:
        raise _Failure(str(error)) from None
    if options.json:
        _say_json(_keys(parts))
    else:
        _say(_lines(parts))


def _narrow(options: argparse.Namespace) -> None:
    until = None if options.seconds is None else int(time.time()) + options.seconds
    text = sys.stdin.buffer.read(_MAX_STDIN).decode("latin-1")
    try:
        _say([narrow(text, ip=options.ip, tls=options.tls, valid_until=until)])
    except ValueError as error:
        raise _Failure(str(error)) from None


def _lines(parts: Parts, indent: str = "") -> Iterable[str]:
    width = max(len(name) for name in parts)
    for name, value in parts.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{name}"
            yield from (f"{indent}  {_printable(item)}" for item in value)
        elif value is not None:
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else _printable(str(value))
            yield f"{indent}{name:{width}}  {shown}".rstrip()


def _doctor(options: argparse.Namespace) -> None:
    if options.env_file is not None:
        os.environ.update(_variables(options.env_file))
    findings = []
    for finding in examine(
        os.environ,
        make_invoice=not options.no_invoice,
        amount=options.amount,
        currency=options.currency,
        seconds=options.timeout,
    ):
        findings.append(finding)
        if not options.json:
            _say(_diagnosis(finding))
            sys.stdout.flush()
    failed = sum(finding.status == "failed" for finding in findings)
    if options.json:
        _say_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    if failed:
        raise _Failure(f"{failed} of {len(findings)} findings are failures")


def _diagnosis(finding: Finding) -> Iterable[str]:
    about = f"({finding.about}) " if finding.about else ""
    yield f"{finding.status:8} {finding.check:9} {_printable(about + finding.found)}"
    if finding.remedy:
        yield f"{'':18} mend it: {_printable(finding.remedy)}"


def _routes(options: argparse.Namespace) -> None:
    exceptions = Exceptions(options.exceptions)
    findings = audit(load_application(options.application, is_factory=options.factory))
    stale = list(exceptions.stale(findings))
    failing = ("hole", "free") if options.strict else ("hole",)
    wrong = [finding for finding in findings if finding.verdict.status in failing and not exceptions.cover(finding)]
    if options.json:
        listed = [members(finding) for finding in findings]
        _say_json({"ok": not wrong and not stale, "routes": listed, "stale_exceptions": stale})
    elif findings:
        _say(map(_printable, lines(findings)))
        _say(map(_printable, stale))
    else:
        _say(["the application has no routes"])
    if wrong or stale:
        raise _Failure(f"{len(wrong)} of {len(findings)} routes and {len(stale)} exceptions are not as they should be")


def _variables(path: str) -> dict[str, str]:
    """What a file of `NAME=VALUE` lines sets, as for systemd and Docker; a whole value may stand in quotes."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--env-file can not be read: {type(error).__name__}") from None
    found = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        # Neither line nor name is repeated: it may be a secret that went astray.
        setting = re.fullmatch(r"""(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(?:"([^"\0]*)"|'([^'\0]*)'|([^\0]*))""", line)
        if setting is None:
            raise ConfigurationError(f"--env-file: line {number} is not of the form NAME=VALUE")
        name, *values = setting.groups()
        found[name] = next(value for value in values if value is not None)
    return found


def _totals(options: argparse.Namespace) -> None:
    today = day_of(time.time())
    since = today - options.days + 1
    with closing(_opened(options.ledger)) as ledger:
        totals = ledger.totals(since, today).block()
    rows: dict[tuple[str, str], Counter[str]] = {}
    whole: Counter[str] = Counter()
    for total in totals:
        row = rows.setdefault((_date(total.day), total.endpoint), Counter())
        for counts in (row, whole):
            counts.update({total.what: total.count, "msat": total.msat})
    if options.json:
        listed = [{"day": day, "endpoint": endpoint, **_numbers(row)} for (day, endpoint), row in rows.items()]
        _say_json({"since": _date(since), "until": _date(today), "totals": listed, "sum": _numbers(whole)})
    elif rows:
        _say(_table([*((day, _printable(endpoint), row) for (day, endpoint), row in rows.items()), ("sum", "", whole)]))
    else:
        _say([f"nothing on record since {_date(since)} (UTC)"])


def _numbers(row: Counter[str]) -> dict[str, int]:
    return {name: row[name] for name in ("msat", *get_args(What))}


def _table(rows: list[tuple[str, str, Counter[str]]]) -> Iterable[str]:
    paid, *others = _COLUMNS
    cells = [("day (UTC)", "endpoint", paid, "sats", *others)]
    for day, endpoint, row in rows:
        cells.append((day, endpoint, str(row[paid]), _sats(row["msat"]), *(str(row[name]) for name in others)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        day, endpoint, *numbers = (
            cell.ljust(width) if number < 2 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        yield "  ".join((day, endpoint, *numbers))


def _sats(msat: int) -> str:
    whole, fraction = divmod(msat, 1000)
    return f"{whole}.{fraction:03}".rstrip("0") if fraction else str(whole)


def _payment(options: argparse.Namespace) -> None:
    with closing(_opened(options.ledger)) as ledger:
        history = ledger.history(options.payment_hash).block()
        if history is None:
            raise _Failure("the ledger knows no payment with this hash: it was not used yet, or is over and forgotten")
        revoked = history.token_id in ledger.revoked().block()
    sold: Parts = {
        "payment hash": history.payment_hash.hex(),
        "token id": history.token_id.hex(),
        "endpoint": history.endpoint,
    }
    if options.json:
        numbers = {"msat": history.msat, "uses": history.uses, "delivered": history.delivered, "revoked": revoked}
        events = [{"at": event.at, "what": event.what} for event in history.events]
        _say_json({**_keys(sold), **numbers, "events": events})
        return
    sold["sats"] = _sats(history.msat)
    sold["uses"] = "a pass" if history.uses is None else f"{history.delivered} of {history.uses} delivered"
    sold["revoked"] = revoked
    sold["events"] = [f"{utc(event.at)}  {event.what}" for event in history.events]
    _say(_lines(sold))


def _revoke(options: argparse.Namespace) -> None:
    with closing(_opened(options.ledger)) as ledger:
        history = ledger.history(options.token).block()
        token_id = options.token if history is None else history.token_id
        ledger.revoke(token_id).block()
    if options.json:
        payment_hash = None if history is None else history.payment_hash.hex()
        _say_json({"revoked": token_id.hex(), "payment_hash": payment_hash})
    elif history is None:
        _say(
            [
                f"token {token_id.hex()} is revoked",
                "(taken as a token id: the ledger knows no payment with this hash)",
            ]
        )
    else:
        _say([f"token {token_id.hex()} is revoked, of a payment for {_printable(history.endpoint)}"])


def _opened(url: str | None) -> Ledger:
    """The ledger that an application already keeps at `url`; none is made by looking."""
    if not url:
        raise ConfigurationError("no ledger: give --ledger URL, or set L402_LEDGER (such as sqlite:///l402.db)")
    ledger = ledger_from_url(url)
    if isinstance(ledger, MemoryLedger):
        raise ConfigurationError("a ledger in memory can be seen only by the application's own process")
    if isinstance(ledger, SQLiteLedger) and not os.path.exists(ledger.path):
        raise _Failure(f"there is no ledger at {ledger.path}")
    return ledger


def _date(day: int) -> str:
    return utc(day * 86400)[:10]


def _keys(parts: Parts) -> dict[str, object]:
    """`parts` as programs like them: names without spaces."""
    return {name.replace(" ", "_"): _keys(part) if isinstance(part, dict) else part for name, part in parts.items()}


def _printable(text: str) -> str:
    """`text` from strangers, without what a terminal would obey."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _say(lines: Iterable[str]) -> None:
    encoding = sys.stdout.encoding
    for line in lines:
        # An endpoint or a description may have letters that the terminal does not.
        print(line.encode(encoding, "backslashreplace").decode(encoding))  # noqa: T201 - the command's output


def _say_json(value: object) -> None:
    _say([json.dumps(value, indent=2)])
