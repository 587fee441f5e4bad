"""`l402 doctor`, run as an operator runs it, on settings that work and on settings that do not."""

import json
import os
import re
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from l402_middleware.core.keys import generate_key
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.ledgers.ledger import Total, day_of

from .ledgers.postgres_server import PASSWORD, QUOTED, PostgresServer, programs
from .providers.emulators import Emulator, Node, running

pytestmark = pytest.mark.slow

COMMAND = Path(sysconfig.get_path("scripts")) / "l402"
SECRET = "5ecre7" * 8
KEYS = [generate_key(), generate_key()]


class LNbitsEmulator(Emulator):
    """The two calls that are made of LNbits, refused without the node's secret."""

    settled = False

    def respond(self, body: str) -> None:
        if self.headers.get("X-Api-Key") != self.node.secret:
            self.answer(401, {"detail": f"wrong key {self.headers.get('X-Api-Key')}"})
        elif self.command == "POST":
            asked = json.loads(body)
            kept = self.node.add(asked["amount"] * 1000, asked["memo"], asked["expiry"])
            self.answer(201, {"bolt11": kept.bolt11, "payment_hash": kept.payment_hash.hex()})
        else:
            self.answer(200, {"paid": self.settled})


class Gullible(LNbitsEmulator):
    """A backend that takes everything for paid."""

    settled = True


@pytest.fixture
def lnbits() -> Iterator[Node]:
    """A running LNbits, on regtest."""
    with running(LNbitsEmulator, Node(secret=SECRET)) as node:
        yield node


def url_of(node: Node, key: str = SECRET, network: str = "&network=regtest") -> str:
    """The node as L402_PROVIDER names it."""
    return f"lnbits+{node.url}?invoice_key={key}{network}"


def doctor(folder: Path, *arguments: str, **settings: str) -> tuple[int, str]:
    """The exit status and all output of the command; no secret is in it, nor a traceback."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("L402_") and name not in ("ENV", "APP_ENV", "FLASK_ENV", "WEB_CONCURRENCY")
    }
    done = subprocess.run(
        [COMMAND, "doctor", *arguments],
        cwd=folder,
        env=inherited | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    for secret in (SECRET, *KEYS, "hunter2"):
        assert secret not in output
    return done.returncode, output


def lines(output: str, check: str) -> list[str]:
    """What is said about one check: status, finding and remedy in one line each."""
    joined = output.replace(f"\n{'':18} mend it:", " mend it:").splitlines()
    return [" ".join(line.split()) for line in joined if line.split()[1] == check]


def healthy(node: Node) -> dict[str, str]:
    """Settings with which all is well."""
    return {"L402_PROVIDER": url_of(node), "L402_LEDGER": "sqlite:///l402.db", "L402_SECRET_KEYS": ",".join(KEYS)}


def test_all_is_well(tmp_path: Path, lnbits: Node) -> None:
    """Each check finds what is there, one invoice over one sat is made, and an existing ledger's totals stay."""
    ledger = SQLiteLedger(tmp_path / "l402.db")
    today = day_of(time.time())
    ledger.count([Total(today, "GET /", "offered", 2)]).block()
    status, output = doctor(tmp_path, **healthy(lnbits))
    assert status == 0
    assert lines(output, "settings") == ["ok settings 3 are set, and can be read"]
    assert lines(output, "keys") == [
        "ok keys 2 of 64 bytes or more in L402_SECRET_KEYS; the last one signs, and all verify"
    ]
    (held,) = lines(output, "ledger")
    assert held.startswith(f"ok ledger SQLiteLedger {tmp_path}/l402.db can be read and written")
    made, asked = lines(output, "provider")
    assert f"LNbits lnbits+{lnbits.url} made an invoice for 1 sat on regtest in " in made
    assert asked.endswith("this one has not")
    assert lines(output, "clock") == ["ok clock the wallet's clock and this machine's agree within 30 s"]
    assert lines(output, "start")[0].startswith("ok ")
    assert ledger.totals(today, today).block() == [Total(today, "GET /", "offered", 2)]
    ledger.close()
    (invoice,) = lnbits.invoices.values()
    assert (invoice.msat, invoice.expiry) == (1000, 600)


