"""The command `l402`, run as an operator runs it."""

import csv
import json
import os
import subprocess
import sysconfig
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

from l402_middleware.cli import main
from l402_middleware.core import minting
from l402_middleware.core.authorization import parse_authorization
from l402_middleware.core.caveats import Terms
from l402_middleware.core.credential import VERSION, Issuer
from l402_middleware.core.invoice import decode
from l402_middleware.core.keys import KeyRing
from l402_middleware.core.money import Msat
from l402_middleware.credentials import inspect
from l402_middleware.ledgers import SQLiteLedger
from l402_middleware.ledgers.ledger import Claim, Held, Revoked, Total, day_of
from l402_middleware.testing.ledger_steps import claim, release, settle

pytestmark = pytest.mark.slow

COMMAND = Path(sysconfig.get_path("scripts")) / "l402"

PREIMAGE = bytes(range(32))
PAYMENT_HASH = sha256(PREIMAGE).digest()
TOKEN_ID = b"\x77" * 32
KEYS = KeyRing(["a fixed key for the command's own tests"])
TERMS = Terms("e" * 43, Msat(21_000), 1, None, 1_900_000_000)
TOKEN = Issuer("l402", KEYS).issue(PAYMENT_HASH, TOKEN_ID, TERMS)
CREDENTIAL = f"{TOKEN}:{PREIMAGE.hex()}"

# "weather for Bern", 21 sat, among the golden vectors.
INVOICE = json.loads((Path(__file__).parent / "core/vectors/bolt11_devnode.json").read_text())["valid"][0]["bolt11"]


