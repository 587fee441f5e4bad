"""What a script in a browser can do with the service (Fetch standard, "CORS protocol")."""

from collections.abc import Iterator
from typing import Final

from .answer import ServiceAnswer
from .finding import Objection, fault, note, ok

ORIGIN: Final = "https://l402-check.example"
"""Whose page asks."""


def on_preflight(challenge: ServiceAnswer, preflight: ServiceAnswer) -> Iterator[Objection]:
    """What is to be said of a 402 that a page of `ORIGIN` got, and of the preflight of a request that pays."""
    if preflight.status in (401, 402):
        yield fault("preflight-charged", f"a browser's preflight is answered by {preflight.status}, and cannot pay")
        return
    allowed = [value.decode("latin-1") for value in challenge.values("access-control-allow-origin")]
    if not allowed:
        yield note("no-cors", "scripts of other origins cannot read the 402 (no Access-Control-Allow-Origin)")
        return
    if len(allowed) > 1 or allowed[0] not in ("*", ORIGIN):
        yield fault("cors-origin", "browsers refuse what Access-Control-Allow-Origin says to a page that asks")
        return
    if "true" in challenge.words("access-control-allow-credentials") and allowed[0] != "*":
        yield fault(
            "cors-credentials", "any page may use its visitors' cookies here (Access-Control-Allow-Credentials)"
        )
    exposed = challenge.words("access-control-expose-headers")
    if not exposed & {"www-authenticate", "*"}:
        yield fault("cors-not-exposed", "scripts may read the 402, but not WWW-Authenticate: expose that header")
    # A `*` does not stand for Authorization.
    is_allowed = preflight.words("access-control-allow-origin") & {"*", ORIGIN}
    if preflight.status not in range(200, 300) or not is_allowed:
        yield fault("cors-preflight", "scripts may read the 402, but their paid request fails at its preflight")
    elif "authorization" not in preflight.words("access-control-allow-headers"):
        yield fault("cors-preflight", "scripts may read the 402, but not send Authorization")
    else:
        yield ok("cors", "scripts of other origins can read the 402, and pay")
