"""`l402 routes`."""

import argparse
from typing import TYPE_CHECKING

from ..audit import Exceptions, audit
from ..audit.loading import load_application
from .output import Failure, printable, say, say_json
from .route_table import lines, members

if TYPE_CHECKING:
    from .arguments import Commands


def add_commands(commands: "Commands", as_json: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
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


def _routes(options: argparse.Namespace) -> None:
    exceptions = Exceptions(options.exceptions)
    findings = audit(load_application(options.application, is_factory=options.factory))
    stale = list(exceptions.stale(findings))
    failing = ("hole", "free") if options.strict else ("hole",)
    wrong = [finding for finding in findings if finding.verdict.status in failing and not exceptions.cover(finding)]
    if options.json:
        listed = [members(finding) for finding in findings]
        say_json({"ok": not wrong and not stale, "routes": listed, "stale_exceptions": stale})
    elif findings:
        say(map(printable, lines(findings)))
        say(map(printable, stale))
    else:
        say(["the application has no routes"])
    if wrong or stale:
        raise Failure(f"not as they should be: {len(wrong)} of {len(findings)} routes, {len(stale)} exceptions")