def test_the_development_node_and_no_ledger_yet(tmp_path: Path) -> None:
    """`dev:` is a warning and no failure; a ledger that is not there is not made, and the trial leaves nothing."""
    settings = {"L402_PROVIDER": "dev:", "L402_DEV": "1"}
    status, output = doctor(tmp_path, **settings, L402_LEDGER="sqlite:///l402.db")
    assert status == 0
    assert lines(output, "provider")[0].startswith("warning provider DevNode gives everything away")
    assert "a trial file in its folder can be read and written" in lines(output, "ledger")[0]
    assert lines(output, "keys")[0].startswith("ok keys none are set: the ledger will make one")
    assert list(tmp_path.iterdir()) == []
    status, output = doctor(tmp_path, **settings)
    assert status == 0
    assert lines(output, "ledger")[0].startswith("warning ledger MemoryLedger")


def test_for_programs(tmp_path: Path, lnbits: Node) -> None:
    """The same findings as JSON, and the same exit status."""
    status, output = doctor(tmp_path, "--json", **healthy(lnbits))
    report: dict[str, Any] = json.loads(output)
    assert (status, report["ok"]) == (0, True)
    assert {finding["check"] for finding in report["findings"]} == {
        *("settings", "ledger", "keys", "provider", "clock", "limit", "start")
    }
    status, output = doctor(tmp_path, "--json", L402_PROVIDER="lndbits://me:hunter2@127.0.0.1")
    assert status == 1
    assert json.loads(output[: output.rindex("}") + 1])["ok"] is False


def test_no_invoice(tmp_path: Path, lnbits: Node) -> None:
    """With --no-invoice nobody is asked, and that is said."""
    status, output = doctor(tmp_path, "--no-invoice", **healthy(lnbits))
    assert status == 0
    assert "nobody was asked" in lines(output, "provider")[0]
    assert not lnbits.invoices


def test_the_amount(tmp_path: Path, lnbits: Node) -> None:
    """A wallet that takes no single sat can be tried with more."""
    assert doctor(tmp_path, "--amount", "21", **healthy(lnbits))[0] == 0
    assert [kept.msat for kept in lnbits.invoices.values()] == [21_000]


def test_several_wallets(tmp_path: Path, lnbits: Node) -> None:
    """Each wallet of several is tried for itself, and the first one's failure does not stop the second."""
    several = f"{url_of(lnbits, '0' * 32)} {url_of(lnbits)}"
    status, output = doctor(tmp_path, **healthy(lnbits) | {"L402_PROVIDER": several})
    assert status == 1
    told = lines(output, "provider")
    assert [line.split()[0] for line in told] == ["failed", "ok", "ok"]
    places = [f"({number} of 2, lnbits+{lnbits.url})" for number in (1, 2, 2)]
    assert all(place in line for place, line in zip(places, told, strict=True))
    assert lines(output, "start")[0].startswith("ok ")


def test_an_env_file(tmp_path: Path, lnbits: Node) -> None:
    """Settings can come from the file that the service reads too; a line that is none is named by its number."""
    file = tmp_path / "shop.env"
    settings = healthy(lnbits)
    file.write_text(
        "# the shop\n\n"
        f'L402_PROVIDER="{settings["L402_PROVIDER"]}"\n'
        f"export L402_LEDGER='{settings['L402_LEDGER']}'\n"
        f"L402_SECRET_KEYS={settings['L402_SECRET_KEYS']}\n"
    )
    assert doctor(tmp_path, "--env-file", "shop.env")[0] == 0
    file.write_text(f"A=1\n{SECRET}\n")
    status, output = doctor(tmp_path, "--env-file", "shop.env")
    assert (status, "line 2 is not of the form" in output) == (2, True)
    assert doctor(tmp_path, "--env-file", "nowhere.env")[0] == 2


