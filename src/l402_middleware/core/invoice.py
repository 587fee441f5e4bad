"""BOLT 11 invoices: the fields that a seller has to check.

This reads what an invoice asks for; it does not pay. What BOLT 11 asks of a payer alone (to check the
signature, unknown even feature bits, a payment secret, one description) is left to the payer's wallet.
The signature proves which node is paid, and here that is whichever node our own backend names. An
invoice that was damaged on its way is caught by its checksum.
"""

import re
from dataclasses import dataclass

from . import bech32
from .errors import InvalidInvoice
from .money import MAX_MSAT, Msat

MAX_LENGTH = 4096
DEFAULT_EXPIRY = 3600

TIMESTAMP_GROUPS = 7
SIGNATURE_GROUPS = 104
HASH_GROUPS = 52

PAYMENT_HASH = ord("p")
PAYMENT_SECRET = ord("s")
DESCRIPTION = ord("d")
DESCRIPTION_HASH = ord("h")
EXPIRY = ord("x")

_URI_SCHEME = "lightning:"

# BOLT 11, "Human-Readable Part"; `sb` is lnd's prefix for btcd's simnet, which BOLT 11 does not name.
_NETWORKS = {"bc": "bitcoin", "tb": "testnet", "tbs": "signet", "bcrt": "regtest", "sb": "simnet"}
_HUMAN_READABLE = re.compile(r"ln(?P<network>[a-z]+)(?:(?P<amount>[1-9][0-9]{0,19})(?P<multiplier>[munp]?))?")

# In pico-bitcoin, ten of which are a millisatoshi.
_PICO = {"": 10**12, "m": 10**9, "u": 10**6, "n": 10**3, "p": 1}

# 60 bits: an expiry time then fits the signed 64-bit integers of every store.
_MAX_EXPIRY_GROUPS = 12


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a BOLT 11 invoice says.

    `bolt11` is the invoice itself, in lower case and without `lightning:`; `network` is `bitcoin`,
    `testnet`, `signet`, `regtest` or `simnet`; `amount` is `None` where the payer chooses it.
    `created_at` is in Unix seconds and `expiry` in seconds after that. Where a field is given more than
    once, the first one counts.
    """

    bolt11: str
    network: str
    amount: Msat | None
    payment_hash: bytes
    payment_secret: bytes | None
    created_at: int
    expiry: int
    description: str | None
    description_hash: bytes | None

    @property
    def expires_at(self) -> int:
        """The Unix second from which nobody should pay this invoice any more."""
        return self.created_at + self.expiry


def decode(bolt11: str) -> Invoice:
    """The fields of `bolt11`, in lower or upper case, with or without `lightning:` before it.

    Raises `InvalidInvoice`, and only that, for any other `str`: one longer than 4096 characters, a wrong
    checksum, an unknown network, an amount that is no whole number of millisatoshi, a field that runs out
    of the data, or no payment hash. The signature is not verified; the top of this module says why.
    """
    if len(bolt11) > MAX_LENGTH:
        raise InvalidInvoice(f"it has {len(bolt11)} characters, and {MAX_LENGTH} are allowed")
    has_scheme = bolt11[: len(_URI_SCHEME)].lower() == _URI_SCHEME
    text = bolt11[len(_URI_SCHEME) :] if has_scheme else bolt11
    prefix, groups = bech32.decode(text)
    network, amount = _human_readable(prefix)
    if len(groups) < TIMESTAMP_GROUPS + SIGNATURE_GROUPS:
        raise InvalidInvoice("the data is too short for a timestamp and a signature")
    fields = _tagged_fields(groups[TIMESTAMP_GROUPS:-SIGNATURE_GROUPS])
    payment_hash = _octets(fields, PAYMENT_HASH)
    if payment_hash is None:
        raise InvalidInvoice("there is no payment hash (field p)")
    return Invoice(
        bolt11=text.lower(),
        network=network,
        amount=amount,
        payment_hash=payment_hash,
        payment_secret=_octets(fields, PAYMENT_SECRET),
        created_at=bech32.to_number(groups[:TIMESTAMP_GROUPS]),
        expiry=_expiry(fields),
        description=_description(fields),
        description_hash=_octets(fields, DESCRIPTION_HASH),
    )


def _human_readable(prefix: str) -> tuple[str, Msat | None]:
    """BOLT 11, "Human-Readable Part": the network, and the amount or `None`."""
    match = _HUMAN_READABLE.fullmatch(prefix)
    if match is None:
        raise InvalidInvoice("the prefix is not 'ln', a network and an amount such as 2500u")
    network = _NETWORKS.get(match["network"])
    if network is None:
        raise InvalidInvoice("it is for a network that is not known")
    if match["amount"] is None:
        return network, None
    msat, fraction = divmod(int(match["amount"]) * _PICO[match["multiplier"]], 10)
    if fraction:
        raise InvalidInvoice("the amount is not a whole number of millisatoshi")
    if msat > MAX_MSAT:
        raise InvalidInvoice("the amount is more than 21 million bitcoin")
    return network, Msat(msat)


def _tagged_fields(groups: bytes) -> dict[int, bytes]:
    """BOLT 11, "Tagged Fields": the first of each type, by the type's letter.

    A hash or a secret of another length than 52 groups is skipped, as if it were of an unknown type:
    that is how the specification's own example "including fields which must be ignored" reads.
    """
    fields: dict[int, bytes] = {}
    position, end = 0, len(groups)
    while position < end:
        start = position + 3
        if start > end:
            raise InvalidInvoice("the data ends inside a field's type and length")
        kind = bech32.ALPHABET[groups[position]]
        position = start + (groups[position + 1] << 5 | groups[position + 2])
        if position > end:
            raise InvalidInvoice(f"field {chr(kind)} is longer than the data")
        if kind in (PAYMENT_HASH, PAYMENT_SECRET, DESCRIPTION_HASH) and position - start != HASH_GROUPS:
            continue
        fields.setdefault(kind, groups[start:position])
    return fields


def _octets(fields: dict[int, bytes], kind: int) -> bytes | None:
    groups = fields.get(kind)
    return None if groups is None else bech32.to_octets(groups)


def _description(fields: dict[int, bytes]) -> str | None:
    octets = _octets(fields, DESCRIPTION)
    try:
        return None if octets is None else octets.decode()
    except UnicodeDecodeError:
        raise InvalidInvoice("the description (field d) is not UTF-8") from None


def _expiry(fields: dict[int, bytes]) -> int:
    groups = fields.get(EXPIRY)
    if groups is None:
        return DEFAULT_EXPIRY
    if groups.startswith(b"\0"):
        raise InvalidInvoice("the expiry (field x) has leading zeros")
    if len(groups) > _MAX_EXPIRY_GROUPS:
        raise InvalidInvoice("the expiry (field x) is beyond any date")
    return bech32.to_number(groups)
