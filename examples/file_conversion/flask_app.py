"""The conversion service in Flask."""

from flask import Flask, Response, request, send_file

from l402_middleware import Paywall, Refusal
from l402_middleware.flask import L402, l402_required

from .catalogue import MAX_BODY_BYTES, description
from .order import Order
from .sandbox import ConversionFailed
from .shop import PATH, Shop, paywall_from_environment, problem


def create_app(shop: Shop | None = None, paywall: Paywall | None = None) -> Flask:
    """The application; shop and paywall from the environment where not given."""
    shop = shop or Shop.from_environment()
    app = Flask(__name__)
    L402(app, paywall or paywall_from_environment())

    @app.get(PATH)
    def offers() -> dict[str, object]:
        return description()

    @app.post(PATH)
    @l402_required(price=shop.price, max_body=MAX_BODY_BYTES, memo="file conversion")
    def convert() -> dict[str, str]:
        order = Order.from_json(request.get_data())
        converted = shop.sandbox.convert_blocking(order)
        return shop.result(order, converted, request.headers.get("host"))

    @app.get("/files/<identity>/<name>")
    def download(identity: str, name: str) -> Response:
        file = shop.links.get(identity, name, request.args.get("exp", ""), request.args.get("sig", ""))
        response = send_file(file.path)
        response.headers.update(file.headers)
        return response

    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> tuple[dict[str, object], int]:
        return problem(error.status, error.code, error.title), error.status

    @app.errorhandler(ConversionFailed)
    def failed(error: ConversionFailed) -> tuple[dict[str, object], int]:
        return problem(422, error.code, error.title), 422

    return app
