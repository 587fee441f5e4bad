"""`l402 check`."""

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import httpx2

from ..checkup import Objection, examine
from ..checkup.answer import MAX_BYTES, ServiceAnswer
from ..client.asked import origin_of
from ..core.errors import ConfigurationError
from .arguments import fields, small
from .output import Failure, printable, say, say_json

if TYPE_CHECKING:
    from .arguments import Commands

_AGENT: Final = {"User-Agent": "l402-check", "Accept": "*/*"}

_EXIT_CODES: Final = """\
exit status:
  0  nothing is held against the service; notes may be
  1  faults were found, or the service cannot be reached
  2  the command was called wrongly
"""


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    about = "ask a service what crawlers, browsers and careful clients ask it, and say what they hold against it"
    check = commands.add_parser(
        "check",
        parents=[as_json],
        help=about,
        description=f"{about.capitalize()}.\nPays nothing; the service makes up to six invoices.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument("url", metavar="URL", help="of an endpoint that is sold")
    check.add_argument("-X", "--method", metavar="NAME", default="GET", help="GET where not given")
    check.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE")
    check.add_argument("-d", "--data", metavar="TEXT", default="", help="the body")
    check.add_argument("--timeout", type=small, default=20, metavar="SECONDS", help="for each answer (20)")
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> None:
    try:
        origin_of(options.url)
    except ValueError:
        raise ConfigurationError("URL must be an http or https URL with a host") from None
    found: list[Objection] = []
    with httpx2.Client(timeout=options.timeout, follow_redirects=False) as client:
        ask = _asker(client, fields(options.header), options.method.upper(), options.data.encode(), options.timeout)
        try:
            for finding in examine(options.method.upper(), options.url, ask, time.time()):
                found.append(finding)
                if not options.json:
                    say([printable(f"{finding.status:5}  {finding.code}: {finding.said}")])
        except httpx2.HTTPError as error:
            raise Failure(f"{type(error).__name__} from {origin_of(options.url)}") from None
        except httpx2.InvalidURL:
            raise ConfigurationError("URL cannot be read") from None
    faults = sum(finding.status == "fault" for finding in found)
    if options.json:
        say_json({"ok": not faults, "url": options.url, "findings": [asdict(finding) for finding in found]})
    if faults:
        raise Failure(f"{faults} of {len(found)} findings are held against the service")


def _asker(
    client: httpx2.Client, own: list[tuple[str, str]], method: str, body: bytes, seconds: float
) -> Callable[[str, str, Mapping[str, str]], ServiceAnswer]:
    def ask(asked: str, url: str, headers: Mapping[str, str]) -> ServiceAnswer:
        # The body belongs to the request that is sold, not to those that crawlers and browsers add.
        content = body if asked == method else b""
        sent = [*_AGENT.items(), *own, *headers.items()]
        until = time.monotonic() + seconds
        with client.stream(asked, url, headers=sent, content=content) as answer:
            received, is_cut = b"", False
            for piece in answer.iter_bytes():
                received += piece
                # An answer without an end, or one that drips, is no reason to wait for it.
                if len(received) > MAX_BYTES or time.monotonic() > until:
                    is_cut = True
                    break
            return ServiceAnswer(answer.status_code, list(answer.headers.raw), received[:MAX_BYTES], is_cut)

    return ask
