"""All checks, one after the other: each has its time, and none stops another."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from ..core.errors import ConfigurationError, LedgerError, ProviderError, ProviderFault
from .diagnosis import Diagnosis, Examination
from .keys import keys_are_good
from .ledger import ledger_can_be_used
from .limit import limit_counts
from .provider import provider_makes_an_invoice
from .rates import sources_agree
from .redaction import Redaction, place, provider_urls
from .settings import paywall_starts, settings_can_be_read

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


def examine(
    settings: Mapping[str, str],
    *,
    make_invoice: bool = True,
    amount: int = 1,
    currency: str | None = None,
    seconds: float = 30,
) -> Iterator[Diagnosis]:
    """Try everything that `settings` (an environment) name, one thing after the other.

    A check that fails, or takes longer than `seconds`, does not stop the others. Each provider's invoice is over
    `amount` sats, and stays unpaid in its wallet; without `make_invoice` none is made. Exchange rates are asked for
    where a `currency` is given, or the settings name sources; then it is US dollars that are asked for.
    """
    examination = Examination(settings, make_invoice, amount, currency)
    hide = Redaction(settings).hide
    failures = set()
    urls = provider_urls(settings)
    wallets = {
        f"{number} of {len(urls)}, {place(url)}" if len(urls) > 1 else "": url for number, url in enumerate(urls, 1)
    }
    checks: list[tuple[str, Callable[[], Iterable[Diagnosis]], str]] = [
        ("settings", partial(settings_can_be_read, examination), ""),
        ("ledger", partial(ledger_can_be_used, examination), ""),
        ("keys", partial(keys_are_good, examination), ""),
        *(("provider", partial(provider_makes_an_invoice, examination, url), about) for about, url in wallets.items()),
        ("limit", partial(limit_counts, examination), ""),
        ("rates", partial(sources_agree, examination), ""),
        ("start", partial(paywall_starts, examination), ""),
    ]
    for name, check, about in checks:
        for finding in _within(seconds, name, check):
            # The start fails as what was tried before it did.
            if finding.found not in failures:
                yield replace(finding, found=hide(finding.found), remedy=hide(finding.remedy), about=hide(about))
            if finding.status == "failed":
                failures.add(finding.found)


def _within(seconds: float, name: str, check: Callable[[], Iterable[Diagnosis]]) -> list[Diagnosis]:
    found: list[Diagnosis] = []

    def run() -> None:
        try:
            for finding in check():
                found.append(finding)  # noqa: PERF402 - what was found before a failure counts
        except ProviderError as error:
            found.append(Diagnosis(name, "failed", str(error), _REMEDIES[error.kind]))
        except (ConfigurationError, LedgerError) as error:
            found.append(Diagnosis(name, "failed", str(error)))
        except Exception as error:
            # Its message is anybody's, and may hold a secret.
            found.append(Diagnosis(name, "failed", f"the check itself failed with {type(error).__name__}"))

    thread = threading.Thread(target=run, name=f"l402 doctor: {name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        late = Diagnosis(
            name,
            "failed",
            f"it was not over after {seconds:g} s",
            "look at the load of what it asks, and at the network between",
        )
        return [*found, late]
    return found
