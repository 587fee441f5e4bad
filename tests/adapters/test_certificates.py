"""The TLS client certificate, as servers and proxies tell it, and as they must not be believed."""

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Thread
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.serving import make_server

from l402_middleware import ConfigurationError, Paywall
from l402_middleware.credentials import inspect
from l402_middleware.flask import L402
from l402_middleware.flask import l402_required as flask_l402_required
from l402_middleware.ledgers import MemoryLedger
from l402_middleware.paywall.caller_binding import certificate_in_header, from_pem
from l402_middleware.providers import DevNode
from l402_middleware.starlette import L402Middleware, l402_required

from ..paywall.shop import ask
from ..proxies.certificates import Authority

DER = bytes(range(256)) * 3
PEM = ssl.DER_cert_to_PEM_cert(DER)
OTHER = ssl.DER_cert_to_PEM_cert(b"another")
PRINT = sha256(DER).hexdigest()
BEHIND_A_PROXY: dict[str, Any] = {
    "trusted_proxies": ["127.0.0.1"],
    "forwarded_header": "X-Forwarded-For",
    "certificate_header": "Client-Cert",
}


def paywall(**options: Any) -> Paywall:
    """A paywall with a development node."""
    return Paywall(DevNode(), ledger=MemoryLedger(), secret_keys=["0123456789abcdef" * 4], **options)


def bound_to(answer: Any) -> str | None:
    """The fingerprint in a challenge; None where the caller is unknown."""
    content = answer.get_json() if callable(getattr(answer, "get_json", None)) else answer.json()
    if (answer.status_code, content["code"]) == (403, "unknown-caller"):
        return None
    assert answer.status_code == 402
    macaroon = inspect(content["macaroon"])["macaroon"]
    assert isinstance(macaroon, dict)
    caveats = macaroon["caveats"]
    assert isinstance(caveats, list)
    return caveats[3].removeprefix("l402_tls=")


def asgi(extensions: dict[str, Any] | None, headers: dict[str, str] | None = None, **options: Any) -> str | None:
    """What a Starlette application binds to, where its server says this in `extensions`."""

    @l402_required(price=5, bind_caller="tls")
    async def goods(request: Request) -> Response:
        return PlainTextResponse("goods")

    app = Starlette(routes=[Route("/", goods)], middleware=[Middleware(L402Middleware, paywall=paywall(**options))])

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if extensions is not None:
            scope["extensions"] = extensions
        await app(scope, receive, send)

    client = TestClient(served, client=("127.0.0.1", 50000))
    return bound_to(client.get("/", headers=headers))


def wsgi(environ: dict[str, Any], headers: dict[str, str] | None = None, **options: Any) -> str | None:
    """What a Flask application binds to, where its server says this in the environ."""
    app = flask_app(**options)
    return bound_to(app.test_client().get("/", environ_overrides=environ, headers=headers or {}))


def flask_app(**options: Any) -> Flask:
    """An application that sells to certificates."""
    app = Flask(__name__)
    L402(app, paywall(**options))

    @app.get("/")
    @flask_l402_required(price=5, bind_caller="tls")
    def goods() -> str:
        return "goods"

    return app


@pytest.mark.parametrize(
    ("extensions", "expected"),
    [
        (None, None),
        ({}, None),
        ({"tls": {}}, None),
        ({"tls": {"client_cert_chain": []}}, None),
        ({"tls": {"client_cert_chain": None}}, None),
        ({"tls": {"client_cert_chain": [PEM, OTHER], "client_cert_error": None}}, PRINT),
        ({"tls": {"client_cert_chain": (PEM,)}}, PRINT),
        ({"tls": {"client_cert_chain": [PEM], "client_cert_error": "expired"}}, None),
        ({"tls": {"client_cert_chain": ["junk"]}}, None),
    ],
)
def test_asgi_tls_extension(extensions: dict[str, Any] | None, expected: str | None) -> None:
    """The chain's first certificate, unless the server says that it could not be verified."""
    assert asgi(extensions) == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"SSL_CLIENT_CERT": PEM}, PRINT),
        ({"SSL_CLIENT_CERT": PEM, "SSL_CLIENT_VERIFY": "SUCCESS"}, PRINT),
        ({"SSL_CLIENT_CERT": PEM, "SSL_CLIENT_VERIFY": "GENEROUS"}, PRINT),
        ({"SSL_CLIENT_CERT": PEM, "SSL_CLIENT_VERIFY": "FAILED:expired"}, None),
        ({"SSL_CLIENT_CERT": PEM, "SSL_CLIENT_VERIFY": "NONE"}, None),
        ({"SSL_CLIENT_CERT": "", "SSL_CLIENT_VERIFY": "NONE"}, None),
        ({"SSL_CLIENT_CERT": "junk"}, None),
        ({"HTTP_SSL_CLIENT_CERT": PEM}, None),
        ({"gunicorn.socket": "no socket"}, None),
    ],
)
def test_wsgi_variables(environ: dict[str, Any], expected: str | None) -> None:
    """Apache's variables; a certificate that was not proved is none, and a header is no variable."""
    assert wsgi(environ) == expected


