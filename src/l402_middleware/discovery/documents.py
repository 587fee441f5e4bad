"""The documents, each from the same list: OpenAPI, /.well-known/l402-services and llms.txt."""

import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

from ..core.fiat import Fiat
from ..core.money import Msat
from ..openapi import add_prices, add_service
from ..paywall.paywall import Paywall
from ..paywall.response import Response
from ..paywall.service import Service
from .sold import Sold, found_in

# No index reads more.
MAX_BYTES: Final = 64 * 1024

_HEADERS: Final = [
    (b"cache-control", b"max-age=300"),
    # Nothing here is a secret, and scripts of any page may look for something to buy.
    (b"access-control-allow-origin", b"*"),
]

log = logging.getLogger("l402_middleware")


def document_for(app: object, paywall: Paywall, method: str, mount: str, path: str) -> Response | None:
    """The document at `path`, below `mount`, for a request to `app`; None where there is none of ours.

    `app` is what is sold: an application, or the middleware around it. A path that it has itself stays its own.
    """
    service = paywall.discovery
    if service is None or method not in ("GET", "HEAD") or path not in service.paths:
        return None
    found = found_in(app)
    if path in found.paths:
        return None
    base = f"{(service.url or '').rstrip('/')}{quote(mount, errors='surrogateescape')}"
    make, kind = _MAKERS[(service.openapi, service.services, service.llms).index(path)]
    body = _within_bounds(lambda sold: make(service, sold, base, paywall.schemes), found.sold)
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *_HEADERS]
    return Response(200, headers, body)


def _within_bounds(make: Callable[[Sequence[Sold]], bytes], sold: Sequence[Sold]) -> bytes:
    """The document, of as much of what is sold as there is room for."""
    body, listed = make(sold), len(sold)
    while len(body) > MAX_BYTES and listed:
        listed = listed * MAX_BYTES // (len(body) + MAX_BYTES // 20)
        body = make(sold[:listed])
    if listed < len(sold):
        log.warning("a document of what is sold has room for %d of %d endpoints in 64 KiB", listed, len(sold))
    return body


def _openapi(service: Service, sold: Sequence[Sold], base: str, schemes: Sequence[str]) -> bytes:
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": service.name, "version": "1", "description": service.description},
        "paths": {},
    }
    if base:
        document["servers"] = [{"url": base}]
    offers = {}
    for each in _by_http(sold):
        operation: dict[str, Any] = {"responses": {"200": {"description": "What was paid for."}}}
        names = [part[1:-1] for part in each.path.split("/") if part.startswith("{") and part.endswith("}")]
        if names:
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
        document["paths"].setdefault(each.path, {})[each.method.lower()] = operation
        offers[each.path, each.method.lower()] = each.offer
    add_prices(document, offers, schemes)
    add_service(document, service)
    return _json(document)


def _services(service: Service, sold: Sequence[Sold], base: str, schemes: Sequence[str]) -> bytes:
    """Both forms that are known, which do not clash: 402index's, and that of ngx-l402."""
    about = {"name": service.name, "description": service.description}
    document: dict[str, Any] = {
        "version": "1",
        **about,
        "protocols": [_PROTOCOLS.get(name, name) for name in schemes],
        "service": about | _given(operator=service.operator, contact=service.contact),
        "payment_methods": [{"type": "lightning"}],
        **_given(
            openapi_url=service.openapi and f"{base}{service.openapi}",
            docs_url=service.docs or service.homepage,
            llms_txt_url=service.llms and f"{base}{service.llms}",
        ),
        "services": [],
        "routes": [],
    }
    for each in _by_http(sold):
        entry = {"endpoint": f"{base}{each.path}", "method": each.method}
        document["services"].append(entry | _given(description=each.offer.memo))
        document["routes"].append(
            {"path": each.path, "method": each.method, "price": _price(each), "caveats_required": []}
        )
    return _json(document)


def _llms(service: Service, sold: Sequence[Sold], base: str, schemes: Sequence[str]) -> bytes:
    lines = [f"# {service.name}", ""]
    if service.description:
        lines += [f"> {service.description}", ""]
    lines += [
        "Each endpoint below costs bitcoin, paid over Lightning for each request. Send a request without a credential:",
        "the answer is 402 with an invoice, in `WWW-Authenticate` and in the JSON body. Pay the invoice, then send the",
        "same request again with `Authorization: L402 <macaroon>:<preimage>`; the preimage, 64 hex digits, is the",
        "proof of payment that the wallet gives. A payment is kept only for a delivered answer.",
        "",
        "## Endpoints",
        "",
    ]
    for each in sold:
        memo = f": {each.offer.memo}" if each.offer.memo else ""
        lines.append(f"- `{each.method} {base}{each.path}` {_cost(each)}{memo}")
    example = next((each for each in _by_http(sold) if each.method == "GET"), None)
    if example is not None:
        lines += ["", "## Example", "", "```sh", f"curl -i '{base}{example.path}'", "```"]
    pages = _given(
        OpenAPI=service.openapi and f"{base}{service.openapi}", Documentation=service.docs or service.homepage
    )
    if pages:
        lines += ["", "## More", "", *(f"- [{name}]({address})" for name, address in pages.items())]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


_MAKERS: Final = (
    (_openapi, b"application/json"),
    (_services, b"application/json"),
    (_llms, b"text/plain; charset=utf-8"),
)

# How indexes name the schemes.
_PROTOCOLS: Final = {"l402": "L402", "payment": "Payment"}


def _by_http(sold: Sequence[Sold]) -> list[Sold]:
    """What a request can buy: no WebSocket, and no preflight."""
    return [each for each in sold if each.method not in ("WEBSOCKET", "OPTIONS")]


def _price(sold: Sold) -> dict[str, Any]:
    match sold.price:
        case Msat() as amount:
            return {"type": "static", "amount_msat": amount.msat}
        case Fiat() as amount:
            return {"type": "dynamic", "amount": f"{amount.amount:f}", "currency": amount.currency}
        case _:
            return {"type": "dynamic"}


def _cost(sold: Sold) -> str:
    uses = {None: "any number of requests", 1: "one request"}.get(sold.offer.uses, f"{sold.offer.uses} requests")
    return "costs what the request asks for" if sold.price is None else f"costs {sold.price} for {uses}"


def _given(**members: str | None) -> dict[str, str]:
    return {name: value for name, value in members.items() if value}


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
