"""A shop in Flask that sells to callers, and what caches would like to keep."""

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue

from l402_middleware.flask import L402, l402_required

GOODS = b"0123456789" * 10


def create() -> Flask:
    """The application."""
    app = Flask(__name__)
    L402(app)

    @app.get("/free")
    def free() -> str:
        """Nothing to pay."""
        return "free"

    @app.get("/by-ip")
    @l402_required(price=5, uses=None, bind_caller="ip")
    def by_ip() -> str:
        """A pass for one address."""
        return "for you"

    @app.get("/by-tls")
    @l402_required(price=5, uses=None, bind_caller="tls")
    def by_tls() -> str:
        """A pass for one certificate."""
        return "for you"

    @app.get("/free-goods")
    def free_goods() -> ResponseReturnValue:
        """What caches may keep, if they are told so."""
        return goods()

    @app.get("/goods")
    @l402_required(price=5)
    def paid_goods() -> ResponseReturnValue:
        """The same, paid for."""
        return goods()

    @app.get("/pass")
    @l402_required(price=5, uses=None)
    def passed() -> ResponseReturnValue:
        """The same, with a pass."""
        return goods()

    @app.post("/upload")
    @l402_required(price=5)
    def upload() -> str:
        """What takes a body of any length."""
        return str(len(request.get_data()))

    @app.post("/exact")
    @l402_required(price=5, bind="request", max_body=50_000)
    def exact() -> str:
        """What is sold with its body, and takes no long one."""
        return str(len(request.get_data()))

    return app


def goods() -> ResponseReturnValue:
    """A hundred bytes with an ETag, and each parameter of the query as a header; knows conditions and ranges."""
    response = Response(GOODS, mimetype="text/plain", headers=list(request.args.items(multi=True)))
    response.set_etag("1")
    return response.make_conditional(request, accept_ranges=True, complete_length=len(GOODS))
