"""The middleware around any WSGI application, which sells everything."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..exchange.exchange import refuse_other_than_paywall
from ..flow import drive
from ..paywall.cors import Cors, wanted_method
from ..paywall.offer import Offer, Price, Sale
from ..paywall.whole_application import WholeApplication, endpoint_name, refuse_decorated
from .environ import headers_of, method_of, split_path
from .exchange import EXCHANGE, WSGIExchange
from .headers import respond

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from ..paywall.paywall import Paywall


class L402Middleware:
    """Sells every request to a WSGI application, of whatever framework, but for those to the paths in `free`.

    What was not paid for is answered before the application sees it: unknown paths and methods, and static files too.
    A payment buys one method and path. The application finds the `Payment` in
    `environ["l402_middleware.payment"]`, None where the path is free.

    - `default`: an `Offer`, or a price as `Offer` takes it.
    - `free`: exact paths, decoded, below `SCRIPT_NAME`, without a query; another spelling of one is not free.

    Raises `ConfigurationError`, also for an application with views that `@l402_required` prices: sell the rest of
    that with `l402_middleware.flask.L402`, which takes `default` and `free` too.
    """

    def __init__(
        self, app: "WSGIApplication", paywall: "Paywall", *, default: Price | Offer, free: Iterable[str] = ()
    ) -> None:
        refuse_other_than_paywall(paywall)
        self.app = app
        self.paywall = paywall
        self.whole = WholeApplication(default, free)
        self._is_checked = False
        refuse_decorated(app)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        answer = answer_aside(
            self, self.paywall, environ, start_response, lambda asked: whole_sale(self.whole, asked) is not None
        )
        if answer is not None:
            return answer
        if not self._is_checked:
            # Views may have been added since.
            refuse_decorated(self.app)
            self._is_checked = True
        sale = whole_sale(self.whole, environ)
        outer: WSGIExchange | None = environ.get(EXCHANGE)
        if outer is None or outer.paywall is not self.paywall:
            return WSGIExchange(self.paywall, environ, sale).run(self.app, start_response, sale)
        refusal = None if sale is None or outer.was_asked_for(sale[0]) else outer.admit(*sale)
        return self.app(environ, start_response) if refusal is None else respond(refusal, environ, start_response)


def whole_sale(whole: WholeApplication, environ: "WSGIEnvironment") -> Sale | None:
    """What a request to a whole application buys; None where its path is free."""
    mount, path = split_path(environ)
    if path in whole.free:
        return None
    return whole.offer, endpoint_name(method_of(environ), mount, path)


def answer_aside(
    app: object,
    paywall: "Paywall",
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    is_sold: "Callable[[WSGIEnvironment], bool]",
) -> list[bytes] | None:
    """Answer what is not for the application: the development wallet, a preflight, a document of what `app` sells."""
    if (answer := answer_wallet(paywall, environ, start_response)) is not None:
        return answer
    if paywall.cors is not None and environ["REQUEST_METHOD"] == "OPTIONS":
        return _answer_preflight(paywall.cors, environ, start_response, is_sold)
    if paywall.discovery is None:
        return None
    from ..discovery.documents import document_for  # noqa: PLC0415 - loaded where documents are asked for

    document = document_for(app, paywall, environ["REQUEST_METHOD"], *split_path(environ))
    return None if document is None else respond(document, environ, start_response)


def _answer_preflight(
    cors: Cors,
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
    is_sold: "Callable[[WSGIEnvironment], bool]",
) -> list[bytes] | None:
    """Answer the preflight of a request that would have to pay."""
    headers = list(headers_of(environ))
    method = wanted_method(headers)
    if method is None or not is_sold({**environ, "REQUEST_METHOD": method.decode("ascii").upper()}):
        return None
    return respond(cors.preflight(headers), environ, start_response)


def answer_wallet(
    paywall: "Paywall", environ: "WSGIEnvironment", start_response: "StartResponse"
) -> list[bytes] | None:
    """Answer a request to the development wallet, if it is one and this paywall has such a wallet."""
    if paywall.wallet_path is None or environ.get("PATH_INFO", "") != paywall.wallet_path:
        return None
    method = environ["REQUEST_METHOD"]
    response = drive(
        paywall.answer_wallet(
            method, environ.get("QUERY_STRING", ""), environ.get("REMOTE_ADDR"), list(headers_of(environ))
        )
    )
    return respond(response, environ, start_response)
