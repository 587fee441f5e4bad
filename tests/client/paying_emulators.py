"""The paying side of LND, Core Lightning and phoenixd, as their published APIs describe it, and of LNbits.

Each pays the invoices of a development node, once, and keeps what became of each payment.
"""

import base64
import json
import re
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs

from l402_middleware.client import Outgoing
from l402_middleware.client.wallet import FAILED, PENDING
from l402_middleware.core.invoice import decode
from tests.providers.emulators import Emulator, Node

from .shops import Bank


@dataclass
class PayingNode(Node):
    """A node that pays; `fates` says what becomes of a payment, by its hash, where it is not simply made."""

    bank: Bank = field(default_factory=Bank)
    outgoing: dict[str, Outgoing] = field(default_factory=dict)
    fates: dict[str, Outgoing] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paying: threading.Lock = field(default_factory=threading.Lock)

    def send(self, bolt11: str) -> tuple[str, Outgoing, bool]:
        """Pay: the hash, what became of it, and whether it was begun before."""
        payment_hash = decode(bolt11).payment_hash.hex()
        with self.paying:
            if payment_hash in self.outgoing and self.outgoing[payment_hash].fate != "failed":
                return payment_hash, self.outgoing[payment_hash], True
            outcome = self.fates.get(payment_hash)
            if outcome is None:
                outcome = Outgoing("paid", self.bank.pay(bolt11), 1000)
            self.outgoing[payment_hash] = outcome
        return payment_hash, outcome, False


def hex_of(outcome: Outgoing) -> str:
    """The preimage, zeros where there is none, as nodes have it."""
    return (outcome.preimage or bytes(32)).hex()


class PayingEmulator(Emulator):
    """A node that pays."""

    node: ClassVar[PayingNode]


class PayingLND(PayingEmulator):
    """LND's router, over its REST gateway."""

    def respond(self, body: str) -> None:
        match self.command, self.path.partition("?")[0].split("/")[1:]:
            case _ if self.headers.get("Grpc-Metadata-macaroon") != self.node.secret:
                self.answer(500, {"code": 2, "message": "verification failed", "details": []})
            case "POST", ["v2", "router", "send"]:
                self.node.asked.append(json.loads(body))
                _, outcome, again = self.node.send(self.node.asked[-1]["payment_request"])
                if again:
                    self.answer(409, {"error": {"code": 6, "message": "invoice is already paid", "details": []}})
                else:
                    self.stream(outcome)
            case "GET", ["v2", "router", "track", encoded]:
                outcome = self.node.outgoing.get(base64.urlsafe_b64decode(encoded).hex(), Outgoing("unknown"))
                if outcome.fate == "unknown":
                    self.answer(404, {"error": {"code": 5, "message": "payment isn't initiated", "details": []}})
                else:
                    self.stream(outcome)
            case _:
                self.answer(404, {"code": 5, "message": "Not Found", "details": []})

    def stream(self, outcome: Outgoing) -> None:
        status = {"paid": "SUCCEEDED", "failed": "FAILED", "pending": "IN_FLIGHT"}[outcome.fate]
        result = {"status": status, "payment_preimage": hex_of(outcome), "fee_msat": str(outcome.fee_msat)}
        self.answer(200, {"result": result})


