"""The shop in Flask: the same endpoints at the same prices."""

import time

from flask import Flask, g, request

from l402_middleware import Paywall
from l402_middleware.flask import L402, l402_required

from .log import noted
from .prices import MAX_BODY, by_size, peer_of


def _answer() -> str:
    with noted(g.l402.payment_hash) as name:
        time.sleep(float(request.args.get("seconds", "0.01")))
    return name


@l402_required(price=21)
def work() -> str:
    """One answer, which takes as long as the query says."""
    return _answer()


@l402_required(price=100, uses=20)
def bundle() -> str:
    """Twenty of them."""
    return _answer()


@l402_required(price=by_size, max_body=MAX_BODY)
def upload() -> str:
    """What was sent, in bytes."""
    return str(len(request.get_data()))


@l402_required(price=peer_of)
def peer() -> str:
    """Not for sale."""
    raise AssertionError


@l402_required(price=500, uses=None)
def season() -> str:
    """A pass."""
    return "goods"


def free() -> str:
    """Nothing to pay."""
    return "free"


def create(paywall: Paywall | None = None) -> Flask:
    """The application."""
    app = Flask(__name__)
    L402(app, paywall)
    for view in (work, bundle, season, peer, free):
        app.add_url_rule(f"/{view.__name__}", view_func=view)
    app.add_url_rule("/upload", view_func=upload, methods=["POST"])
    return app