def l402(*arguments: str, text: bytes = b"", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command, with `text` as its standard input."""
    inherited = {name: value for name, value in os.environ.items() if name != "L402_LEDGER"}
    done = subprocess.run(
        [COMMAND, *arguments], input=text, capture_output=True, env=inherited | environ, timeout=30, check=False
    )
    output, errors = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in errors
    assert PREIMAGE.hex() not in (output + errors).lower()
    return subprocess.CompletedProcess(done.args, done.returncode, output, errors)


def minted(*caveats: str, identifier: bytes = VERSION + PAYMENT_HASH + TOKEN_ID) -> str:
    """A macaroon in base64 with any caveats and identifier."""
    return b64encode(minting.mint(b"k" * 32, "l402", identifier, list(caveats))).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the application's ledger is."""
    return tmp_path / "l402.db"


@pytest.fixture
def url(path: Path) -> str:
    """The ledger as the command is given it."""
    return f"sqlite:///{path}"


@pytest.fixture
def ledger(path: Path) -> Iterator[SQLiteLedger]:
    """The application's ledger, in use while the command looks."""
    ledger = SQLiteLedger(path)
    ledger.revoked().block()
    yield ledger
    ledger.close()


def deliver(ledger: SQLiteLedger, held: Claim) -> None:
    """Hold one use and settle it at the same instant."""
    assert isinstance(ledger.hold(held).block(), Held)
    assert settle(ledger, held, after=0).block() is True


def test_keygen() -> None:
    """Each run prints another secret that a key ring takes."""
    first, second = (l402("keygen").stdout.strip() for _ in range(2))
    assert first != second
    assert len(KeyRing([first, second])) == 2


def test_version() -> None:
    """For a report of a bug."""
    assert l402("--version").stdout == f"l402_middleware {version('l402_middleware')}\n"


def test_a_reader_that_has_seen_enough() -> None:
    """`l402 ... | head` ends without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([COMMAND, "keygen"], stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it without a word, with the status that shells know."""

    def interrupted() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("l402_middleware.cli.credentials.generate_key", interrupted)
    assert main(["keygen"]) == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["sell"], "invalid choice"),
        (["ledger"], "required: ACTION"),
        (["ledger", "payment"], "required: HASH"),
        (["ledger", "payment", "abcd", "--ledger", "memory:"], "64 hexadecimal digits"),
        (["ledger", "revoke", "x" * 64, "--ledger", "memory:"], "64 hexadecimal digits"),
        (["ledger", "totals", "--days", "0"], "from 1 to 99999"),
        (["ledger", "totals", "--days", "-1"], "from 1 to 99999"),
        (["ledger", "totals", "--days", "1" * 5000], "from 1 to 99999"),
        (["ledger", "totals"], "give --ledger URL, or set L402_LEDGER"),
        (["ledger", "totals", "--ledger", "memory:"], "only by the application's own process"),
        (["ledger", "totals", "--ledger", "mysql://me:hunter2@db/l402"], "ledger URL mysql:"),
    ],
)
def test_called_wrongly(arguments: list[str], message: str) -> None:
    """A wrong call exits with 2, says what to give instead, and repeats no password."""
    done = l402(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("action", [["totals"], ["payment", "ab" * 32], ["revoke", "ab" * 32]])
def test_a_ledger_that_is_not_there(action: list[str], url: str, path: Path) -> None:
    """A mistyped path fails, and leaves no empty ledger behind in which a token would seem revoked."""
    done = l402("ledger", *action, "--ledger", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"there is no ledger at {path}" in done.stderr
    assert not path.exists()


def test_a_file_that_is_no_ledger(url: str, path: Path) -> None:
    """A ledger's own failure is told in its words."""
    path.write_bytes(b"something else entirely, for more than a hundred bytes" * 4)
    done = l402("ledger", "totals", L402_LEDGER=url)
    assert done.returncode == 1
    assert "not an intact SQLite database" in done.stderr


# ledger totals


def test_totals(ledger: SQLiteLedger, url: str) -> None:
    """The table has a line for each day and endpoint, all counts in their columns, and their sums."""
    now = time.time()
    day = 86400.0
    city = replace(claim(now, bought=2), endpoint="GET/{city}", msat=21_500)
    deliver(ledger, city)
    again = claim(now, bought=2, like=city)
    assert ledger.hold(again).block() == Held(0)
    release(ledger, again, after=0).block()
    earlier = replace(claim(now - day), endpoint="GET/{city}", msat=1_000)
    deliver(ledger, earlier)
    deliver(ledger, replace(claim(now - 7 * day), endpoint="GET/{city}"))
    ledger.count(
        [
            Total(day_of(now), "GET/{city}", "offered", 40),
            Total(day_of(now), "GET/{city}", "refused", 3),
            Total(day_of(now - day), "POST/file", "offered", 2),
        ]
    ).block()
    done = l402("ledger", "totals", L402_LEDGER=url)
    assert (done.returncode, done.stderr) == (0, "")
    today, yesterday = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (now, now - day))
    assert [line.split() for line in done.stdout.splitlines()] == [
        line.split()
        for line in (
            "day (UTC) endpoint paid sats delivered replayed released lapsed offered refused",
            f"{yesterday} GET/{{city}} 1 1 1 0 0 0 0 0",
            f"{yesterday} POST/file 0 0 0 0 0 0 2 0",
            f"{today} GET/{{city}} 1 21.5 1 0 1 0 40 3",
            "sum 2 22.5 2 0 1 0 42 3",
        )
    ]
    assert len({len(line) for line in done.stdout.splitlines()}) == 1
    assert len(l402("ledger", "totals", "--days", "1", "--ledger", url).stdout.splitlines()) == 3
    everything = json.loads(l402("ledger", "totals", "--days", "8", "--ledger", url, "--json").stdout)
    assert everything["until"] == today
    assert everything["sum"]["msat"] == 21_500 + 1_000 + 21_000
    assert everything["totals"][-1] == {
        "day": today,
        "endpoint": "GET/{city}",
        "msat": 21_500,
        "paid": 1,
        "delivered": 1,
        "replayed": 0,
        "released": 1,
        "lapsed": 0,
        "confirmed": 0,
        "topped-up": 0,
        "granted": 0,
        "closed": 0,
        "refunded": 0,
        "offered": 40,
        "refused": 3,
    }


def test_no_totals(ledger: SQLiteLedger, url: str) -> None:
    """An empty record is said to be one, and is empty for programs."""
    assert l402("ledger", "totals", "--ledger", url).stdout.startswith("nothing on record since ")
    assert json.loads(l402("ledger", "totals", "--ledger", url, "--json").stdout)["totals"] == []


def test_an_endpoint_can_not_rule_the_terminal(ledger: SQLiteLedger, url: str) -> None:
    """Control characters are spelled out, and letters that the terminal lacks too."""
    ledger.count([Total(day_of(time.time()), "GET /\x1b[2J\u202e\n\N{SNOWMAN}", "offered", 1)]).block()
    done = l402("ledger", "totals", "--ledger", url, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert r"GET /\x1b[2J\u202e\n\u2603" in done.stdout


# ledger payment


def test_a_payment(ledger: SQLiteLedger, url: str) -> None:
    """One payment's terms and events, oldest first, and whether its token is revoked."""
    held = replace(claim(1_900_000_000.0, bought=3), endpoint="GET /{city}", msat=21_000)
    deliver(ledger, held)
    ledger.confirm(held.payment_hash, held.now + 1).block()
    done = l402("ledger", "payment", held.payment_hash.hex().upper(), "--ledger", url)
    assert done.stdout.splitlines() == [
        f"payment hash  {held.payment_hash.hex()}",
        f"token id      {held.token_id.hex()}",
        "endpoint      GET /{city}",
        "sats          21",
        "uses          1 of 3 delivered",
        "left          2",
        "revoked       no",
        "events",
        "  2030-03-17 17:46:40 UTC  paid",
        "  2030-03-17 17:46:40 UTC  delivered",
        "  2030-03-17 17:46:41 UTC  confirmed",
    ]
    ledger.revoke(held.token_id).block()
    assert json.loads(l402("ledger", "payment", held.payment_hash.hex(), "--ledger", url, "--json").stdout) == {
        "payment_hash": held.payment_hash.hex(),
        "token_id": held.token_id.hex(),
        "endpoint": "GET /{city}",
        "msat": 21_000,
        "uses": 3,
        "delivered": 1,
        "left": 2,
        "revoked": True,
        "events": [
            {"at": 1_900_000_000.0, "what": "paid"},
            {"at": 1_900_000_000.0, "what": "delivered"},
            {"at": 1_900_000_001.0, "what": "confirmed"},
        ],
    }


def test_a_pass(ledger: SQLiteLedger, url: str) -> None:
    """A pass is called one: it has no uses to count."""
    used = claim(time.time(), bought=None)
    ledger.hold(used).block()
    assert "uses          a pass\n" in l402("ledger", "payment", used.payment_hash.hex(), "--ledger", url).stdout


def test_a_payment_that_is_not_known(ledger: SQLiteLedger, url: str) -> None:
    """An unknown payment fails, with what that may mean."""
    done = l402("ledger", "payment", "ab" * 32, "--ledger", url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "not used yet, or is over and forgotten" in done.stderr


# payments


def test_payments(ledger: SQLiteLedger, url: str) -> None:
    """The newest first, in a table, as CSV and as JSON, and only those that are asked for."""
    used = replace(claim(1_900_000_000.0, bought=3), endpoint="GET /{city}", msat=21_500)
    paid = replace(claim(1_900_003_600.0), endpoint="=SUM(A1)\x1b", msat=1_000)
    deliver(ledger, used)
    ledger.hold(paid).block()
    newest, oldest = paid.payment_hash.hex(), used.payment_hash.hex()

    def hashes(*arguments: str) -> list[str]:
        listed = json.loads(l402("payments", "--json", "--ledger", url, *arguments).stdout)
        return [payment["payment_hash"] for payment in listed["payments"]]

    for arguments, expected in (
        ((), [newest, oldest]),
        (("--state", "undelivered"), [newest]),
        (("--state", "delivered"), [oldest]),
        (("--state", "open-balance"), [newest, oldest]),
        (("--state", "refunded"), []),
        (("--since", "2030-03-17T18:00"), [newest]),
        (("--until", "2030-03-17T18:46:40"), [oldest]),
        (("--endpoint", "GET /{city}"), [oldest]),
    ):
        assert hashes(*arguments) == expected
    done = l402("payments", "--ledger", url)
    assert "\x1b" not in done.stdout
    assert "2030-03-17 17:46:40 UTC  21.5  1 of 3" in done.stdout
    assert done.stdout.splitlines()[-1] == "2 payments, 22.5 sats"
    rows = list(csv.DictReader(l402("payments", "--csv", "--ledger", url).stdout.splitlines()))
    assert [(row["payment_hash"], row["msat"], row["left"]) for row in rows] == [
        (newest, "1000", "1"),
        (oldest, "21500", "2"),
    ]
    assert rows[0]["endpoint"].startswith("'=SUM")
    assert l402("payments", "--ledger", url, "--since", "yesterday").returncode == 2


def test_no_payments(ledger: SQLiteLedger, url: str) -> None:
    """A ledger without payments is said to have none."""
    assert l402("payments", "--ledger", url).stdout == "no such payments\n"


# keys


def test_the_key_that_a_ledger_keeps(ledger: SQLiteLedger, url: str) -> None:
    """It is printed alone, and a ledger without one is said to have none."""
    none = l402("keys", "show", "--ledger", url)
    assert (none.returncode, none.stdout) == (1, "")
    assert "keeps no secret key" in none.stderr
    key = ledger.keep_key("a key of the tests' own, and long enough").block()
    assert l402("keys", "show", "--ledger", url).stdout == f"{key}\n"


# ledger revoke


@pytest.mark.parametrize("by", ["token_id", "payment_hash"])
@pytest.mark.parametrize("uses", [2, None])
def test_revoke(ledger: SQLiteLedger, url: str, by: str, uses: int | None) -> None:
    """By its token id or its payment's hash, a token is revoked for the running application, and no other."""
    held, other = claim(time.time(), bought=uses), claim(time.time(), bought=uses)
    ledger.hold(held).block()
    named: bytes = getattr(held, by)
    done = l402("ledger", "revoke", named.hex(), "--ledger", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"token {held.token_id.hex()} is revoked" in done.stdout
    assert ("taken as a token id" in done.stdout) is (by == "token_id")
    assert ledger.hold(claim(time.time(), bought=uses, like=held)).block() == Revoked()
    assert isinstance(ledger.hold(other).block(), Held)


@pytest.mark.parametrize("by", ["token_id", "payment_hash"])
def test_revoke_for_programs(ledger: SQLiteLedger, url: str, by: str) -> None:
    """A program is told which token was revoked, and of which payment where the ledger knows it."""
    held = claim(time.time())
    ledger.hold(held).block()
    done = l402("ledger", "revoke", getattr(held, by).hex(), "--ledger", url, "--json")
    payment_hash = held.payment_hash.hex() if by == "payment_hash" else None
    assert json.loads(done.stdout) == {"revoked": held.token_id.hex(), "payment_hash": payment_hash}


# inspect

MACAROON = [
    "  location      l402",
    "  version       0",
    f"  payment hash  {PAYMENT_HASH.hex()}",
    f"  token id      {TOKEN_ID.hex()}",
    "  caveats",
    "    services=l402:0",
    "    l402_valid_until=1900000000 (2030-03-17 17:46:40 UTC)",
    f"    l402_offer={'e' * 43}.21000.1.-",
]


def invoice_lines() -> list[str]:
    """What is shown of the invoice; its times are its own."""
    read = decode(INVOICE)
    created, expires = (
        time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at)) for at in (read.created_at, read.expires_at)
    )
    return [
        "invoice",
        "  network           regtest",
        "  amount            21 sat",
        f"  payment hash      {read.payment_hash.hex()}",
        "  description       weather for Bern",
        f"  created           {created}",
        f"  expires           {expires}",
    ]


CHALLENGE = f'macaroon="{TOKEN}", invoice="{INVOICE}"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TOKEN, lambda: ["macaroon", *MACAROON]),
        (TOKEN.rstrip("=").replace("+", "-").replace("/", "_"), lambda: ["macaroon", *MACAROON]),
        (INVOICE, invoice_lines),
        (f"lightning:{INVOICE}".upper(), invoice_lines),
        (f"L402 {CREDENTIAL}", lambda: ["macaroon", *MACAROON, "preimage fits  yes"]),
        (f"authorization: LSAT {CREDENTIAL}\r\n", lambda: ["macaroon", *MACAROON, "preimage fits  yes"]),
        (f"L402 {TOKEN}:{'00' * 32}", lambda: ["macaroon", *MACAROON, "preimage fits  no"]),
        (
            f"L402 {TOKEN},{TOKEN}:{PREIMAGE.hex()}",
            lambda: ["macaroon 1", *MACAROON, "macaroon 2", *MACAROON, "preimage fits  yes"],
        ),
        (f"L402 {CHALLENGE}", lambda: ["macaroon", *MACAROON, *invoice_lines()]),
        (f"WWW-Authenticate: LSAT {CHALLENGE}", lambda: ["macaroon", *MACAROON, *invoice_lines()]),
        (f'L402 version="0", token="{TOKEN}"', lambda: ["macaroon", *MACAROON]),
        (f"L402 invoice={INVOICE}, macaroon={TOKEN}", lambda: ["macaroon", *MACAROON, *invoice_lines()]),
    ],
)
@pytest.mark.parametrize("given", ["argument", "stdin"])
def test_inspect(text: str, expected: Callable[[], list[str]], given: str) -> None:
    """Every form that L402's strings come in is told apart and shown whole, but for the preimage."""
    done = l402("inspect", text) if given == "argument" else l402("inspect", text=text.encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == expected()


def test_inspect_for_programs() -> None:
    """A program gets the same parts, by names without spaces."""
    parts = json.loads(l402("inspect", "--json", f"L402 {CREDENTIAL}").stdout)
    assert parts["preimage_fits"] is True
    assert parts["macaroon"]["token_id"] == TOKEN_ID.hex()
    assert parts["macaroon"]["caveats"][0] == "services=l402:0"


def test_a_preimage_in_a_caveat_is_not_shown() -> None:
    """Some servers write the preimage into a caveat: it stays out of the output."""
    done = l402("inspect", minted("services=l402:0", f"preimage={PREIMAGE.hex()}"))
    assert "    preimage=(not shown)\n" in done.stdout


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        (minted(identifier=b"\x00\x01" + PAYMENT_HASH + TOKEN_ID), "0001"),
        (minted(identifier=b"short"), b"short".hex()),
        (minted("weird\x1b[2J"), r"weird\x1b[2J"),
        (minted("a_valid_until=999999999999999"), "(unix second 999999999999999)"),
        (minted("a_valid_until=" + "9" * 5000), "9" * 100),
    ],
)
def test_a_strange_macaroon_is_shown_as_it_is(token: str, shown: str) -> None:
    """An identifier of another kind, and caveats out of the ordinary, are shown without harm."""
    done = l402("inspect", token)
    assert done.returncode == 0
    assert shown in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "nothing to inspect"),
        (b" \r\n", "nothing to inspect"),
        (b"A" * 40_000, "characters"),
        (b"\xff\xfe\x00", "not base64"),
        (b"hello world", "not base64"),
        (b64encode(b"no macaroon"), "macaroon cannot be read: not a V2 macaroon"),
        (TOKEN[:-8].encode(), "macaroon cannot be read: "),
        (INVOICE[:-1].encode(), "invoice cannot be read: "),
        (b"lnurl1dp68gurn8ghj7", "invoice cannot be read: "),
        (f"L402 {TOKEN}".encode(), "neither a challenge nor"),
        (f"L402 {TOKEN}:{PREIMAGE.hex()}00".encode(), "neither a challenge nor"),
        (f"L402 {CREDENTIAL}, L402 {CREDENTIAL}".encode(), "neither a challenge nor"),
        (f'L402 macaroon="{TOKEN}", invoice="nonsense"'.encode(), "invoice cannot be read: "),
        (b'L402 macaroon="?"', "not base64"),
        (f"Bearer {PREIMAGE.hex()}".encode(), "not base64"),
    ],
)
def test_what_can_not_be_inspected(text: bytes, message: str) -> None:
    """Anything else fails with what is wrong about it, and is not repeated."""
    done = l402("inspect", text=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert len(done.stderr) < 200


def test_what_is_inspected_is_what_is_verified() -> None:
    """The payment hash and token id shown are those that the verifier reads."""
    (credential,) = parse_authorization([f"L402 {CREDENTIAL}".encode()])
    verified = Issuer("l402", KEYS).verify(credential, 1_800_000_000)
    shown = inspect(CREDENTIAL.partition(":")[0])["macaroon"]
    assert isinstance(shown, dict)
    assert shown["payment hash"] == verified.payment_hash.hex()
    assert shown["token id"] == verified.token_id.hex()


# narrow


def test_narrow_a_macaroon() -> None:
    """What is appended is what `l402 inspect` then shows."""
    done = l402("narrow", "--ip", "192.0.2.0/24", "--tls", "AB" * 32, text=TOKEN.encode())
    assert (done.returncode, done.stderr) == (0, "")
    shown = l402("inspect", done.stdout.strip()).stdout.splitlines()
    assert shown == ["macaroon", *MACAROON, "    l402_ip=192.0.2.0/24", f"    l402_tls={'ab' * 32}"]


def test_narrow_a_credential() -> None:
    """An Authorization value comes back whole, its preimage in it, good for a shorter time."""
    done = subprocess.run(
        [COMMAND, "narrow", "--seconds", "60"], input=f"L402 {CREDENTIAL}\n", capture_output=True, text=True, check=True
    )
    narrowed = done.stdout.strip()
    assert narrowed.endswith(f":{PREIMAGE.hex()}")
    last = l402("inspect", text=narrowed.encode()).stdout.splitlines()[-2]
    until = int(last.partition("l402_valid_until=")[2].split()[0])
    assert abs(until - time.time() - 60) < 30


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        ([], TOKEN, "nothing to narrow it to"),
        (["--ip", "here"], TOKEN, "here"),
        (["--tls", "12"], TOKEN, "SHA-256"),
        (["--ip", "192.0.2.7"], "", "neither"),
        (["--ip", "192.0.2.7"], f"L402 {CREDENTIAL}, L402 {CREDENTIAL}", "one well-formed credential"),
    ],
)
def test_what_can_not_be_narrowed(arguments: list[str], text: str, message: str) -> None:
    """The command fails with a sentence, and gives nothing out."""
    done = l402("narrow", *arguments, text=text.encode())
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
