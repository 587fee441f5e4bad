"""The embedded backend for development: real, signed regtest invoices, and a wallet that pays them.

No Lightning node, no network, no storage: signing key and preimages derive from the key ring and from
the payment secret inside each invoice, so every worker with the same keys can pay what another one made.
Nobody ever pays it real money, so it refuses to start anywhere but in development.
"""

import hmac
import ipaddress
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ..core import bech32, invoice
from ..core.errors import ConfigurationError, InvalidInvoice, ProviderError
from ..core.keys import KeyRing
from ..core.money import Msat
from ..flow import Flow
from ..invoicing.provider import CreatedInvoice, InvoiceRequest
from .registry import BACKENDS

if TYPE_CHECKING:
    from coincurve import PrivateKey

WALLET_PATH = "/dev/wallet/pay"

MIN_FINAL_CLTV = 18
FEATURES = 1 << 8 | 1 << 14  # BOLT 9: var_onion_optin and payment_secret, both compulsory

_MULTIPLIERS = {"": 10**11, "m": 10**8, "u": 10**5, "n": 10**2}  # in msat
_ENVIRONMENT_NAMES = ("L402_ENV", "ENV", "APP_ENV", "FLASK_ENV")
_PRODUCTION = {"prod", "production", "live"}
_FORWARDING_HEADERS = {b"forwarded", b"via", b"x-real-ip"}


class WalletRefusal(ProviderError):
    """The development wallet does not pay this; `status` and `code` say why to a program."""

    def __init__(self, status: int, code: str, title: str) -> None:
        self.status = status
        self.code = code
        super().__init__("rejected", title)