@pytest.mark.parametrize("arguments", [["--timeout", "0"], ["--amount", "-1"], ["everything"]])
def test_called_wrongly(tmp_path: Path, arguments: list[str]) -> None:
    """A wrong call exits with 2."""
    assert doctor(tmp_path, *arguments)[0] == 2


@pytest.mark.parametrize(
    ("changed", "check", "words"),
    [
        ({"L402_LEDGR": "x"}, "settings", ["warning", "no setting L402_LEDGR", "is L402_LEDGER meant?"]),
        ({"L402_LEASE": "long"}, "settings", ["failed", "L402_LEASE"]),
        ({"L402_LEASE": "0"}, "start", ["failed", "lease must be a number from 1"]),
        ({"L402_SECRET_KEYS": "short"}, "keys", ["failed", "secret key 1", "l402 keygen"]),
        ({"L402_SECRET_KEYS": "correct horse battery staple forever"}, "keys", ["warning", "words", "l402 keygen"]),
        ({"L402_SECRET_KEYS": ""}, "keys", ["ok", "none are set"]),
        ({"L402_SECRET_KEYS_FILE": "nowhere/keys"}, "keys", ["failed", "L402_SECRET_KEYS_FILE", "nowhere/keys"]),
        ({"L402_SECRET_KEYS_FILE": KEYS[0]}, "keys", ["failed", "L402_SECRET_KEYS_FILE", "(hidden)"]),
        ({"L402_LEDGER": ""}, "ledger", ["failed", "L402_LEDGER is not set"]),
        ({"L402_LEDGER": "memory:"}, "ledger", ["warning", "MemoryLedger", "sqlite:///"]),
        ({"L402_LEDGER": "mysql://me:hunter2@db/l402"}, "ledger", ["failed", "ledger URL mysql:"]),
        ({"L402_LEDGER": "redis://:hunter2@127.0.0.1:1/0"}, "ledger", ["failed", "127.0.0.1:1", "cannot be reached"]),
        ({"L402_LEDGER": "sqlite:///nowhere/l402.db"}, "ledger", ["failed", "nowhere", "make that folder"]),
        ({"L402_LEDGER": "sqlite:////dev/null/l402.db"}, "ledger", ["failed", "/dev/null", "Not a directory"]),
        ({"L402_LEDGER": "sqlite:///garbage"}, "ledger", ["failed", "not an intact SQLite database"]),
        ({"L402_PROVIDER": ""}, "provider", ["failed", "L402_PROVIDER is not set"]),
        ({"L402_PROVIDER": f"lnbits+http://h?{SECRET}"}, "provider", ["failed", "parameter 1 is none of invoice_key"]),
        (
            {"L402_PROVIDER": f"lnbits+http://h?invoice_key_env={SECRET}"},
            "provider",
            ["failed", "that invoice_key_env"],
        ),
        (
            {"L402_PROVIDER": f"lnbits+http://h?invoice_key_file={SECRET}"},
            "provider",
            ["failed", "that invoice_key_file"],
        ),
        ({"L402_PROVIDER": f"lnbits+http://127.0.0.1:1?invoice_key={SECRET}"}, "provider", ["failed", "127.0.0.1"]),
        ({"L402_PROVIDER": "dev:"}, "provider", ["failed", "L402_DEV=1"]),
        ({}, "limit", ["warning", "not limited", "L402_CHALLENGE_LIMIT"]),
        ({"L402_CHALLENGE_LIMIT": "60/minute"}, "limit", ["ok", "60/minute", "each process for itself"]),
        ({"L402_CHALLENGE_LIMIT": "60/minute"}, "limit", ["ok", "L402_TRUSTED_PROXIES"]),
        ({"L402_CHALLENGE_LIMIT": "60"}, "limit", ["failed", "challenge_limit must be"]),
        (
            {"L402_CHALLENGE_LIMIT": "60/minute", "L402_LIMIT_STORAGE": "redis://:hunter2@127.0.0.1:1/0"},
            *("limit", ["failed", "redis://127.0.0.1:1", "does not answer"]),
        ),
        (
            {"L402_CHALLENGE_LIMIT": "60/minute", "L402_LIMIT_STORAGE": "gopher://:hunter2@127.0.0.1:1/0"},
            *("limit", ["failed", "limit_storage gopher:"]),
        ),
        ({"L402_TRUSTED_PROXIES": "10.0.0.0/8"}, "start", ["failed", "trusted_proxies and forwarded_header"]),
        ({"L402_RATES_MAX_AGE": "old"}, "settings", ["failed", "L402_RATES_MAX_AGE", "no number of seconds"]),
        ({"L402_RATES": f"kraken,{SECRET}"}, "settings", ["failed", "source 2 of exchange rates is none of coinbase"]),
        ({"L402_VERIFY_SETTLEMENT": "perhaps"}, "settings", ["failed", "L402_VERIFY_SETTLEMENT"]),
    ],
)
def test_what_is_wrong(tmp_path: Path, lnbits: Node, changed: dict[str, str], check: str, words: list[str]) -> None:
    """One wrong setting is found where it is wrong, and what is right beside it is found right."""
    (tmp_path / "garbage").write_bytes(b"something else entirely, for more than a hundred bytes" * 4)
    (tmp_path / "garbage").chmod(0o600)
    status, output = doctor(tmp_path, **healthy(lnbits) | changed)
    said = [line for line in lines(output, check) if line.startswith(words[0])]
    assert any(all(word in line for word in words) for line in said), output
    assert status == (1 if words[0] == "failed" else 0)
    wrong = {line.split()[1] for line in output.splitlines() if line.startswith("failed ")}
    assert wrong <= {check, "start"}
    assert (len(lnbits.invoices) == 1) is ("L402_PROVIDER" not in changed)


