"""Asks a service what a crawler, a browser and a careful client ask it, and pays nothing."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urljoin

from ..client.asked import is_private_line, origin_of
from .announcements import DOCUMENTS, on_documents
from .answer import Ask, ServiceAnswer, l402_of
from .browser import ORIGIN, on_preflight
from .challenge import invoice_of, on_challenge
from .finding import Objection, fault, note, ok

# Well-formed, and of nobody: 32 zeros are the preimage of no invoice that a server would make.
_NO_PREIMAGE: Final = "00" * 32

_PREFLIGHT: Final = {"Origin": ORIGIN, "Access-Control-Request-Headers": "authorization"}


def examine(method: str, url: str, ask: Ask, now: float) -> Iterator[Objection]:
    """What others would hold against the service at `url`, as it is found; `now` is in unix seconds.

    It sends about ten requests, which cost the service up to six invoices that nobody pays. Raises what `ask` raises,
    and `ValueError` for what is no http or https URL.
    """
    if not is_private_line(origin_of(url)):
        yield fault("plain-http", "over plain HTTP anybody on the way can take what was paid for: serve it over HTTPS")
    first = ask(method, url, {"Origin": ORIGIN})
    if first.status != 402:
        yield _not_sold(first)
        return
    yield from on_challenge(url, first, now)
    yield from _on_second(first, ask(method, url, {}))
    if method == "GET":
        yield from _on_head(ask("HEAD", url, {}))
    yield from _on_bad_credentials(first, method, url, ask)
    preflight = ask("OPTIONS", url, _PREFLIGHT | {"Access-Control-Request-Method": method})
    yield from on_preflight(first, preflight)
    invoice = invoice_of(first)
    msat = None if invoice is None or invoice.amount is None else invoice.amount.msat
    documents = {name: ask("GET", urljoin(url, name), {}) for name in DOCUMENTS}
    yield from on_documents(documents, method, url, msat)


def _not_sold(answer: ServiceAnswer) -> Objection:
    match answer.status:
        case 429:
            wait = "" if answer.values("retry-after") else ", and does not say when to come again (Retry-After)"
            return fault("limited", f"the service counts this crawler as too many (429){wait}")
        case 301 | 302 | 303 | 307 | 308:
            where = b"".join(answer.values("location")).decode("latin-1")
            return fault("redirects", f"it redirects to {where}: careful clients pay nobody that a redirect names")
        case status if status >= 500:
            return fault("fails", f"the answer is {status}: nothing can be bought")
        case status if status >= 400:
            title = answer.members().get("title")
            why = f" ({title[:200]})" if isinstance(title, str) else ""
            return fault(
                "refused", f"the answer is {status}{why} before any price is named: crawlers list it as broken"
            )
        case status:
            return fault("not-sold", f"the answer is {status}, and nobody was asked to pay")


def _on_second(first: ServiceAnswer, second: ServiceAnswer) -> Iterator[Objection]:
    invoices = invoice_of(first), invoice_of(second)
    if second.status != 402:
        yield fault("unsteady", f"the same request is answered by 402 first and by {second.status} then")
    elif invoices[0] is not None and invoices[1] is not None and invoices[0].payment_hash == invoices[1].payment_hash:
        yield fault("invoice-shared", "two requests got the same invoice: one may use what the other paid for")


def _on_head(head: ServiceAnswer) -> Iterator[Objection]:
    if head.status != 402 or not head.offers:
        what = "without a challenge" if head.status == 402 else str(head.status)
        yield fault("head", f"HEAD, by which crawlers ask first, is answered by {what}")
    else:
        yield ok("head", "HEAD is answered by the same 402")


def _on_bad_credentials(first: ServiceAnswer, method: str, url: str, ask: Ask) -> Iterator[Objection]:
    l402 = l402_of(first.offers)
    shown = [("no credential at all", "L402 AAAA:00")]
    if l402 is not None:
        shown.append(("a token that was not paid for", f"L402 {l402.token}:{_NO_PREIMAGE}"))
    for what, authorization in shown:
        answer = ask(method, url, {"Authorization": authorization})
        if answer.status < 400:
            yield fault("served-unpaid", f"{what} was served with {answer.status}")
        elif answer.status not in (401, 402) or not answer.offers:
            yield fault("no-way-back", f"{what} is answered by {answer.status} and no new challenge: clients get stuck")
        elif answer.status == 401:
            yield note("status-401", f"{what} is answered by 401: some clients read a challenge in a 402 only")
        else:
            yield ok("recovers", f"{what} is answered by a 402 with a new challenge")