@contextmanager
def werkzeug(authority: Authority) -> Iterator[str]:
    """The development server with TLS, which asks for a certificate; gives its URL."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate.path))
    context.load_cert_chain(authority.server.path, authority.server.key_path)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = make_server("127.0.0.1", 0, flask_app(), ssl_context=context)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_werkzeug_sees_the_certificate(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Werkzeug's development server tells it as Apache does, on a real connection."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    alice = authority.issue("alice")
    with werkzeug(authority) as url:
        for certificate in (alice, None):
            with httpx2.Client(verify=authority.context(certificate), trust_env=False) as client:
                assert bound_to(client.get(url)) == (certificate.fingerprint if certificate else None)


@pytest.mark.parametrize(
    ("value", "certificate"),
    [
        (f":{b64encode(DER).decode()}:", DER),
        (f" :{b64encode(DER).decode()}:\t", DER),
        (quote(PEM), DER),
        (quote(PEM, safe="+=/"), DER),
        (quote("\n " + PEM), DER),
        (":AA==:", b"\0"),
        (f"\x0b:{b64encode(DER).decode()}:", None),
        (f":{b64encode(DER).decode()}:\xa0", None),
        (f"X:{b64encode(DER).decode()}:X", None),
        (f"{quote(PEM)}:", DER),
        (quote(PEM + OTHER), DER),
        (PEM.replace("\n", "\n\t").strip(), DER),
        ("", None),
        (":", None),
        ("::", None),
        (":AA:", None),
        (":A A A A:", None),
        (":AAAA:, :BBBB:", None),
        (":AAAA:;x=1", None),
        (b64encode(DER).decode(), None),
        ("(null)", None),
        (quote(PEM)[:-20], None),
        (quote("text before " + PEM), None),
        ("-----BEGIN CERTIFICATE----------END CERTIFICATE-----", None),
        (quote("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), None),
    ],
)
def test_what_a_proxy_sends(value: str, certificate: bytes | None) -> None:
    """RFC 9440's byte sequence, or percent-encoded PEM, whole and alone; anything else is no certificate."""
    raw = value.encode("latin-1")
    assert certificate_in_header(ask(headers=[(b"client-cert", raw)]), "Client-Cert") == certificate
    assert certificate_in_header(ask(headers=[(b"client-cert", raw)] * 2), "Client-Cert") is None
    assert certificate_in_header(ask(headers=[(b"client-cert", raw)]), None) is None
    assert certificate_in_header(ask(headers=[(b"client-cert", raw)]), "X-SSL-Cert") is None


@given(st.binary(max_size=60), st.sampled_from([b"", b":", b"-----BEGIN CERTIFICATE-----", b"%"]))
def test_any_header_is_read_or_none(middle: bytes, around: bytes) -> None:
    """No bytes raise anything."""
    certificate_in_header(ask(headers=[(b"client-cert", around + middle + around)]), "Client-Cert")
    from_pem((around + middle).decode("latin-1"))


FORWARDED = {"Client-Cert": f":{b64encode(DER).decode()}:"}


def test_a_header_counts_behind_a_trusted_proxy_only() -> None:
    """Case 87: the same header from the proxy, from anybody else, and where the operator named no header."""
    proxy, stranger = {"REMOTE_ADDR": "127.0.0.1"}, {"REMOTE_ADDR": "127.0.0.2"}
    assert wsgi(proxy, FORWARDED, **BEHIND_A_PROXY) == PRINT
    assert wsgi(stranger, FORWARDED, **BEHIND_A_PROXY) is None
    assert wsgi(proxy, FORWARDED) is None
    assert wsgi(proxy, FORWARDED, **BEHIND_A_PROXY | {"certificate_header": None}) is None
    assert asgi(None, FORWARDED, **BEHIND_A_PROXY) == PRINT
    assert asgi(None, FORWARDED, **BEHIND_A_PROXY | {"trusted_proxies": ["10.0.0.1"]}) is None


def test_the_proxys_own_certificate_is_not_its_callers() -> None:
    """Where proxy and application use TLS between them, the connection's certificate says nothing of the caller."""
    own = {"tls": {"client_cert_chain": [OTHER]}}
    assert asgi(own, {}, **BEHIND_A_PROXY) is None
    assert asgi(own, FORWARDED, **BEHIND_A_PROXY) == PRINT
    assert wsgi({"REMOTE_ADDR": "127.0.0.1", "SSL_CLIENT_CERT": OTHER}, {}, **BEHIND_A_PROXY) is None
    # Somebody who is no proxy shows his own.
    assert wsgi({"REMOTE_ADDR": "127.0.0.2", "SSL_CLIENT_CERT": PEM}, {}, **BEHIND_A_PROXY) == PRINT


@pytest.mark.parametrize(
    "options",
    [
        {"certificate_header": "Client-Cert"},
        BEHIND_A_PROXY | {"certificate_header": ""},
        BEHIND_A_PROXY | {"certificate_header": "Client Cert"},
        BEHIND_A_PROXY | {"certificate_header": "Client-Cert:"},
    ],
)
def test_refuses_a_header_that_anybody_could_write(options: dict[str, Any]) -> None:
    """Without trusted proxies there is nobody to believe; and it must be a header's name."""
    with pytest.raises(ConfigurationError, match="certificate_header"):
        paywall(**options)
