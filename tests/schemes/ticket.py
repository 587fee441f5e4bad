"""A complete second scheme: the invoice's preimage with a ticket that names the sale, tagged with the service's key.

WWW-Authenticate: Ticket id="<sale>.<tag>", invoice="lnbc..."
Ticket-Authorization: <sale>.<tag>:<preimage in hex>
Ticket-Receipt: <sale>.<tag>
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import sha256

from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import Verified
from l402_middleware.core.money import Msat
from l402_middleware.schemes import CredentialFault, Fields, Offered, Reading, Sale, SchemeSettings, Shown

MALFORMED = CredentialFault("malformed-credential", "The ticket cannot be read.")
TWO = CredentialFault("several-credentials", "Send one ticket.", 400)
EXPIRED = CredentialFault("expired", "The ticket's time is over.")
UNPAID = CredentialFault("invalid-preimage", "The preimage is not this ticket's.")


class TicketScheme:
    """Tickets, in a field of their own; sold in whole sats, and to nobody who says `Accept-Ticket: no`."""

    name = "ticket"
    varies_with: Sequence[bytes] = (b"Ticket-Authorization", b"Accept-Ticket")

    def __init__(self, settings: SchemeSettings) -> None:
        self._keys = settings.keys.subkeys("ticket")

    def read(self, fields: Fields, now: float) -> Reading:
        """See `Scheme.read`."""
        values = [value for name, value in fields if name.lower() == b"ticket-authorization"]
        if not values:
            return Reading()
        if len(values) > 1:
            return Reading(fault=TWO)
        try:
            ticket, _, preimage = values[0].decode("ascii").partition(":")
            sale, _, tag = ticket.partition(".")
            [payment_hash, token_id, endpoint, msat, uses, request, until] = json.loads(urlsafe_b64decode(sale))
            if not any(hmac.compare_digest(tag, self._tag(key, sale)) for key in self._keys):
                raise ValueError("another's tag")
            if sha256(bytes.fromhex(preimage)).hexdigest() != payment_hash:
                return Reading(fault=UNPAID)
        except ValueError:
            return Reading(fault=MALFORMED)
        if until <= now:
            return Reading(fault=EXPIRED)
        terms = Terms(endpoint, Msat(msat), uses, request, until)
        verified = Verified(bytes.fromhex(payment_hash), bytes.fromhex(token_id), terms, until)
        return Reading((Shown(verified, self, ticket),))

    def challenge(self, sale: Sale, fields: Fields) -> Offered | None:
        """See `Scheme.challenge`."""
        terms, invoice = sale.terms, sale.invoice
        if terms.amount.msat % 1000 or (b"accept-ticket", b"no") in fields:
            return None
        parts = [invoice.payment_hash.hex(), sale.token_id.hex(), terms.endpoint, terms.amount.msat, terms.uses]
        text = urlsafe_b64encode(json.dumps([*parts, terms.request, terms.valid_until]).encode()).decode()
        ticket = f"{text}.{self._tag(self._keys[0], text)}"
        return Offered((f'Ticket id="{ticket}", invoice="{invoice.bolt11}"',), {"ticket": ticket})

    def receipt(self, shown: Shown, now: float) -> Sequence[tuple[bytes, bytes]]:
        """The ticket, once more."""
        return [(b"ticket-receipt", shown.reference.encode())]

    def problem_type(self, code: str) -> str:
        """Tickets have problems of their own."""
        return f"https://tickets.example/problems/{code}"

    def _tag(self, key: bytes, sale: str) -> str:
        return hmac.digest(key, sale.encode(), "sha256").hex()
