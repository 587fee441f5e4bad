"""Nodes without a network: LND, Core Lightning and phoenixd as their published APIs describe them.

Each keeps its invoices in memory, makes real signed ones on regtest, and is a server on a loopback port of its own.
What LND answers is as its `lightning.swagger.json` has it, what Core Lightning does as the schemas of `invoice` and
`listinvoices` and the answers of clnrest, and what phoenixd does as its API page.
"""

import base64
import datetime
import ipaddress
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from l402_middleware.core.keys import KeyRing, generate_key
from l402_middleware.core.money import Msat
from l402_middleware.flow import drive
from l402_middleware.providers import DevNode, InvoiceRequest
from l402_middleware.providers.devnode import _Identity

YEAR = 365 * 24 * 3600


@dataclass
class Kept:
    """One invoice of a node's."""

    bolt11: str
    preimage: bytes
    msat: int
    memo: str
    expiry: int
    label: str
    created_at: int
    index: int
    paid: bool = False

    @property
    def payment_hash(self) -> bytes:
        return sha256(self.preimage).digest()


@dataclass(frozen=True)
class _Chosen(_Identity):
    """The node's identity for an invoice whose preimage somebody else chose."""

    chosen: bytes

    def preimage(self, payment_secret: bytes) -> bytes:
        return self.chosen


