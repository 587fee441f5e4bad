"""What the service announces of itself, compared with what it asks for."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from .answer import ServiceAnswer
from .finding import Objection, fault, note, ok

OPENAPI: Final = "/openapi.json"
SERVICES: Final = "/.well-known/l402-services"
LLMS: Final = "/llms.txt"
DOCUMENTS: Final = (OPENAPI, SERVICES, LLMS)


def on_documents(answers: Mapping[str, ServiceAnswer], method: str, url: str, msat: int | None) -> Iterator[Objection]:
    """What is to be said of the documents of that name, with `msat` as the price that a request for `url` was asked."""
    missing = [name for name, answer in answers.items() if answer.status in (404, 405, 410)]
    if missing:
        yield note("not-announced", f"programs find nothing at {', '.join(missing)}")
    for name, answer in answers.items():
        if name not in missing:
            yield from _on_document(name, answer, method, url, msat)


def _on_document(name: str, answer: ServiceAnswer, method: str, url: str, msat: int | None) -> Iterator[Objection]:
    if answer.status in (401, 402):
        yield fault("document-charged", f"{name} is answered by {answer.status}: nobody can read what there is to buy")
    elif answer.status != 200:
        yield fault("document-fails", f"{name} is answered by {answer.status}")
    elif answer.is_cut:
        yield fault("document-too-long", f"{name} is longer than 64 KiB: indexes stop reading")
    elif name != LLMS:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            yield fault("document-unreadable", f"{name} is no JSON object")
            return
        yield from _on_price(name, document, method, url, msat)


def _on_price(name: str, document: dict[str, Any], method: str, url: str, msat: int | None) -> Iterator[Objection]:
    path = unquote(urlsplit(url).path) or "/"
    found = list(_announced(name, document, "GET" if method == "HEAD" else method, path))
    if not found:
        yield note("endpoint-not-announced", f"{name} says nothing of {method} {path}")
        return
    fixed = {each for each in found if each is not None}
    # What is announced in another currency, or depends on the request, is not compared.
    if msat is not None and any(_rounded(each) != _rounded(msat) for each in fixed):
        listed = ", ".join(f"{each} msat" for each in sorted(fixed))
        yield fault("wrong-price", f"{name} announces {listed}, and the invoice asks for {msat} msat")
    else:
        yield ok("announced", f"{name} says what it costs")


def _rounded(msat: int) -> int:
    """In sats: some wallets make invoices of whole ones only."""
    return -(-msat // 1000)


def _announced(name: str, document: dict[str, Any], method: str, path: str) -> Iterator[int | None]:
    """The prices, in msat, that a document has for a request; None for one that is not said in bitcoin."""
    if name == OPENAPI:
        for template, operations in _pairs(document.get("paths")):
            info = _members(_members(_members(operations).get(method.lower())).get("x-payment-info"))
            if info and _is_of(template, path):
                yield from (_of_offer(_members(each)) for each in _list(info.get("offers")))
    else:
        for each in map(_members, _list(document.get("services"))):
            named = str(each.get("endpoint", ""))
            if each.get("method", "GET") == method and _is_of(urlsplit(named).path, path):
                yield None
        for each in map(_members, _list(document.get("routes"))):
            if each.get("method", method) == method and _is_of(str(each.get("path", "")), path):
                amount = _members(each.get("price")).get("amount_msat")
                yield amount if type(amount) is int else None


def _of_offer(offer: dict[str, Any]) -> int | None:
    amount = offer.get("amount")
    if offer.get("currency") == "sat" and isinstance(amount, str) and re.fullmatch("[0-9]{1,16}", amount):
        return 1000 * int(amount)
    return None


def _is_of(template: str, path: str) -> bool:
    """Whether a path may be one of a template, such as /items/{id}."""
    parts = re.split(r"\{[^{}]*\}", unquote(template))
    return re.fullmatch(".+".join(map(re.escape, parts)), path) is not None


def _members(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _pairs(value: object) -> list[tuple[str, Any]]:
    return list(_members(value).items())


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
