"""The conversion service in Flask."""

from flask import Flask, Response, json, request, send_file

from l402_middleware import Paywall
from l402_middleware.flask import L402, l402_required

from .catalogue import MAX_BODY_BYTES
from .openapi import OPENAPI_PATH, document
from .order import Order
from .shop import PATHS, PROBLEM_TYPE, PROBLEMS, Shop, offers, paywall_from_environment, problem


def create_app(shop: Shop | None = None, paywall: Paywall | None = None) -> Flask:
    """The application; shop and paywall from the environment where not given."""
    shop = shop or Shop.from_environment()
    app = Flask(__name__)
    L402(app, paywall or paywall_from_environment())

    @app.get(OPENAPI_PATH)
    def openapi() -> dict[str, object]:
        return document()

    def offered() -> dict[str, object]:
        return offers(request.args)

    @l402_required(price=shop.price, max_body=MAX_BODY_BYTES, memo="file conversion")
    def convert() -> dict[str, object]:
        address = shop.address(request.headers.get("host"))
        order = Order.from_json(request.get_data())
        return shop.result(order, shop.sandbox.convert_blocking(order), address)

    for path in PATHS:
        app.get(path)(offered)
        app.post(path)(convert)

    @app.get("/files/<identity>/<name>")
    def download(identity: str, name: str) -> Response:
        query = request.args
        file = shop.links.get(identity, name, expires=query.get("exp", ""), signature=query.get("sig", ""))
        response = send_file(file.path)
        response.headers.update(file.headers)
        return response

    def failed(error: Exception) -> Response:
        members = problem(error)
        return Response(json.dumps(members), members["status"], mimetype=PROBLEM_TYPE)

    for kind in PROBLEMS:
        app.register_error_handler(kind, failed)
    return app
