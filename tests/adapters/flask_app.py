"""The scenario in Flask."""

import time
from collections.abc import Iterator
from typing import Any

import anyio
from flask import Blueprint, Flask, Response, g, redirect, request
from flask.typing import ResponseReturnValue
from flask.views import MethodView

from l402_middleware import Paywall
from l402_middleware.flask import L402, l402_required

from .scenario import ENDLESS, EVENTS, PAUSE, PIECES, by_length, by_mistake, by_query, record, shown

site = Blueprint("site", __name__)
extension = L402()


@site.get("/free")
def free() -> dict[str, Any]:
    """Nothing to pay."""
    record("free")
    time.sleep(0.01)
    return shown(g.l402)


@site.get("/forecast")
@l402_required(price=21)
def forecast() -> dict[str, Any]:
    """The plainest priced endpoint."""
    record("forecast")
    time.sleep(0.01)
    return shown(g.l402)


@site.post("/echo")
@l402_required(price=21)
def echo() -> ResponseReturnValue:
    """A body that the sale is not bound to."""
    record("echo")
    return Response(request.get_data())


@site.post("/exact")
@l402_required(price=21, bind="request", max_body=4 * 1024 * 1024)
def exact() -> ResponseReturnValue:
    """A body that the sale is bound to."""
    record("exact")
    return Response(request.get_data())


@site.post("/validated")
@l402_required(price=21)
def validated() -> ResponseReturnValue:
    """A handler that validates for itself."""
    record("validated")
    return {}, 200 if "city" in (request.get_json(silent=True) or {}) else 422


@site.post("/computed")
@l402_required(price=by_length)
def computed() -> ResponseReturnValue:
    """A price that depends on the body."""
    record("computed")
    return Response(request.get_data())


@site.get("/pages")
@l402_required(price=by_query)
def pages() -> dict[str, Any]:
    """A price that depends on the query, computed by an async function."""
    record("pages")
    return shown(g.l402)


@site.route("/mistaken", methods=["GET", "POST"])
@l402_required(price=by_mistake)
def mistaken() -> ResponseReturnValue:
    """A price that fails."""
    record("mistaken")
    return ""


@site.get("/bundle")
@l402_required(price=5, uses=3)
def bundle() -> dict[str, Any]:
    """Three deliveries."""
    record("bundle")
    return shown(g.l402)


@site.get("/pass")
@l402_required(price=5, uses=None)
def entry() -> dict[str, Any]:
    """Any number of deliveries."""
    record("pass")
    return shown(g.l402)


@site.get("/answers/<int:status>")
@l402_required(price=21)
def answers(status: int) -> ResponseReturnValue:
    """Answers with the status that the path names; 599 is an exception."""
    record(f"answers/{status}")
    if status == 599:
        raise RuntimeError("the handler failed")
    return redirect("/free") if status == 302 else Response(status=status)


@site.get("/cached")
@l402_required(price=21)
def cached() -> ResponseReturnValue:
    """Invites caches in."""
    record("cached")
    response = Response(b"cached", headers={"Cache-Control": "public, max-age=60", "ETag": '"1"', "Vary": "Accept"})
    response.set_cookie("session", "secret")
    return response


@site.get("/stream")
@l402_required(price=21)
def stream() -> ResponseReturnValue:
    """Pieces, with pauses."""
    record("stream")

    def pieces() -> Iterator[bytes]:
        for piece in PIECES:
            yield piece
            time.sleep(PAUSE)

    return Response(pieces(), mimetype="text/plain")


@site.get("/broken")
@l402_required(price=21)
def broken() -> ResponseReturnValue:
    """Fails when a part of the answer is out."""
    record("broken")

    def pieces() -> Iterator[bytes]:
        yield PIECES[0]
        raise RuntimeError("the stream failed")

    return Response(pieces())


@site.get("/events")
@l402_required(price=21)
def events() -> ResponseReturnValue:
    """Server-sent events."""
    record("events")

    def pieces() -> Iterator[bytes]:
        for event in EVENTS:
            yield event
            time.sleep(PAUSE)

    return Response(pieces(), mimetype="text/event-stream")


@site.get("/endless")
@l402_required(price=21)
def endless() -> ResponseReturnValue:
    """More than anybody waits for."""
    record("endless")

    def pieces() -> Iterator[bytes]:
        for _ in range(400):
            yield ENDLESS
            time.sleep(0.01)

    return Response(pieces())


@site.post("/upload")
@l402_required(price=21)
def upload() -> ResponseReturnValue:
    """Takes a body piece by piece."""
    size = 0
    while chunk := request.stream.read(4096):
        size += len(chunk)
        record("upload chunk")
    record("upload")
    return {"size": size}


@site.get("/slow")
@l402_required(price=21)
def slow() -> dict[str, Any]:
    """Takes its time."""
    record("slow")
    time.sleep(0.3)
    return shown(g.l402)


@site.get("/plain")
@l402_required(price=21)
async def plain() -> dict[str, Any]:
    """The other kind of function: an async view."""
    record("plain")
    await anyio.sleep(0.01)
    return shown(g.l402)


class View(MethodView):
    """A class-based view, priced by method."""

    @l402_required(price=3)
    def get(self) -> dict[str, Any]:
        record("view get")
        return shown(g.l402)

    @l402_required(price=4)
    async def post(self) -> dict[str, Any]:
        record("view post")
        return shown(g.l402)


site.add_url_rule("/view", view_func=View.as_view("view"))


@l402_required(price=7)
def item(id: str) -> dict[str, str]:  # noqa: A002 - the route's own name
    """A route with a parameter."""
    record("item")
    return {"id": id}


@l402_required(price=1)
def cheap() -> str:
    """A report."""
    record("cheap")
    return "cheap"


@l402_required(price=1000)
def dear() -> str:
    """The same path in another blueprint."""
    record("dear")
    return "dear"


def create(paywall: Paywall | None = None) -> Flask:
    """The application, by a factory."""
    app = Flask(__name__)
    app.register_blueprint(site)
    part, deep = Blueprint("part", __name__), Blueprint("deep", __name__)
    for blueprint in (part, deep):
        blueprint.add_url_rule("/items/<id>", view_func=item)
    part.register_blueprint(deep, url_prefix="/deep")
    app.register_blueprint(part, url_prefix="/part")
    basic, premium = Blueprint("basic", __name__), Blueprint("premium", __name__)
    basic.add_url_rule("/report", view_func=cheap)
    premium.add_url_rule("/report", view_func=dear)
    app.register_blueprint(basic, url_prefix="/basic")
    app.register_blueprint(premium, url_prefix="/premium")
    extension.init_app(app, paywall)
    return app