class _Maker(DevNode):
    """Makes the invoices of `DevNode` over preimages from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.use_keys(KeyRing([generate_key()]))

    def make(self, msat: int, memo: str, expiry: int, preimage: bytes) -> str:
        """A signed invoice that this preimage settles."""
        own = self._identities[0]
        once = _Maker.__new__(_Maker)
        once.__dict__.update(self.__dict__, _identities=(_Chosen(own.signing_key, own.preimage_key, preimage),))
        return drive(DevNode.create_invoice(once, InvoiceRequest(Msat(msat), memo, expiry))).bolt11


class Emulator(BaseHTTPRequestHandler):
    """What the three have in common: a class for each, one instance for each request."""

    protocol_version = "HTTP/1.1"
    node: ClassVar["Node"]

    def answer(self, status: int, content: Any, kind: str = "application/json") -> None:
        """Send an answer: a text as it is, anything else as JSON."""
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def respond(self, body: str) -> None:
        """Answer the request; the emulator's own work."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.respond(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    do_POST = do_GET  # noqa: N815 - as http.server calls it

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the paths of requests are of no interest."""


@dataclass
class Node:
    """A running emulator, and the wallet in it."""

    secret: str = field(default_factory=lambda: secrets.token_hex(32))
    invoices: dict[bytes, Kept] = field(default_factory=dict)
    url: str = ""
    _maker: _Maker = field(default_factory=_Maker)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, msat: int, memo: str, expiry: int, *, preimage: bytes = b"", label: str = "") -> Kept:
        """A new invoice."""
        preimage = preimage or secrets.token_bytes(32)
        bolt11 = self._maker.make(msat, memo, expiry, preimage)
        with self._lock:
            kept = Kept(bolt11, preimage, msat, memo, expiry, label, int(time.time()), len(self.invoices) + 1)
            self.invoices[kept.payment_hash] = kept
        return kept

    def pay(self, bolt11: str) -> None:
        """Let the payment of an invoice arrive."""
        (kept,) = (kept for kept in self.invoices.values() if kept.bolt11 == bolt11)
        kept.paid = True


class LNDEmulator(Emulator):
    """LND's REST gateway, with an `invoice.macaroon` that is the node's secret and an `admin.macaroon` beside it."""

    def respond(self, body: str) -> None:
        macaroon = self.headers.get("Grpc-Metadata-macaroon", "")
        may_everything = macaroon == admin_macaroon(self.node.secret)
        match self.command, self.path.partition("?")[0].split("/")[1:]:
            case _ if not macaroon:
                self.fail(500, 2, "expected 1 macaroon, got 0")
            case _ if not (may_everything or macaroon == self.node.secret):
                self.fail(500, 2, "verification failed: signature mismatch after caveat verification")
            case "POST", ["v1", "invoices"]:
                self.add_invoice(body)
            case "GET", ["v1", "invoices"]:
                self.answer(200, {"invoices": [_lnd_invoice(kept) for kept in self.node.invoices.values()]})
            case "GET", ["v1", "invoice", payment_hash]:
                self.look_up(payment_hash)
            case "GET", ["v1", "getinfo"] if may_everything:
                self.answer(200, {"identity_pubkey": "02" * 33, "uris": [f"{'02' * 33}@127.0.0.1:9735"]})
            case "GET", ["v1", "balance", "channels"] if may_everything:
                self.answer(200, {"balance": "0", "local_balance": {"sat": "0", "msat": "0"}})
            case "GET", ["v1", "getinfo"] | ["v1", "balance", "channels"]:
                self.fail(500, 2, "permission denied")
            case _:
                self.fail(404, 5, "Not Found")

    def add_invoice(self, body: str) -> None:
        try:
            asked = json.loads(body)
            # Protobuf's JSON takes a 64-bit integer as a number or as a string.
            msat = int(asked.get("value_msat", 0)) or 1000 * int(asked.get("value", 0))
            expiry = int(asked.get("expiry", 0)) or 86400
            memo = str(asked.get("memo", ""))
            preimage = base64.b64decode(asked.get("r_preimage", ""), validate=True)
        except (ValueError, AttributeError):
            return self.fail(400, 3, "invalid value")
        if len(memo.encode()) > 639 or expiry > YEAR or msat <= 0:
            return self.fail(500, 2, "memo, expiry or value out of range")
        kept = self.node.add(msat, memo, expiry, preimage=preimage)
        return self.answer(
            200,
            {
                "r_hash": _base64(kept.payment_hash),
                "payment_request": kept.bolt11,
                "add_index": str(kept.index),
                "payment_addr": _base64(bytes(32)),
            },
        )

    def look_up(self, payment_hash: str) -> None:
        if not re.fullmatch("[0-9a-f]{64}", payment_hash):
            return self.fail(500, 2, "encoding/hex: invalid byte")
        kept = self.node.invoices.get(bytes.fromhex(payment_hash))
        return self.fail(404, 5, "unable to locate invoice") if kept is None else self.answer(200, _lnd_invoice(kept))

    def fail(self, status: int, code: int, message: str) -> None:
        self.answer(status, {"code": code, "message": message, "details": []})


def admin_macaroon(secret: str) -> str:
    """The hex of the macaroon that may do everything on the node whose invoice macaroon is `secret`."""
    return secret + "ad"


def _lnd_invoice(kept: Kept) -> dict[str, Any]:
    return {
        "memo": kept.memo,
        "r_preimage": _base64(kept.preimage),
        "r_hash": _base64(kept.payment_hash),
        "value": str(kept.msat // 1000),
        "value_msat": str(kept.msat),
        "settled": kept.paid,
        "creation_date": str(kept.created_at),
        "payment_request": kept.bolt11,
        "expiry": str(kept.expiry),
        "add_index": str(kept.index),
        "amt_paid_msat": str(kept.msat if kept.paid else 0),
        "state": "SETTLED" if kept.paid else "OPEN",
    }


class CoreLightningEmulator(Emulator):
    """The plugin clnrest, with one rune for `invoice` and `listinvoices`."""

    def respond(self, body: str) -> None:
        rune = self.headers.get("Rune")
        asked = json.loads(body or "{}")
        if rune is None:
            self.fail(403, 1501, "Not authorized: Missing rune")
        elif rune != self.node.secret:
            self.fail(401, 1502, "Rune is not valid")
        elif (self.command, self.path) == ("POST", "/v1/invoice"):
            self.invoice(asked)
        elif (self.command, self.path) == ("POST", "/v1/listinvoices"):
            found = [kept for kept in self.node.invoices.values() if _listed(kept, asked)]
            self.answer(201, {"invoices": [_cln_invoice(kept) for kept in found]})
        else:
            self.fail(401, 1502, "Invalid rune: Not permitted: method not equal to invoice")

    def invoice(self, asked: dict[str, Any]) -> None:
        wanting = {"amount_msat", "label", "description"} - asked.keys()
        if wanting or type(asked["amount_msat"]) is not int or asked["amount_msat"] <= 0:
            return self.fail(500, -32602, "missing or wrong parameter")
        if len(asked["description"].encode()) > 639:
            return self.fail(500, -32602, "Descriptions greater than 639 bytes not supported")
        if any(kept.label == asked["label"] for kept in self.node.invoices.values()):
            return self.fail(500, 900, "Duplicate label")
        kept = self.node.add(
            asked["amount_msat"], asked["description"], asked.get("expiry", 604800), label=asked["label"]
        )
        return self.answer(
            201,
            {
                "payment_hash": kept.payment_hash.hex(),
                "expires_at": kept.created_at + kept.expiry,
                "bolt11": kept.bolt11,
                "payment_secret": "00" * 32,
                "created_index": kept.index,
                "warning_capacity": "Insufficient incoming channel capacity to pay invoice",
            },
        )

    def fail(self, status: int, code: int, message: str) -> None:
        self.answer(status, {"code": code, "message": message, "data": None})


def _listed(kept: Kept, asked: dict[str, Any]) -> bool:
    return asked.get("payment_hash") in (None, kept.payment_hash.hex())


def _cln_invoice(kept: Kept) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "label": kept.label,
        "bolt11": kept.bolt11,
        "payment_hash": kept.payment_hash.hex(),
        "amount_msat": kept.msat,
        "status": "unpaid",
        "description": kept.memo,
        "expires_at": kept.created_at + kept.expiry,
        "created_index": kept.index,
    }
    paid = {"status": "paid", "amount_received_msat": kept.msat, "payment_preimage": kept.preimage.hex()}
    return {**shown, **(paid if kept.paid else {})}


class PhoenixdEmulator(Emulator):
    """phoenixd's HTTP API, with its password for limited access. Its failures are plain text."""

    def respond(self, body: str) -> None:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(encoded).decode().partition(":")[2] if scheme == "Basic" else ""
        payment_hash = re.fullmatch("/payments/incoming/([0-9a-f]{64})", self.path)
        if given != self.node.secret:
            self.fail(401, "Invalid authentication (use basic auth with the http password set in phoenix.conf)")
        elif (self.command, self.path) == ("POST", "/createinvoice"):
            self.create_invoice({name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()})
        elif self.command == "GET" and payment_hash:
            kept = self.node.invoices.get(bytes.fromhex(payment_hash[1]))
            self.fail(404, "Not found") if kept is None else self.answer(200, _phoenixd_payment(kept))
        else:
            self.fail(404, "Unknown endpoint (check api doc)")

    def create_invoice(self, asked: dict[str, str]) -> None:
        if self.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            return self.fail(415, "")
        if "description" not in asked:
            return self.fail(400, "Must provide either a description or descriptionHash")
        # Kotlin counts in units of UTF-16.
        if len(asked["description"].encode("utf-16-le")) > 2 * 128:
            return self.fail(400, "Request parameter description is too long (max 128 characters)")
        try:
            sat, expiry = int(asked["amountSat"]), int(asked.get("expirySeconds", "3600"))
        except ValueError:
            return self.fail(400, "Invalid type for parameter (must be integer)")
        kept = self.node.add(1000 * sat, asked["description"], expiry)
        return self.answer(200, {"amountSat": sat, "paymentHash": kept.payment_hash.hex(), "serialized": kept.bolt11})

    def fail(self, status: int, message: str) -> None:
        self.answer(status, message, "text/plain; charset=UTF-8")


