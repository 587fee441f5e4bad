"""The ledger: it opens, and a use can be held there."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_bytes

from ..core.errors import ConfigurationError, LedgerError
from ..ledgers import MemoryLedger, SQLiteLedger, ledger_from_url
from ..ledgers.ledger import Claim, Held, Ledger, day_of
from .diagnosis import Diagnosis, Examination
from .files import own, private
from .redaction import place, provider_urls


def ledger_can_be_used(examination: Examination) -> Iterator[Diagnosis]:
    """The ledger opens, and a use can be held there."""
    url = examination.settings.get("L402_LEDGER")
    if not url and provider_urls(examination.settings) != ["dev:"]:
        raise ConfigurationError("L402_LEDGER is not set; name a ledger, such as sqlite:///l402.db")
    ledger = ledger_from_url(url or "memory:")
    examination.ledger = ledger
    if isinstance(ledger, MemoryLedger):
        yield Diagnosis(
            "ledger",
            "warning",
            "MemoryLedger: only one process can use it, and what was used up is forgotten when that ends",
            "use sqlite:///l402.db for anything but development",
        )
        return
    if isinstance(ledger, SQLiteLedger):
        path = Path(ledger.path)
        if not path.exists():
            yield _try_folder(path)
            return
        yield from private("ledger", path)
        yield from own(path)
    where = ledger.path if isinstance(ledger, SQLiteLedger) else place(url or "")
    with closing(ledger):
        _try(ledger)
    yield Diagnosis(
        "ledger",
        "ok",
        f"{type(ledger).__name__} {where} can be read and written: "
        "a made-up payment was held, which no total counts and which is forgotten in an hour",
    )


def _try(ledger: Ledger) -> None:
    """Read and write in `ledger`, and change none of its totals: a hold is counted when it is settled or released."""
    now = time.time()
    today = day_of(now)
    ledger.totals(today, today).block()
    ledger.revoked().block()
    claim = Claim(
        payment_hash=token_bytes(32),
        token_id=token_bytes(32),
        hold_id=token_bytes(16),
        bought=1,
        request=token_bytes(32),
        endpoint="l402 doctor",
        msat=0,
        now=now,
        lease_until=now + 60,
        forget_at=now + 3600,
    )
    held = isinstance(ledger.hold(claim).block(), Held)
    # The lease ends here: a release would be counted.
    if not held or not ledger.renew(claim.payment_hash, claim.hold_id, now).block():
        raise LedgerError("the ledger lost a use that it had just held; do several servers stand behind its address?")


def _try_folder(path: Path) -> Diagnosis:
    """Try a ledger beside where `path` will be: made by whoever runs this, the file might not be the application's."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".l402-doctor-", dir=path.parent) as folder,
            closing(SQLiteLedger(Path(folder, "l402.db"))) as ledger,
        ):
            _try(ledger)
    except OSError as error:
        return Diagnosis(
            "ledger",
            "failed",
            f"no file can be made in {path.parent}: {error.strerror}",
            "make that folder, and give the application's user the right to write there",
        )
    return Diagnosis(
        "ledger",
        "ok",
        f"SQLiteLedger {path} is not there yet; a trial file in its folder can be read and written, and is gone again",
    )