def test_a_folder_that_is_not_ours(tmp_path: Path, lnbits: Node) -> None:
    """A folder in which nothing can be made is a failure that names it."""
    folder = Path("/sys")
    if os.geteuid() != 0:
        folder = tmp_path / "closed"
        folder.mkdir(0o500)
    elif not folder.exists():
        pytest.skip("root may write everywhere here")
    status, output = doctor(tmp_path, **healthy(lnbits) | {"L402_LEDGER": f"sqlite:///{folder}/l402.db"})
    assert status == 1
    assert f"no file can be made in {folder}" in lines(output, "ledger")[0]


def test_a_secret_that_others_may_read(tmp_path: Path, lnbits: Node) -> None:
    """A file with a secret in it is for its owner; that of the keys and that of the ledger."""
    for name, content in (("keys", ",".join(KEYS)), ("l402.db", "")):
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o644)
    status, output = doctor(tmp_path, **healthy(lnbits) | {"L402_SECRET_KEYS_FILE": "keys", "L402_SECRET_KEYS": ""})
    assert status == 0
    assert lines(output, "keys")[0].endswith("mend it: chmod 600 keys")
    assert lines(output, "ledger")[0].endswith(f"mend it: chmod 600 {tmp_path}/l402.db")


@pytest.mark.parametrize(
    ("key", "network", "words"),
    [
        ("0" * 32, "&network=regtest", ["refused the invoice key (401)", "mend it: copy the key"]),
        (SECRET, "", ["is for regtest, not for bitcoin", "network=regtest"]),
    ],
)
def test_a_wallet_that_is_named_wrongly(tmp_path: Path, lnbits: Node, key: str, network: str, words: list[str]) -> None:
    """A key that the wallet refuses, and an invoice for another network."""
    status, output = doctor(tmp_path, **healthy(lnbits) | {"L402_PROVIDER": url_of(lnbits, key, network)})
    assert status == 1
    (line,) = lines(output, "provider")
    assert all(word in line for word in ["failed", *words])


class Exchange(Emulator):
    """Two sources of exchange rates in one: LNbits, and what is no source at all."""

    def respond(self, body: str) -> None:
        if self.path == "/api/v1/rate/CHF":
            self.answer(200, {"rate": 1250, "price": "80000.5"})
        else:
            self.answer(404, {"detail": "no such currency"})


