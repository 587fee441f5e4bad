"""Callers with TLS client certificates, on real connections: straight to the server, and through a real proxy."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx2
import pytest

from .certificates import Authority, Certificate
from .processes import free_port, nginx, node, shop

pytestmark = pytest.mark.slow

GUNICORN = ("gunicorn", "{app}:create()", "-b", "127.0.0.1:{port}", "--log-level", "warning")
ASGI = {
    "uvicorn": (
        "uvicorn",
        "{app}:create",
        "--factory",
        "--port",
        "{port}",
        "--log-level",
        "warning",
        "--no-proxy-headers",
    ),
    "hypercorn": ("hypercorn", "{app}:create()", "-b", "127.0.0.1:{port}", "--log-level", "warning"),
    "granian": ("granian", "{app}:create", "--factory", "--interface", "asgi", "--port", "{port}", "--no-ws"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whoever is trusted by everybody here."""
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def alice(authority: Authority) -> Certificate:
    """A customer."""
    return authority.issue("alice")


@pytest.fixture(scope="module")
def mallory(authority: Authority) -> Certificate:
    """Another one, with a certificate that is just as good."""
    return authority.issue("mallory")


Ask = Callable[..., httpx2.Response]


def asking(base_url: str, authority: Authority) -> Ask:
    """A function that asks for a path there: with a client certificate, a credential and headers."""

    def ask(
        path: str, certificate: Certificate | None = None, credential: str | None = None, **options: Any
    ) -> httpx2.Response:
        headers = options.pop("headers", {}) | ({"Authorization": credential} if credential else {})
        with httpx2.Client(
            base_url=base_url, verify=authority.context(certificate), trust_env=False, timeout=20, **options
        ) as client:
            return client.get(path, headers=headers)

    return ask


def buy(challenge: httpx2.Response) -> str:
    """The Authorization value that paying yields."""
    assert challenge.status_code == 402, challenge.text
    return f"L402 {challenge.json()['macaroon']}:{node().pay(challenge.json()['invoice']).hex()}"


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["code"]


def check(ask: Ask, alice: Certificate, mallory: Certificate) -> None:
    """What was sold to Alice's certificate opens for her, and for nobody who lacks her key."""
    credential = buy(ask("/by-tls", alice))
    for _ in range(2):
        assert ask("/by-tls", alice, credential).text == "for you"
        assert refusal(ask("/by-tls", mallory, credential)) == (402, "wrong-caller")
        assert refusal(ask("/by-tls", None, credential)) == (403, "unknown-caller")
    assert refusal(ask("/by-tls")) == (403, "unknown-caller")


def lies(certificate: Certificate) -> list[dict[str, str]]:
    """Headers in which somebody claims a certificate that is public, and no key that is not."""
    body = "".join(re.findall("^[A-Za-z0-9+/=]+$", certificate.pem, re.MULTILINE))
    escaped = certificate.pem.replace("\n", "%0A").replace(" ", "%20")
    return [
        {name: value}
        for name in ("Client-Cert", "Client_Cert", "client-cert", "SSL_CLIENT_CERT", "SSL-Client-Cert", "X-SSL-Cert")
        for value in (f":{body}:", escaped)
    ]


@pytest.mark.parametrize("worker", ["sync", "gthread"])
def test_gunicorn_sees_the_certificate(
    worker: str, tmp_path: Path, authority: Authority, alice: Certificate, mallory: Certificate
) -> None:
    """A WSGI server that terminates TLS itself, and asks for a certificate without insisting on one."""
    arguments = (
        *GUNICORN,
        *("-k", worker, "--certfile", str(authority.server.path), "--keyfile", str(authority.server.key_path)),
        *("--ca-certs", str(authority.certificate.path), "--cert-reqs", "1"),
    )
    with shop(arguments, "flask_shop", tmp_path) as port:
        ask = asking(f"https://127.0.0.1:{port}", authority)
        check(ask, alice, mallory)
        credential = buy(ask("/by-tls", alice))
        for headers in lies(alice):
            assert refusal(ask("/by-tls", mallory, credential, headers=headers)) == (402, "wrong-caller")