def as_phoenixd_cuts(memo: str) -> str:
    """The most of a memo that phoenixd takes: 128 units of UTF-16, and no half of a character."""
    cut = memo[:128]
    while len(cut.encode("utf-16-le")) > 2 * 128:
        cut = cut[:-1]
    return cut


def _phoenixd_payment(kept: Kept) -> dict[str, Any]:
    return {
        "type": "incoming_payment",
        "subType": "lightning",
        "paymentHash": kept.payment_hash.hex(),
        "preimage": kept.preimage.hex(),
        "description": kept.memo,
        "invoice": kept.bolt11,
        "isPaid": kept.paid,
        "isExpired": False,
        "requestedSat": kept.msat // 1000,
        "receivedSat": kept.msat // 1000 if kept.paid else 0,
        "fees": 0,
        "createdAt": 1000 * kept.created_at,
    }


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or does not trust the certificate, is nothing to report."""


@contextmanager
def running(emulator: type[Emulator], node: Node, tls: Path | None = None) -> Generator[Node]:
    """Serve a node until the block ends: with TLS where `tls` is a folder from `certificate`."""
    handler: Callable[..., BaseHTTPRequestHandler] = type("Handler", (emulator,), {"node": node})
    with _Server(("127.0.0.1", 0), handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls / "tls.cert", tls / "tls.key")
            # Each connection shakes hands in its own thread.
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        node.url = f"http{'' if tls is None else 's'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield node
        finally:
            server.shutdown()
            thread.join()


def certificate(
    folder: Path, *, names: tuple[str, ...] = ("localhost",), expired: bool = False, signer: Path | None = None
) -> Path:
    """`folder` with a `tls.cert` and a `tls.key` in it, as LND makes them: ECDSA, its own authority, 14 months.

    With `signer`, another such folder, that one is the authority, as Core Lightning does it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    number = x509.random_serial_number()
    # No two authorities have the same name.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{names[0]} {number % 10**9}")])
    issuer, issuer_key = (name, key) if signer is None else _authority(signer)
    begins = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=800 if expired else 1)
    addresses = [ipaddress.ip_address("127.0.0.1")] if "localhost" in names else []
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(begins)
        .not_valid_after(begins + datetime.timedelta(days=14 * 30))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_encipherment=True,
                key_cert_sign=signer is None,
                content_commitment=False,
                data_encipherment=False,
                key_agreement=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tls.cert").write_bytes(built.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    return folder


def _authority(folder: Path) -> tuple[x509.Name, ec.EllipticCurvePrivateKey]:
    key = serialization.load_pem_private_key((folder / "tls.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return x509.load_pem_x509_certificate((folder / "tls.cert").read_bytes()).subject, key