@dataclass(frozen=True, slots=True, repr=False)
class _Identity:
    """The node as one secret of the ring makes it."""

    signing_key: "PrivateKey"
    preimage_key: bytes

    def preimage(self, payment_secret: bytes) -> bytes:
        return hmac.digest(self.preimage_key, payment_secret, "sha256")

    def seal(self, prefix: str, groups: bytes) -> str:
        """BOLT 11, "Data Part": the invoice, signed. RFC 6979: the same input gives the same invoice."""
        bits = 5 * len(groups)
        padded = (bech32.to_number(groups) << -bits % 8).to_bytes(-(-bits // 8), "big")
        signature = self.signing_key.sign_recoverable(prefix.encode("ascii") + padded)
        return bech32.encode(prefix, groups + bech32.from_octets(signature))


class DevNode:
    """A `Provider` for development that needs nothing: no node, no account, no money.

    `clock` gives the time in Unix seconds and `token_bytes` random bytes. Raises `ConfigurationError`
    unless `L402_DEV=1` is set, where `L402_ENV`, `ENV`, `APP_ENV` or `FLASK_ENV` says production, and
    without the extra `dev`.
    """

    network = "regtest"
    granularity_msat = 1

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.time,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        _require_development(os.environ)
        self._private_key: type[PrivateKey] = BACKENDS["dev"].required().PrivateKey
        self._clock = clock
        self._token_bytes = token_bytes
        self._identities: tuple[_Identity, ...] = ()

    def use_keys(self, keys: KeyRing) -> None:
        """Become the node that `keys` make. Call it at start-up: a worker may be asked to pay first."""
        self._identities = tuple(
            _Identity(self._private_key(signing_key), preimage_key)
            for signing_key, preimage_key in zip(
                keys.subkeys("devnode signing key"), keys.subkeys("devnode preimage"), strict=True
            )
        )

    def create_invoice(self, request: InvoiceRequest) -> Flow[CreatedInvoice]:
        """A signed BOLT 11 invoice on regtest; yields no request. `ConfigurationError` before `use_keys`."""
        yield from ()
        newest = self._known_identities()[0]
        payment_secret = self._token_bytes(32)
        payment_hash = sha256(newest.preimage(payment_secret)).digest()
        groups = b"".join(
            (
                bech32.from_number(int(self._clock()), invoice.TIMESTAMP_GROUPS),
                _field("p", bech32.from_octets(payment_hash)),
                _field("s", bech32.from_octets(payment_secret)),
                _field("d", bech32.from_octets(request.memo.encode())),
                _field("x", _shortest(request.expiry)),
                _ALWAYS,
            )
        )
        return CreatedInvoice(newest.seal(f"lnbcrt{_amount(request.amount)}", groups), payment_hash)

    def is_settled(self, payment_hash: bytes) -> Flow[bool]:
        """Always: nobody knows a preimage of this node's but whom its wallet told."""
        yield from ()
        return True

    def pay(self, bolt11: str) -> bytes:
        """The 32-byte preimage of an invoice that a node with one of these keys made.

        Raises `WalletRefusal`, a `ProviderError` of kind `rejected`, for a string that is no invoice, for an
        invoice of another node or an altered one, and for an expired one.
        """
        try:
            wanted = invoice.decode(bolt11)
        except InvalidInvoice as error:
            raise WalletRefusal(400, "invalid-invoice", f"This is no BOLT 11 invoice: {error}.") from None
        preimage = self._preimage(wanted)
        if preimage is None:
            raise WalletRefusal(404, "foreign-invoice", "This development node did not make that invoice.")
        if wanted.expires_at <= self._clock():
            raise WalletRefusal(400, "expired-invoice", "The invoice has expired; request a new one.")
        return preimage

    def close(self) -> None:
        """Nothing to give up."""

    async def aclose(self) -> None:
        """Nothing to give up."""

    def answer_wallet(
        self, query: str, peer: str | None, headers: Iterable[tuple[bytes, bytes]]
    ) -> tuple[int, dict[str, str]]:
        """The status and the JSON body that answer `GET` on `WALLET_PATH`; no request makes it raise.

        `query` is the raw query string, `peer` the address at the other end of the connection. 200 with
        `preimage` in hex; otherwise `code` and `title`: 403 unless the peer is this machine itself and no
        proxy forwarded the request, 400 for anything but one valid, unexpired `invoice`, 404 for an
        invoice that this node did not make.
        """
        try:
            if not _is_loopback(peer) or any(_tells_of_a_proxy(name) for name, _ in headers):
                raise WalletRefusal(403, "not-local", "The development wallet answers this machine only.")
            return 200, {"preimage": self.pay(_only_invoice(query)).hex()}
        except WalletRefusal as refusal:
            return refusal.status, {"code": refusal.code, "title": str(refusal)}

    def _known_identities(self) -> tuple[_Identity, ...]:
        if not self._identities:
            raise ConfigurationError("DevNode has no keys yet: give it to a Paywall, or call use_keys()")
        return self._identities

    def _preimage(self, wanted: invoice.Invoice) -> bytes | None:
        """The preimage, where signing the invoice's contents again gives the very same invoice."""
        prefix, groups = bech32.decode(wanted.bolt11)
        contents = groups[: -invoice.SIGNATURE_GROUPS]
        for identity in self._known_identities():
            if wanted.payment_secret is not None and identity.seal(prefix, contents) == wanted.bolt11:
                return identity.preimage(wanted.payment_secret)
        return None


def _require_development(environ: Mapping[str, str]) -> None:
    for name in _ENVIRONMENT_NAMES:
        if environ.get(name, "").strip().lower() in _PRODUCTION:
            raise ConfigurationError(
                f"DevNode gives everything away for nothing, and {name}={environ[name]} says that this is "
                "production: use a real provider such as LNbits, LND or Phoenixd there"
            )
    if environ.get("L402_DEV") != "1":
        raise ConfigurationError(
            "DevNode gives everything away for nothing: set L402_DEV=1 in the environment where that is "
            "wanted, or use a real provider such as LNbits, LND or Phoenixd"
        )


def _amount(amount: Msat) -> str:
    """BOLT 11, "Human-Readable Part": the shortest representation."""
    for letter, msat in _MULTIPLIERS.items():
        if amount.msat % msat == 0:
            return f"{amount.msat // msat}{letter}"
    return f"{amount.msat * 10}p"


def _field(kind: str, groups: bytes) -> bytes:
    """BOLT 11, "Tagged Fields": type, length and data."""
    return bytes((bech32.ALPHABET.index(kind.encode("ascii")), len(groups) >> 5, len(groups) & 31)) + groups


def _shortest(number: int) -> bytes:
    return bech32.from_number(number, -(-number.bit_length() // 5))


def _is_loopback(peer: str | None) -> bool:
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # a dual-stack socket shows 127.0.0.1 as ::ffff:127.0.0.1
    return (mapped or address).is_loopback


def _tells_of_a_proxy(header: bytes) -> bool:
    name = header.lower().replace(b"_", b"-")
    return name in _FORWARDING_HEADERS or name.startswith(b"x-forwarded-")


def _only_invoice(query: str) -> str:
    invoices = [value for name, value in parse_qsl(query, keep_blank_values=True) if name == "invoice"]
    if len(invoices) != 1:
        raise WalletRefusal(400, "missing-invoice", "Name the invoice to pay: ?invoice=lnbcrt..., once.")
    return invoices[0]


_ALWAYS = _field("c", _shortest(MIN_FINAL_CLTV)) + _field("9", _shortest(FEATURES))
