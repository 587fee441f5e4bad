"""Tries what the settings name, the ledger, the keys and the provider, and says what is wrong and how to mend it.

No secret comes out of here: of a URL its scheme and host are shown, of a key its length, and whatever else
may be one is taken out of every message.
"""

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import Final, Literal, TypeAlias, cast

from .core.errors import ConfigurationError, LedgerError, ProviderError, ProviderFault
from .core.keys import KeyRing, generate_key
from .core.money import sats
from .flow import drive
from .ledgers import MemoryLedger, SQLiteLedger, ledger_from_url
from .ledgers.ledger import Claim, Held, Ledger, day_of
from .paywall.invoicing import Invoicing
from .paywall.limits import ChallengeLimit
from .paywall.settings import NAMES, keys_from, paywall_from_settings, rates_from, rules_from, unknown_settings
from .providers import DevNode, InvoiceRequest, Provider, SettlementCheck, provider_from_url
from .rates import Rates
from .redaction import Redaction, place, provider_urls

Status: TypeAlias = Literal["ok", "warning", "failed"]

CLOCK_SECONDS: Final = 30
_EXPIRY: Final = 600

_REMEDIES: Final[dict[ProviderFault, str]] = {
    "unreachable": "start the backend, correct L402_PROVIDER, or open the firewall between",
    "timeout": "look at the backend's load, and at what stands between it and this machine",
    "busy": "look at the backend's load",
    "tls": "renew the certificate, use the name it was made for, or give the backend's own one as tls_cert",
    "unauthorized": "copy the key, macaroon, rune or password again into L402_PROVIDER, or into the file that it names",
    "rejected": "look into the backend's log; where 1 sat is too little for it, give --amount",
    "bad-answer": "is the address in L402_PROVIDER that of the backend itself, and of its API?",
    "wrong-invoice": "give the wallet's network in L402_PROVIDER (such as network=regtest), and set both clocks",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it; `remedy` is empty where `found` says that, or nothing is to do.

    `about` says which of several wallets it was.
    """

    check: str
    status: Status
    found: str
    remedy: str = ""
    about: str = ""


def examine(
    settings: Mapping[str, str],
    *,
    make_invoice: bool = True,
    amount: int = 1,
    currency: str | None = None,
    seconds: float = 30,
) -> Iterator[Finding]:
    """Try everything that `settings` (an environment) name, one thing after the other.

    A check that fails, or takes longer than `seconds`, does not stop the others. Each provider's invoice is over
    `amount` sats, and stays unpaid in its wallet; without `make_invoice` none is made. Exchange rates are asked for
    where a `currency` is given, or the settings name sources; then it is US dollars that are asked for.
    """
    examination = _Examination(settings, make_invoice, amount, currency)
    hide = Redaction(settings).hide
    failures = set()
    urls = provider_urls(settings)
    wallets = {
        f"{number} of {len(urls)}, {place(url)}" if len(urls) > 1 else "": url for number, url in enumerate(urls, 1)
    }
    checks: list[tuple[str, Callable[[], Iterable[Finding]], str]] = [
        ("settings", examination.settings_can_be_read, ""),
        ("ledger", examination.ledger_can_be_used, ""),
        ("keys", examination.keys_are_good, ""),
        *(("provider", partial(examination.provider_makes_an_invoice, url), about) for about, url in wallets.items()),
        ("limit", examination.limit_counts, ""),
        ("rates", examination.sources_agree, ""),
        ("start", examination.paywall_starts, ""),
    ]
    for name, check, about in checks:
        for finding in _within(seconds, name, check):
            # The start fails as what was tried before it did.
            if finding.found not in failures:
                yield replace(finding, found=hide(finding.found), remedy=hide(finding.remedy), about=hide(about))
            if finding.status == "failed":
                failures.add(finding.found)


def _within(seconds: float, name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    found: list[Finding] = []

    def run() -> None:
        try:
            for finding in check():
                found.append(finding)  # noqa: PERF402 - what was found before a failure counts
        except ProviderError as error:
            found.append(Finding(name, "failed", str(error), _REMEDIES[error.kind]))
        except (ConfigurationError, LedgerError) as error:
            found.append(Finding(name, "failed", str(error)))
        except Exception as error:
            # Its message is anybody's, and may hold a secret.
            found.append(Finding(name, "failed", f"the check itself failed with {type(error).__name__}"))

    thread = threading.Thread(target=run, name=f"l402 doctor: {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        late = Finding(
            name,
            "failed",
            f"it was not over after {seconds:g} s",
            "look at the load of what it asks, and at the network between",
        )
        return [*found, late]
    return found


class _Examination:
    """The checks, and what one hands to the next."""

    def __init__(self, settings: Mapping[str, str], make_invoice: bool, amount: int, currency: str | None) -> None:
        self._settings = settings
        self._make_invoice = make_invoice
        self._amount = amount
        self._currency = currency
        self._ledger: Ledger | None = None
        self._expiry = _EXPIRY
        self._verify = False

    def settings_can_be_read(self) -> Iterator[Finding]:
        """Every `L402_...` variable means something, and its value is of the right kind."""
        for name, meant in unknown_settings(self._settings):
            remedy = f"is {meant} meant?" if meant else "is it another program's? Then all is well"
            yield Finding("settings", "warning", f"there is no setting {name}, so it does nothing", remedy)
        rules = rules_from(self._settings)
        self._expiry = rules.get("invoice_expiry", _EXPIRY)
        self._verify = rules.get("verify_settlement", False)
        count = sum(1 for name in NAMES if self._settings.get(name))
        yield Finding("settings", "ok", f"{count} {'is' if count == 1 else 'are'} set, and can be read")

    def ledger_can_be_used(self) -> Iterator[Finding]:
        """The ledger opens, and a use can be held there."""
        url = self._settings.get("L402_LEDGER")
        if not url and provider_urls(self._settings) != ["dev:"]:
            raise ConfigurationError("L402_LEDGER is not set; name a ledger, such as sqlite:///l402.db")
        ledger = ledger_from_url(url or "memory:")
        self._ledger = ledger
        if isinstance(ledger, MemoryLedger):
            yield Finding(
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
            yield from _private("ledger", path)
            yield from _own(path)
        where = ledger.path if isinstance(ledger, SQLiteLedger) else place(url or "")
        with closing(ledger):
            _try(ledger)
        yield Finding(
            "ledger",
            "ok",
            f"{type(ledger).__name__} {where} can be read and written: "
            "a made-up payment was held, which no total counts and which is forgotten in an hour",
        )

    def keys_are_good(self) -> Iterator[Finding]:
        """There are keys, nobody else may read them, and nobody can guess them."""
        path = self._settings.get("L402_SECRET_KEYS_FILE")
        source = "L402_SECRET_KEYS_FILE" if path else "L402_SECRET_KEYS"
        keys = [key.decode("latin-1") if isinstance(key, bytes) else key for key in keys_from(self._settings) or ()]
        if path and self._settings.get("L402_SECRET_KEYS"):
            yield Finding(
                "keys", "warning", "L402_SECRET_KEYS is ignored: L402_SECRET_KEYS_FILE wins", "drop one of them"
            )
        if not keys:
            yield self._kept_key()
            return
        if path:
            yield from _private("keys", Path(path))
        KeyRing(keys)
        for position, key in enumerate(keys, 1):
            if not re.search("[0-9]", key) or re.search(r"\s", key):
                yield Finding(
                    "keys", "warning", f"secret key {position} looks like words", "`l402 keygen` makes a random one"
                )
        shortest = min(len(key.encode()) for key in keys)
        found = f"1 of {shortest} bytes in {source}"
        if len(keys) > 1:
            found = f"{len(keys)} of {shortest} bytes or more in {source}; the last one signs, and all verify"
        yield Finding("keys", "ok", found)

    def _kept_key(self) -> Finding:
        if self._ledger is None:
            return Finding(
                "keys", "warning", "none are set, and there is no ledger to keep one", "see to the ledger first"
            )
        if isinstance(self._ledger, SQLiteLedger) and not os.path.exists(self._ledger.path):
            return Finding("keys", "ok", "none are set: the ledger will make one and keep it, for all workers")
        with closing(self._ledger) as ledger:
            # What the application's first request does; a Redis refuses, and says what to do.
            KeyRing([ledger.keep_key(generate_key()).block()])
        return Finding("keys", "ok", "none are set: the ledger keeps one, for all workers")

    def provider_makes_an_invoice(self, url: str) -> Iterator[Finding]:
        """The provider makes an invoice that the paywall accepts, does not take it for paid, and its clock is right."""
        if not url:
            paywall_from_settings(self._settings)
        provider = provider_from_url(url)
        name = f"{type(provider).__name__} {place(url)}"
        if isinstance(provider, DevNode):
            provider.use_keys(KeyRing([generate_key()]))
            yield Finding(
                "provider",
                "warning",
                "DevNode gives everything away: it is for development, and not for production",
                "name your own wallet in L402_PROVIDER before you sell anything",
            )
        if not self._make_invoice:
            yield Finding("provider", "ok", f"{name} is configured; no invoice was made, so nobody was asked")
            return
        with closing(provider):
            yield from self._invoice(provider, name)

    def _invoice(self, provider: Provider, name: str) -> Iterator[Finding]:
        request = InvoiceRequest(sats(self._amount), "l402 doctor: a check, not to be paid", self._expiry)
        asked_at, started = time.time(), time.monotonic()
        invoice = drive(Invoicing(provider, None, verify_settlement=False).create(request, asked_at))
        took = time.monotonic() - started
        yield Finding(
            "provider",
            "ok",
            f"{name} made an invoice for {request.amount} on {provider.network} in {took:.2f} s, "
            f"good for {invoice.expiry} s; leave it unpaid, and it expires",
        )
        if isinstance(provider, DevNode):
            return
        yield _clock(invoice.created_at, asked_at, asked_at + took)
        if hasattr(provider, "is_settled"):
            yield self._settlement(cast(SettlementCheck, provider), invoice.payment_hash)

    def _settlement(self, provider: SettlementCheck, payment_hash: bytes) -> Finding:
        try:
            settled = drive(provider.is_settled(payment_hash))
        except ProviderError as error:
            status: Status = "failed" if self._verify else "warning"
            found = f"it can not be asked whether a payment arrived: {error}"
            return Finding("provider", status, found, "give it a key that may look payments up, for verify_settlement")
        if settled:
            remedy = "look into the backend; with verify_settlement, what nobody paid would be served"
            return Finding("provider", "failed", "it says that this unpaid invoice was paid", remedy)
        return Finding("provider", "ok", "it can be asked whether a payment arrived, and this one has not")

    def limit_counts(self) -> Iterator[Finding]:
        """There is a limit on unpaid challenges, it can be read, and what keeps its counts answers."""
        rate, storage = self._settings.get("L402_CHALLENGE_LIMIT"), self._settings.get("L402_LIMIT_STORAGE") or None
        if not rate:
            yield Finding(
                "limit",
                "warning",
                "unpaid requests are not limited: one caller may have any number of invoices made",
                "set L402_CHALLENGE_LIMIT, such as 60/minute, and behind a proxy L402_TRUSTED_PROXIES",
            )
            return
        limit = ChallengeLimit(rate, storage, "l402-doctor", time.time)
        if not limit.is_well():
            yield Finding(
                "limit",
                "failed",
                f"the store {place(storage or '')} does not answer, so each process counts for itself",
                "start it, or correct L402_LIMIT_STORAGE",
            )
            return
        counted = f"in {place(storage)}, for all processes that name it" if storage else "by each process for itself"
        yield Finding("limit", "ok", f"{rate} unpaid challenges for each peer, counted {counted}")
        if not self._settings.get("L402_TRUSTED_PROXIES"):
            yield Finding(
                "limit",
                "ok",
                "a peer is who connects: a proxy in front belongs into L402_TRUSTED_PROXIES, or all callers are one",
            )

    def sources_agree(self) -> Iterator[Finding]:
        """Each source of exchange rates is asked, and most of them agree."""
        rates = rates_from(self._settings)
        if rates is None and self._currency is None:
            return
        currency = self._currency or "USD"
        with closing(rates or Rates()) as asked:
            agreed, answers = drive(asked.survey(currency))
        for _, answer in answers:
            if isinstance(answer, str):
                yield Finding("rates", "warning", answer, "open the firewall, or name other sources in L402_RATES")
        given = ", ".join(f"{name} {answer:f}" for name, answer in answers if not isinstance(answer, str))
        if agreed is None:
            found = f"no {currency} rate: {f'the sources do not agree: {given}' if given else 'no source gives one'}"
            remedy = "name more sources in L402_RATES; without a rate, a fiat price is a 503"
            yield Finding("rates", "failed", found, remedy)
        else:
            yield Finding("rates", "ok", f"1 bitcoin is {agreed:f} {currency} ({given})")

    def paywall_starts(self) -> Iterator[Finding]:
        """All of it together is a paywall."""
        paywall_from_settings(self._settings).close()
        yield Finding("start", "ok", "an application can start with these settings")


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
        uses=1,
        request=token_bytes(32),
        endpoint="l402 doctor",
        msat=1000,
        now=now,
        lease_until=now + 60,
        forget_at=now + 3600,
    )
    held = isinstance(ledger.hold(claim).block(), Held)
    # The lease ends here: a release would be counted.
    if not held or not ledger.renew(claim.payment_hash, claim.hold_id, now).block():
        raise LedgerError("the ledger lost a use that it had just held; do several servers stand behind its address?")


def _try_folder(path: Path) -> Finding:
    """Try a ledger beside where `path` will be: made by whoever runs this, the file might not be the application's."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".l402-doctor-", dir=path.parent) as folder,
            closing(SQLiteLedger(Path(folder, "l402.db"))) as ledger,
        ):
            _try(ledger)
    except OSError as error:
        return Finding(
            "ledger",
            "failed",
            f"no file can be made in {path.parent}: {error.strerror}",
            "make that folder, and give the application's user the right to write there",
        )
    return Finding(
        "ledger",
        "ok",
        f"SQLiteLedger {path} is not there yet; a trial file in its folder can be read and written, and is gone again",
    )


def _private(check: str, path: Path) -> Iterator[Finding]:
    if os.name == "posix" and path.stat().st_mode & 0o077:
        yield Finding(check, "warning", f"others may read {path}, which holds a secret", f"chmod 600 {path}")


def _own(path: Path) -> Iterator[Finding]:
    if os.name == "posix" and path.stat().st_uid != os.geteuid():
        yield Finding(
            "ledger",
            "warning",
            f"{path} belongs to another user",
            "run `l402 doctor` as the user that the application has",
        )


def _clock(created_at: int, asked_at: float, answered_at: float) -> Finding:
    # An invoice's time is in whole seconds, rounded down.
    ahead, behind = created_at - answered_at, asked_at - (created_at + 1)
    off = max(ahead, behind, 0)
    if off > CLOCK_SECONDS:
        return Finding(
            "clock",
            "warning",
            f"the wallet's clock is {off:.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine's",
            "let NTP set both: invoices and credentials end by them",
        )
    return Finding("clock", "ok", f"the wallet's clock and this machine's agree within {CLOCK_SECONDS} s")
