"""The benched application in Flask; `create` without a paywall makes it bare."""

from flask import Flask, request

from bench.sales import OFFERS, paywall_from_environment
from l402_middleware import Paywall
from l402_middleware.flask import L402, l402_required


def goods() -> str:
    """The view that does nothing."""
    return "goods"


def swallow() -> str:
    """The view that reads the request's body as it comes, and does nothing with it."""
    while request.stream.read(65536):
        pass
    return "goods"


def create(paywall: Paywall | None) -> Flask:
    """Every route of `OFFERS`, and a free one."""
    app = Flask(__name__)
    if paywall is not None:
        L402(app, paywall)
    app.add_url_rule("/free", "free", goods)
    for path, offer in OFFERS.items():
        view = swallow if path == "/bound" else goods
        priced = view if paywall is None else l402_required(**offer)(view)
        app.add_url_rule(path, path, priced, methods=["POST"] if path == "/bound" else ["GET"])
    return app


def served() -> Flask:
    """The application for a server: charged for where the environment has a ledger."""
    return create(paywall_from_environment())
