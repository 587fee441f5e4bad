"""OpenAPI: what a document says of the operations that are sold."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from .core.fiat import Fiat
from .core.money import Msat
from .paywall.offer import Offer
from .paywall.service import Service

# What a document calls the schemes that a paywall names so.
_SECURITY: Final = {"l402": "L402", "payment": "Payment"}

_LINES: Final = {
    "l402": '`L402 macaroon="...", invoice="...", version="0", token="..."`',
    "payment": '`Payment id="...", realm="...", method="lightning", intent="charge", request="...", expires="..."`',
}
_PROBLEM: Final = {
    "type": {"type": "string", "format": "uri"},
    "title": {"type": "string", "description": "One sentence for people."},
    "status": {"type": "integer"},
    "code": {"type": "string", "description": "Stable, for programs."},
}
_CHALLENGE: Final = _PROBLEM | {
    "macaroon": {"type": "string", "description": "Base64; sent back in `Authorization`."},
    "token": {"type": "string", "description": "The same as `macaroon`."},
    "invoice": {"type": "string", "description": "BOLT 11."},
    "payment_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    "amount_sats": {"type": "integer", "description": "Rounded up."},
    "amount_msat": {"type": "integer"},
    "price_sats": {"type": "integer", "description": "The same as `amount_sats`."},
    "expires_at": {"type": "integer", "description": "The unix second until which the invoice can be paid."},
}
_SECURITY_SCHEMES: Final = {
    "L402": {
        "type": "http",
        "scheme": "L402",
        "description": "`Authorization: L402 <macaroon>:<preimage>`. The macaroon and an invoice come with a 402; "
        "paying the invoice gives the preimage, 64 hex digits.",
    },
    "Payment": {
        "type": "http",
        "scheme": "Payment",
        "description": "`Authorization: Payment <base64url of JSON>`, with the challenge of a 402 and the preimage "
        "that paying its invoice gives (draft-httpauth-payment-00, method `lightning`, intent `charge`).",
    },
}
# A macaroon comes where L402 is spoken.
_ALWAYS: Final = tuple(name for name in _CHALLENGE if name not in ("macaroon", "token"))


def _response(description: str, schema: str, header: str, kind: str, about: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {header: {"description": about, "required": True, "schema": {"type": kind}}},
        "content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/L402{schema}"}}},
    }


def _components(schemes: Sequence[str]) -> dict[str, dict[str, Any]]:
    names = tuple(_CHALLENGE) if "l402" in schemes else _ALWAYS
    challenge = {name: _CHALLENGE[name] for name in names}
    return {
        "securitySchemes": {_SECURITY[name]: _SECURITY_SCHEMES[_SECURITY[name]] for name in schemes},
        "schemas": {
            f"L402{name}": {"type": "object", "title": f"L402{name}", "properties": members, "required": list(members)}
            for name, members in (("Challenge", challenge), ("Problem", _PROBLEM))
        },
    }


def _responses(schemes: Sequence[str]) -> dict[str, dict[str, Any]]:
    wait = ("Retry-After", "integer", "Seconds.")
    return {
        "402": _response(
            "Payment required: pay the invoice, then repeat the request.",
            "Challenge",
            "WWW-Authenticate",
            "string",
            " and ".join(_LINES[name] for name in schemes) + (", each a line of its own" if len(schemes) > 1 else ""),
        ),
        "409": _response("Every use of the credential is held, or the payment is on its way.", "Problem", *wait),
        "503": _response("No invoice, rate or ledger can be had at the moment; nothing was charged.", "Problem", *wait),
    }


def add_prices(
    document: dict[str, Any],
    sold: Mapping[tuple[str, str], Offer],
    schemes: Sequence[str] = ("l402", "payment"),
) -> None:
    """Say in an OpenAPI document, 3.0 or 3.1, what the operations (path, method in lower case) in `sold` cost.

    Each gets the responses 402, 409 and 503 where it has none, one of the security schemes `L402` and `Payment` beside
    its others, a sentence in its description, an `x-l402` with the numbers, and crawlers' `x-payment-info`. Said twice
    it is said once. `schemes` are the paywall's.
    """
    for (path, method), offer in sold.items():
        operation = document.get("paths", {}).get(path, {}).get(method)
        if operation is None or "x-l402" in operation:
            continue
        # An empty list of an operation's own says that the document's does not count.
        others = operation.get("security", document.get("security")) or [{}]
        operation["security"] = [{**each, _SECURITY[name]: []} for each in others for name in schemes]
        operation["responses"] = _responses(schemes) | operation.get("responses", {})
        description = operation.get("description")
        operation["description"] = f"{description}\n\n{_sentence(offer)}" if description else _sentence(offer)
        operation["x-l402"] = _numbers(offer)
        operation["x-payment-info"] = {"offers": [_payment_offer(offer)]}
        components = document.setdefault("components", {})
        for kind, members in _components(schemes).items():
            components.setdefault(kind, {}).update(members)


def add_service(document: dict[str, Any], service: Service) -> None:
    """Say in an OpenAPI document what the service is, in the words of `x-service-info`."""
    addresses = {"homepage": service.homepage, "apiReference": service.docs, "llms": service.llms}
    document["x-service-info"] = {
        "categories": list(service.categories),
        "docs": {name: address for name, address in addresses.items() if address},
    }


def _payment_offer(offer: Offer) -> dict[str, Any]:
    """As crawlers read it: whole sats, or null where only the 402 says them."""
    price = offer.price
    found = {"intent": "charge", "method": "lightning", "currency": "sat"}
    described = offer.memo or (str(price) if isinstance(price, Fiat) else "")
    about = {"description": described} if described else {}
    return {**found, "amount": str(price.sats) if isinstance(price, Msat) else None, **about}


def _sentence(offer: Offer) -> str:
    if callable(offer.price):
        return "Costs what the request asks for: the 402 names the price."
    uses = {None: "as often as you like while it is valid", 1: "once"}.get(offer.uses, f"{offer.uses} times")
    return f"Costs {offer.price}, good for calling this {uses}."


def _numbers(offer: Offer) -> dict[str, Any]:
    price: dict[str, Any] = {}
    if isinstance(offer.price, Msat):
        price = {"amount_msat": offer.price.msat}
    elif isinstance(offer.price, Fiat):
        price = {"amount": f"{offer.price.amount:f}", "currency": offer.price.currency}
    return price | {
        "uses": offer.uses,
        "valid_for": offer.valid_for,
        "bind": "request" if offer.binds_request else "endpoint",
    }