@pytest.mark.parametrize("server", ASGI)
def test_no_certificate_is_believed_that_no_proxy_handed_over(
    server: str, tmp_path: Path, authority: Authority, alice: Certificate
) -> None:
    """Case 87: without trusted proxies, and from an address that is none, the header is anybody's."""
    trusting = {
        "L402_TRUSTED_PROXIES": "10.0.0.0/8",
        "L402_FORWARDED_HEADER": "X-Forwarded-For",
        "L402_CERTIFICATE_HEADER": "Client-Cert",
    }
    for number, settings in enumerate(({}, trusting)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with shop(ASGI[server], "starlette_shop", folder, **settings) as port:
            ask = asking(f"http://127.0.0.1:{port}", authority)
            for headers in [{}, *lies(alice)]:
                assert refusal(ask("/by-tls", headers=headers)) == (403, "unknown-caller")


PROXY = """
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {server.path};
        ssl_certificate_key {server.key_path};
        ssl_client_certificate {authority.path};
        ssl_verify_client optional;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Client-Cert $ssl_client_escaped_cert;
        }}
    }}
"""


@pytest.fixture(params=[*ASGI, "gunicorn"])
def proxied(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, skip_or_fail: Callable[[str], NoReturn]
) -> Iterator[tuple[Ask, Ask]]:
    """A shop behind nginx, which terminates TLS; asked through nginx, and past it from an address of no proxy."""
    settings = {
        "L402_TRUSTED_PROXIES": "127.0.0.1",
        "L402_FORWARDED_HEADER": "X-Forwarded-For",
        "L402_CERTIFICATE_HEADER": "Client-Cert",
    }
    server, app = (GUNICORN, "flask_shop") if request.param == "gunicorn" else (ASGI[request.param], "starlette_shop")
    port = free_port()
    with shop(server, app, tmp_path, **settings) as upstream:
        http = PROXY.format(port=port, upstream=upstream, server=authority.server, authority=authority.certificate)
        with nginx(http, port, tmp_path, skip_or_fail):
            direct = asking(f"http://127.0.0.1:{upstream}", authority)
            yield asking(f"https://127.0.0.1:{port}", authority), direct


def test_nginx_hands_the_certificate_over(proxied: tuple[Ask, Ask], alice: Certificate, mallory: Certificate) -> None:
    """Cases 87, 88, 89: what a trusted proxy says counts, and nothing that a caller says beside it or past it."""
    ask, direct = proxied
    check(ask, alice, mallory)
    credential = buy(ask("/by-tls", alice))
    elsewhere = {"transport": httpx2.HTTPTransport(local_address="127.0.0.2")}
    for headers in lies(alice):
        assert refusal(ask("/by-tls", mallory, credential, headers=headers)) == (402, "wrong-caller")
        assert refusal(ask("/by-tls", None, credential, headers=headers)) == (403, "unknown-caller")
        assert refusal(direct("/by-tls", None, credential, headers=headers, **elsewhere)) == (403, "unknown-caller")
        elsewhere = {"transport": httpx2.HTTPTransport(local_address="127.0.0.2")}


def test_nginx_says_from_where(proxied: tuple[Ask, Ask], authority: Authority) -> None:
    """Case 88: behind a trusted proxy the address is its caller's, whatever the caller writes himself."""
    ask, direct = proxied

    def from_address(address: str) -> dict[str, Any]:
        return {
            "transport": httpx2.HTTPTransport(local_address=address, verify=authority.context(None)),
        }

    credential = buy(ask("/by-ip", **from_address("127.0.0.7")))
    for lie in ({}, {"X-Forwarded-For": "127.0.0.7"}, {"X_Forwarded_For": "127.0.0.7"}, {"Forwarded": "for=127.0.0.7"}):
        assert ask("/by-ip", None, credential, headers=lie, **from_address("127.0.0.7")).text == "for you"
        thief = ask("/by-ip", None, credential, headers=lie, **from_address("127.0.0.8"))
        assert refusal(thief) == (402, "wrong-caller")
        past = direct("/by-ip", None, credential, headers=lie, **from_address("127.0.0.8"))
        assert refusal(past) == (402, "wrong-caller")