def test_exchange_rates(tmp_path: Path, lnbits: Node) -> None:
    """Sources that the settings name are asked, for dollars or for --currency; one that has no rate is named."""
    with running(Exchange, Node()) as exchange, socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        away = f"lnbits+http://127.0.0.1:{port}"
        settings = healthy(lnbits) | {"L402_RATES": f"lnbits+{exchange.url} {away}", "L402_RATES_MAX_AGE": "30"}
        status, output = doctor(tmp_path, "--currency", "chf", **settings)
        assert status == 0
        missing, rate = lines(output, "rates")
        assert missing.startswith("warning rates 127.0.0.1 cannot be reached")
        assert rate == "ok rates 1 bitcoin is 80000.5 CHF (LNbitsRate 80000.5)"
        status, output = doctor(tmp_path, **settings)
    assert status == 1
    assert "no USD rate: no source gives one" in lines(output, "rates")[-1]
    assert doctor(tmp_path, "--currency", "dollars", **settings)[0] == 2
    assert not lines(doctor(tmp_path, **healthy(lnbits))[1], "rates")


@pytest.mark.slow
def test_a_postgresql(tmp_path: Path, lnbits: Node, skip_or_fail: Callable[[str], NoReturn]) -> None:
    """A database is tried and its totals stay; with a wrong password, neither that nor the right one is shown."""
    folder = programs()
    if folder is None:
        skip_or_fail("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    server = PostgresServer(folder)
    try:
        server.start()
        url = server.database()
        status, output = doctor(tmp_path, **healthy(lnbits) | {"L402_LEDGER": url})
        assert status == 0
        assert f"PostgresLedger postgresql://127.0.0.1:{server.port} can be read" in lines(output, "ledger")[0]
        assert server.sql(url, "SELECT count(*) FROM l402.payments") == [(1,)]
        for table in ("totals", "events"):
            assert server.sql(url, "SELECT count(*) FROM l402.{}", table) == [(0,)]
        wrong = url.replace(QUOTED, "hunter2")
        status, refused = doctor(tmp_path, **healthy(lnbits) | {"L402_LEDGER": wrong})
    finally:
        server.remove()
    assert status == 1
    assert lines(refused, "ledger")[0].startswith("failed")
    assert all(password not in output + refused for password in (PASSWORD, QUOTED))


@pytest.mark.parametrize(("off", "words"), [(120, "1(19|20) s ahead of"), (-120, "1(19|20) s behind")])
def test_a_clock_that_is_wrong(tmp_path: Path, lnbits: Node, off: int, words: str) -> None:
    """A wallet whose clock is two minutes off is a warning."""
    lnbits._maker._clock = lambda: time.time() + off
    status, output = doctor(tmp_path, **healthy(lnbits))
    assert status == 0
    (line,) = lines(output, "clock")
    assert re.match(f"warning clock the wallet's clock is {words} ", line)


def test_a_wallet_that_takes_everything_for_paid(tmp_path: Path) -> None:
    """A backend that calls an unpaid invoice paid fails."""
    with running(Gullible, Node(secret=SECRET)) as node:
        status, output = doctor(tmp_path, **healthy(node))
    assert status == 1
    assert "this unpaid invoice was paid" in lines(output, "provider")[1]


def test_a_check_that_never_ends(tmp_path: Path) -> None:
    """A backend that does not answer costs no more than --timeout, and the rest is still checked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"lnbits+http://127.0.0.1:{silent.getsockname()[1]}?invoice_key={SECRET}"
        started = time.monotonic()
        status, output = doctor(
            tmp_path, "--timeout", "2", L402_PROVIDER=url, L402_LEDGER="sqlite:///l402.db", L402_SECRET_KEYS=KEYS[0]
        )
    assert (status, time.monotonic() - started < 12) == (1, True)
    assert "not over after 2 s" in lines(output, "provider")[0]
    assert lines(output, "start")[0].startswith("ok ")