class PayingCoreLightning(PayingEmulator):
    """`pay` and `listpays`, over clnrest."""

    def respond(self, body: str) -> None:
        asked = json.loads(body or "{}")
        if self.headers.get("Rune") != self.node.secret:
            self.answer(401, {"code": 1502, "message": "Rune is not valid", "data": None})
        elif self.path == "/v1/pay":
            self.node.asked.append(asked)
            payment_hash, outcome, _ = self.node.send(asked["bolt11"])
            if outcome.fate == "paid":
                amounts = {"amount_msat": 21_000, "amount_sent_msat": 21_000 + outcome.fee_msat}
                paid = {"payment_hash": payment_hash, "payment_preimage": hex_of(outcome), "status": "complete"}
                self.answer(201, {**paid, **amounts})
            else:
                self.answer(500, {"code": 210, "message": "Ran out of routes to try", "data": None})
        elif self.path == "/v1/listpays":
            outcome = self.node.outgoing.get(asked["payment_hash"], Outgoing("unknown"))
            status = {"paid": "complete"}.get(outcome.fate, outcome.fate)
            amounts = {"amount_msat": 21_000, "amount_sent_msat": 21_000 + outcome.fee_msat}
            listed = {"status": status, "preimage": hex_of(outcome), **amounts}
            failed_before = {"status": "failed"}
            self.answer(201, {"pays": [] if outcome.fate == "unknown" else [failed_before, listed]})
        else:
            self.answer(401, {"code": 1502, "message": "Invalid rune: Not permitted", "data": None})


class PayingPhoenixd(PayingEmulator):
    """`payinvoice` and `payments/outgoingbyhash`."""

    def respond(self, body: str) -> None:
        scheme, _, encoded = self.headers.get("Authorization", "").partition(" ")
        given = base64.b64decode(encoded).decode().partition(":")[2] if scheme == "Basic" else ""
        found = re.fullmatch("/payments/outgoingbyhash/([0-9a-f]{64})", self.path)
        if given != self.node.secret:
            self.answer(401, "Invalid authentication", "text/plain; charset=UTF-8")
        elif (self.command, self.path) == ("POST", "/payinvoice"):
            asked = parse_qs(body)
            self.node.asked.append(dict(asked))
            payment_hash, outcome, again = self.node.send(asked["invoice"][0])
            if outcome.fate == "paid" and not again:
                fee = outcome.fee_msat // 1000
                self.answer(
                    200,
                    {
                        "recipientAmountSat": 21, "routingFeeSat": fee, "paymentId": "id",
                        "paymentHash": payment_hash, "paymentPreimage": hex_of(outcome),
                    },
                )  # fmt: skip
            else:
                self.answer(200, {"paymentHash": payment_hash, "reason": "this invoice has already been paid"})
        elif found and (known := self.node.outgoing.get(found[1])) is not None:
            shown: dict[str, Any] = {"isPaid": known.fate == "paid", "fees": known.fee_msat, "paymentHash": found[1]}
            shown["preimage"] = hex_of(known) if known.fate == "paid" else None
            shown["completedAt"] = None if known.fate == "pending" else 1
            self.answer(200, shown)
        else:
            self.answer(404, "Not found", "text/plain; charset=UTF-8")


class PayingLNbits(PayingEmulator):
    """`/api/v1/payments`, with the Admin key."""

    def respond(self, body: str) -> None:
        known = self.headers.get("X-Api-Key") == self.node.secret
        found = re.fullmatch("/api/v1/payments/([0-9a-f]{64})", self.path)
        if self.command == "POST" and not known:
            self.answer(404, {"detail": "Wallet not found."})
        elif self.command == "POST":
            asked = json.loads(body)
            self.node.asked.append(asked)
            payment_hash, outcome, again = self.node.send(asked["bolt11"])
            if again or outcome.fate == "failed":
                self.answer(520, {"detail": "Payment failed", "status": "failed"})
            else:
                status = {"paid": "success"}.get(outcome.fate, outcome.fate)
                preimage = hex_of(outcome) if outcome.fate == "paid" else None
                fields = {"status": status, "preimage": preimage, "fee": -outcome.fee_msat, "amount": -21_000}
                self.answer(201, {"payment_hash": payment_hash, **fields})
        elif found and (kept := self.node.outgoing.get(found[1])) is not None:
            status = {"paid": "success"}.get(kept.fate, kept.fate)
            details = {"status": status, "amount": -21_000, "fee": -kept.fee_msat}
            shown = {"paid": kept.fate == "paid", "preimage": hex_of(kept)}
            self.answer(200, {**shown, "details": details} if known else shown)
        else:
            self.answer(404, {"detail": "Payment does not exist."})


FATES = {"pending": PENDING, "failed": FAILED}
