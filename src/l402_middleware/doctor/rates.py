"""The sources of exchange rates."""

from collections.abc import Iterator
from contextlib import closing

from ..flow import drive
from ..paywall.settings import rates_from
from ..rates import Rates
from .diagnosis import Diagnosis, Examination


def sources_agree(examination: Examination) -> Iterator[Diagnosis]:
    """Each source of exchange rates is asked, and most of them agree."""
    rates = rates_from(examination.settings)
    if rates is None and examination.currency is None:
        return
    currency = examination.currency or "USD"
    with closing(rates or Rates()) as asked:
        agreed, answers = drive(asked.survey(currency))
    for _, answer in answers:
        if isinstance(answer, str):
            yield Diagnosis("rates", "warning", answer, "open the firewall, or name other sources in L402_RATES")
    given = ", ".join(f"{name} {answer:f}" for name, answer in answers if not isinstance(answer, str))
    if agreed is None:
        found = f"no {currency} rate: {f'the sources do not agree: {given}' if given else 'no source gives one'}"
        remedy = "name more sources in L402_RATES; without a rate, a fiat price is a 503"
        yield Diagnosis("rates", "failed", found, remedy)
    else:
        yield Diagnosis("rates", "ok", f"1 bitcoin is {agreed:f} {currency} ({given})")
