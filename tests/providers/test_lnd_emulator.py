"""The emulated LND, judged by clients of LND's REST API that others wrote."""

import json
import os
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from l402_middleware.core.invoice import decode
from l402_middleware.core.money import msats

from ..real import lab
from .emulators import LNDEmulator, Node, admin_macaroon, certificate, running

pytestmark = pytest.mark.slow

CLIENTS = Path(__file__).with_name("clients")


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    """The folder of the node's certificate."""
    return certificate(tmp_path / "lnd")


@pytest.fixture
def node(tls: Path) -> Iterator[Node]:
    """A running LND."""
    with running(LNDEmulator, Node(secret="0201036c6e64" + os.urandom(32).hex()), tls) as node:
        yield node


def done(folder: Path, interpreter: str, script: str, job: Any, **settings: str) -> Any:
    """What a script in `clients/` makes of a job: the last line that it prints."""
    process = subprocess.run(
        [interpreter, CLIENTS / script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **settings},
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def test_lnbits_makes_and_looks_up_invoices(node: Node, tls: Path, tmp_path: Path) -> None:
    """LNbits' `LndRestWallet` sees a balance, gets an invoice over its own preimage, and learns that it was paid."""
    python = lab.virtualenv("lnbits", lab._lnbits_python(), lab._LNBITS)
    settings = {
        "LND_REST_ENDPOINT": node.url,
        "LND_REST_CERT": str(tls / "tls.cert"),
        "LND_REST_MACAROON": admin_macaroon(node.secret),
        "LNBITS_DATA_FOLDER": str(tmp_path),
    }

    def ask(job: Any) -> Any:
        return done(tmp_path, str(python), "lnbits_lnd_wallet.py", job, **settings)

    made = ask({"invoices": [{"amount": 21, "memo": "⚡ Wetter", "expiry": 900}], "hashes": []})
    assert (made["error"], made["balance"]) == (None, 0)
    ((ok, payment_hash, bolt11, preimage),) = made["invoices"]
    invoice = decode(bolt11)
    assert ok is True
    assert (invoice.amount, invoice.description, invoice.expiry) == (msats(21_000), "⚡ Wetter", 900)
    assert payment_hash == invoice.payment_hash.hex() == sha256(bytes.fromhex(preimage)).hexdigest()

    unpaid = node.add(1_000, "other", 60)
    node.pay(bolt11)
    hashes = [payment_hash, unpaid.payment_hash.hex(), "00" * 32]
    assert ask({"invoices": [], "hashes": hashes})["paid"] == [True, None, None]


def test_lightning_backends_makes_and_looks_up_invoices(node: Node, tls: Path, tmp_path: Path) -> None:
    """The npm package lightning-backends reads address, balance, invoices and their state."""
    program, npm = lab.program("node"), lab.program("npm")

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            (folder / name).write_bytes((CLIENTS / name).read_bytes())
        lab.command(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", folder=folder)

    folder = lab.installed("lnd-client", (CLIENTS / "package-lock.json").read_text(), install)
    macaroon = tmp_path / "admin.macaroon"
    macaroon.write_bytes(bytes.fromhex(admin_macaroon(node.secret)))
    paid, unpaid = node.add(1_500, "paid", 60), node.add(2_000, "unpaid", 60)
    node.pay(paid.bolt11)
    job = {
        "url": node.url,
        "cert": str(tls / "tls.cert"),
        "macaroon": str(macaroon),
        "msat": [1, 21_000],
        "hashes": [paid.payment_hash.hex(), unpaid.payment_hash.hex()],
    }

    found = done(folder, program, "lightning_backends.cjs", job)

    assert found["uri"].endswith("@127.0.0.1:9735")
    assert found["balance"] == 0
    assert [decode(bolt11).amount for bolt11 in found["invoices"]] == [msats(1), msats(21_000)]
    assert found["statuses"] == [
        {"preimage": paid.preimage.hex(), "settled": True},
        {"preimage": unpaid.preimage.hex(), "settled": False},
    ]
