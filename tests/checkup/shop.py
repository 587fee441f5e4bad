"""A shop in which nothing is wrong, and the faults that can be planted in it."""

import json
import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from l402_middleware import Paywall
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required


@dataclass
class ServiceAnswer:
    """An answer on its way out, which a fault may change; `asked` is the request's method, path and headers."""

    asked: tuple[str, str, dict[str, str]]
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def has(self, name: str) -> str:
        """The value of a header; empty where it is absent."""
        return ", ".join(value for key, value in self.headers if key == name)

    def put(self, name: str, value: str | None) -> None:
        """Set a header, or take it away."""
        self.headers = [pair for pair in self.headers if pair[0] != name]
        if value is not None:
            self.headers.append((name, value))

    def edit(self, name: str, pattern: str, to: str) -> None:
        """Change what stands in a header, if it is there."""
        if self.has(name):
            self.put(name, re.sub(pattern, to, self.has(name)))

    def say(self, **members: Any) -> None:
        """Change members of the JSON body of a 402."""
        if self.status == 402:
            self.body = json.dumps(json.loads(self.body) | members).encode()


Fault = Callable[[ServiceAnswer], None]


@dataclass
class Shop:
    """Serves /forecast for 21 sat, and whatever documents it is given, with the fault that is planted."""

    app: Any
    fault: Fault = field(default=lambda answer: None)
    documents: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: dict[str, Any] = {}
        body = b""

        async def keep(message: MutableMapping[str, Any]) -> None:
            nonlocal body
            start.update(message if message["type"] == "http.response.start" else {})
            body += message.get("body", b"")

        if scope["path"] in self.documents:
            start, body = {"status": 200, "headers": []}, self.documents[scope["path"]].encode()
        else:
            await self.app(scope, receive, keep)
        given = {key.decode(): value.decode() for key, value in scope["headers"]}
        headers = [(key.decode().lower(), value.decode()) for key, value in start["headers"]]
        answer = ServiceAnswer((scope["method"], scope["path"], given), start["status"], headers, body)
        self.fault(answer)
        answer.put("content-length", None if scope["method"] == "HEAD" else str(len(answer.body)))
        sent = [(key.encode(), value.encode("latin-1")) for key, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": sent})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


def shop(**options: Any) -> Shop:
    """A new one, whose paywall has these options too."""

    @l402_required(price=21)
    async def forecast(_: Request) -> Response:
        return PlainTextResponse("clear")

    paywall = Paywall(DevNode(), cors="*", **options)
    return Shop(
        Starlette(routes=[Route("/forecast", forecast)], middleware=[Middleware(L402Middleware, paywall=paywall)])
    )


def _challenge(change: Fault) -> Fault:
    def only(answer: ServiceAnswer) -> None:
        if answer.status == 402:
            change(answer)

    return only


def _where(method: str, change: Fault) -> Fault:
    def only(answer: ServiceAnswer) -> None:
        if answer.asked[0] == method and answer.asked[1] == "/forecast":
            change(answer)

    return only


def _with_credential(change: Fault) -> Fault:
    return lambda answer: change(answer) if "authorization" in answer.asked[2] else None


def _status(status: int, **headers: str) -> Fault:
    def change(answer: ServiceAnswer) -> None:
        answer.status = status
        answer.put("www-authenticate", None)
        for name, value in headers.items():
            answer.put(name, value)

    return change


def _allow_cookies(answer: ServiceAnswer) -> None:
    answer.put("access-control-allow-credentials", "true")
    if answer.has("access-control-allow-origin"):
        answer.put("access-control-allow-origin", answer.asked[2]["origin"])


def _challenge_of(client: TestClient) -> str:
    return str(client.get("/forecast").headers["www-authenticate"])


_OTHER: Final = _challenge_of(TestClient(shop().app))
_OTHER_INVOICE: Final = re.search('invoice="([^"]+)', _OTHER)[1]  # type: ignore[index]
_UNLIKE: Final = (
    "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rq"
    "wzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegex"
    "t0eh0ymjpf39tuven09sam30g4vgpfna3rh"
)

FAULTS: Final[dict[str, tuple[str, Fault]]] = {
    "free of charge": ("not-sold", _where("GET", _status(200))),
    "counted as too many": ("limited", _where("GET", _status(429))),
    "broken": ("fails", _where("GET", _status(500))),
    "refused before the price": ("refused", _where("GET", _status(400))),
    "somewhere else": ("redirects", _where("GET", _status(307, location="https://elsewhere.example/"))),
    "no challenge": ("no-challenge", _challenge(lambda answer: answer.put("www-authenticate", None))),
    "a challenge behind another one": (
        "challenge-hidden",
        _challenge(lambda answer: answer.edit("www-authenticate", "^", 'Bearer realm="x", ')),
    ),
    "a password dialog": (
        "password-dialog",
        _challenge(lambda answer: answer.headers.append(("www-authenticate", 'Basic realm="x"'))),
    ),
    "a short macaroon": (
        "challenge-short",
        _challenge(lambda answer: answer.edit("www-authenticate", '(macaroon|token)="[^"]+"', r'\1="AAAA"')),
    ),
    "an invoice that is damaged": (
        "bad-invoice",
        _challenge(lambda answer: answer.edit("www-authenticate", 'invoice="lnbcrt210', 'invoice="lnbcrt220')),
    ),
    "an invoice over something else": (
        "wrong-amount",
        _challenge(lambda answer: answer.edit("www-authenticate", 'invoice="[^"]+"', f'invoice="{_UNLIKE}"')),
    ),
    "another invoice for each scheme": (
        "two-invoices",
        _challenge(
            lambda answer: answer.edit("www-authenticate", '(L402 .*?invoice=)"[^"]+"', rf'\1"{_OTHER_INVOICE}"')
        ),
    ),
    "another amount in the body": ("wrong-amount", _challenge(lambda answer: answer.say(amount_sats=20))),
    "another invoice in the body": ("body-contradicts", _challenge(lambda answer: answer.say(invoice=_OTHER_INVOICE))),
    "another payment in the body": ("body-contradicts", _challenge(lambda answer: answer.say(payment_hash="00" * 32))),
    "another macaroon in the body": ("body-contradicts", _challenge(lambda answer: answer.say(macaroon="AAAA"))),
    "another status in the body": ("body-contradicts", _challenge(lambda answer: answer.say(status=401))),
    "a body without an end": ("challenge-too-long", _challenge(lambda answer: answer.say(more="x" * 70_000))),
    "one invoice for everybody": (
        "invoice-shared",
        _challenge(lambda answer: answer.put("www-authenticate", _OTHER)),
    ),
    "a 402 that caches keep": (
        "cacheable",
        _challenge(lambda answer: answer.put("cache-control", "public, max-age=60")),
    ),
    "a HEAD that is free": ("head", _where("HEAD", _status(200))),
    "a HEAD without a challenge": ("head", _where("HEAD", _status(402))),
    "any credential is served": ("served-unpaid", _with_credential(_status(200))),
    "a bad credential is the end": ("no-way-back", _with_credential(_status(403))),
    "a preflight that costs": ("preflight-charged", _where("OPTIONS", _status(402))),
    "a preflight that fails": ("cors-preflight", _where("OPTIONS", _status(405))),
    "a preflight without Authorization": (
        "cors-preflight",
        _where("OPTIONS", lambda answer: answer.put("access-control-allow-headers", "*")),
    ),
    "another origin": (
        "cors-origin",
        _challenge(lambda answer: answer.put("access-control-allow-origin", "https://other.example")),
    ),
    "two origins": (
        "cors-origin",
        _challenge(lambda answer: answer.headers.append(("access-control-allow-origin", "*"))),
    ),
    "a challenge that scripts do not see": (
        "cors-not-exposed",
        _challenge(lambda answer: answer.put("access-control-expose-headers", "Age")),
    ),
    "cookies for everybody": ("cors-credentials", _allow_cookies),
}


def openapi(amount: str) -> str:
    """A document that announces that price for /forecast."""
    offers = [{"intent": "charge", "method": "lightning", "amount": amount, "currency": "sat"}]
    return json.dumps({"openapi": "3.1.0", "paths": {"/forecast": {"get": {"x-payment-info": {"offers": offers}}}}})


def services(msat: int) -> str:
    """The same in the other document."""
    return json.dumps({"routes": [{"path": "/{any}", "price": {"type": "static", "amount_msat": msat}}]})


DOCUMENTS: Final = {
    "another price": ("wrong-price", "/openapi.json", openapi("20")),
    "another price in the list of services": ("wrong-price", "/.well-known/l402-services", services(20_000)),
    "no JSON": ("document-unreadable", "/openapi.json", "openapi: 3.1.0"),
    "no object": ("document-unreadable", "/.well-known/l402-services", "[]"),
    "too long": ("document-too-long", "/llms.txt", "x" * 70_000),
}
