"""A shop in Flask that sells to callers."""

from flask import Flask

from l402_middleware.flask import L402, l402_required


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

    return app
