"""Selling by the Payment scheme's `charge` over Lightning: challenges issued and credentials verified, nothing stored.

The `id` of a challenge is base64url of

    token id (32 bytes)  |  the sale, as caveats, separated by line ends  |  HMAC-SHA256 (32 bytes)

The sale stands in it because one client echoes nothing but `id`, `realm`, `method`, `intent`, `request` and `expires`.
It is written as a macaroon's caveats are, so that both schemes sell in the same words; the token id is that of the
macaroon beside it, so that whoever revokes it closes both doors. The HMAC covers sale and token id and those five other
parameters, each behind its length: joined by a mere `|`, as the draft recommends, realm `a|b` with method `c` has the
tag of realm `a` with method `b|c`.
"""

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from . import base64url, rfc3339, strict_json
from .caveats import Caveats, Terms, UnknownCaveats
from .credential import Verified
from .errors import BadCredential, ConfigurationError
from .invoice import Invoice
from .keys import KeyRing
from .money import Msat
from .payment import CHARGE, METHOD, PaymentChallenge, PaymentCredential

TOKEN_ID_BYTES: Final = 32
_TAG_BYTES: Final = 32

# draft-lightning-charge-00, "Method Details": there is no name for the others.
_NETWORKS: Final = {"bitcoin": "mainnet", "regtest": "regtest", "signet": "signet"}

# Each other character locks out a client or two, and `|` is what the draft joins its own ids with.
_PLAIN: Final = re.compile(r"[ !#-+\--\[\]-{}~]*")
_NOT_PLAIN: Final = re.compile(r"[^ !#-+\--\[\]-{}~]+")
_MAX_DESCRIPTION: Final = 200

_PREIMAGE: Final = re.compile("[0-9a-f]{64}")


class ChargeIssuer:
    """Issues and verifies the Payment challenges of one service under one key ring.

    `realm` is what the challenges name as such: printable ASCII without quotes, commas, backslashes and bars. Raises
    `ConfigurationError` for another.
    """

    def __init__(self, service: str, realm: str, keys: KeyRing, unknown_caveats: UnknownCaveats = "skip") -> None:
        if not realm or not _PLAIN.fullmatch(realm):
            raise ConfigurationError(
                f"realm {realm!r}: use printable ASCII without quotes, commas, backslashes and bars"
            )
        self._caveats = Caveats(service, unknown_caveats)
        self._realm = realm
        self._keys = keys.subkeys("payment challenge")

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a ChargeIssuer is not pickled: its keys would leave the process")

    def issue(
        self,
        invoice: Invoice,
        token_id: bytes,
        terms: Terms,
        *,
        digest: str | None = None,
        description: str = "",
    ) -> PaymentChallenge:
        """A challenge for the sale that `invoice` pays for; `token_id` (32 bytes) is the macaroon's beside it.

        It ends with the invoice, or with the sale where that is sooner. `digest` is the body's, as RFC 9530 has it; of
        `description` stays what every client can read. Raises `ValueError` for what `can_charge` says no to.
        """
        if invoice.amount is None or not can_charge(invoice.network, invoice.amount):
            raise ValueError("the Payment scheme has whole sats only, on mainnet, signet and regtest")
        request = {
            "amount": str(invoice.amount.sats),
            "currency": "sat",
            "methodDetails": {
                "invoice": invoice.bolt11,
                "network": _NETWORKS[invoice.network],
                "paymentHash": invoice.payment_hash.hex(),
            },
        }
        encoded = base64url.encode(strict_json.canonical(request))
        expires = rfc3339.write(min(invoice.expires_at, terms.valid_until))
        signed = token_id + "\n".join(self._caveats.write(terms)).encode()
        tag = _tag(self._keys[0], (signed, *_octets(self._realm, METHOD, CHARGE, encoded, expires)))
        words = " ".join(_NOT_PLAIN.sub(" ", description).split())[:_MAX_DESCRIPTION]
        return PaymentChallenge(
            base64url.encode(signed + tag), self._realm, METHOD, CHARGE, encoded, expires, digest, words or None
        )

    def verify(self, credential: PaymentCredential, now: float) -> Verified:
        """The payment and the terms behind `credential`, at unix time `now`.

        Raises `BadCredential` with the code that says which check failed; `method-unsupported` wants a 400. Whether
        the terms fit the request and who sends it is the caller's to check.
        """
        shown = credential.challenge
        if shown.method != METHOD or shown.intent != CHARGE:
            raise BadCredential("method-unsupported")
        preimage_text = credential.payload.get("preimage")
        if not isinstance(preimage_text, str) or not _PREIMAGE.fullmatch(preimage_text):
            raise BadCredential("malformed-credential")
        preimage = bytes.fromhex(preimage_text)
        signed = self._signed(shown)
        payment_hash = bytes.fromhex(shown.request_members()["methodDetails"]["paymentHash"])
        if not hmac.compare_digest(sha256(preimage).digest(), payment_hash):
            raise BadCredential("invalid-preimage")
        caveats = signed[TOKEN_ID_BYTES:].split(b"\n")
        terms = self._caveats.read(caveats, preimage)
        # With an `expires` that we did not write there is no right tag.
        if terms.valid_until <= now or rfc3339.read(shown.expires or "") <= now:
            raise BadCredential("challenge-expired")
        return Verified(payment_hash, signed[:TOKEN_ID_BYTES], terms, self._caveats.sold_until(caveats))

    def _signed(self, shown: PaymentChallenge) -> bytes:
        """What the `id` says, once its tag is found to be ours."""
        try:
            raw = base64url.decode(shown.id)
        except ValueError:
            raise BadCredential("invalid-credential") from None
        signed, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        slots = _octets(shown.realm, shown.method, shown.intent, shown.request, shown.expires or "")
        for key in self._keys:
            if hmac.compare_digest(tag, _tag(key, (signed, *slots))):
                return signed
        raise BadCredential("invalid-credential")


def can_charge(network: str, amount: Msat) -> bool:
    """Whether the Payment scheme has words for this: whole sats, and no testnet. All else is sold by L402 alone."""
    return network in _NETWORKS and amount.msat % 1000 == 0


def _octets(*texts: str) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


def _tag(key: bytes, slots: Iterable[bytes]) -> bytes:
    return hmac.digest(key, b"".join(len(slot).to_bytes(4) + slot for slot in slots), "sha256")
