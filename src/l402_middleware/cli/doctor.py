"""`l402 doctor`."""

import argparse
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigurationError
from ..doctor import Diagnosis, examine
from .arguments import currency, small
from .output import Failure, printable, say, say_json

if TYPE_CHECKING:
    from .arguments import Commands


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
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
    doctor.add_argument("--amount", type=small, default=1, metavar="SATS", help="of the invoice (1)")
    doctor.add_argument(
        "--currency", type=currency, metavar="USD", help="also ask the sources of exchange rates for this currency"
    )
    doctor.add_argument("--timeout", type=small, default=30, metavar="SECONDS", help="for each check (30)")
    doctor.set_defaults(run=_doctor)


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
            say(_lines(finding))
            sys.stdout.flush()
    failed = sum(finding.status == "failed" for finding in findings)
    if options.json:
        say_json({"ok": not failed, "findings": [asdict(finding) for finding in findings]})
    if failed:
        raise Failure(f"{failed} of {len(findings)} findings failed")


def _lines(finding: Diagnosis) -> Iterable[str]:
    about = f"({finding.about}) " if finding.about else ""
    yield f"{finding.status:8} {finding.check:9} {printable(about + finding.found)}"
    if finding.remedy:
        yield f"{'':18} mend it: {printable(finding.remedy)}"


def _variables(path: str) -> dict[str, str]:
    """What a file of `NAME=VALUE` lines sets, as for systemd and Docker; a whole value may stand in quotes."""
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--env-file cannot be read: {type(error).__name__}") from None
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
