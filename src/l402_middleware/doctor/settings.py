"""The settings: each can be read, and all together are a paywall."""

from collections.abc import Iterator

from ..paywall.settings import NAMES, paywall_from_settings, rules_from, unknown_settings
from .diagnosis import Diagnosis, Examination


def settings_can_be_read(examination: Examination) -> Iterator[Diagnosis]:
    """Every `L402_...` variable means something, and its value is of the right kind."""
    for name, meant in unknown_settings(examination.settings):
        remedy = f"is {meant} meant?" if meant else "is it another program's? Then all is well"
        yield Diagnosis("settings", "warning", f"there is no setting {name}, so it does nothing", remedy)
    rules = rules_from(examination.settings)
    examination.expiry = rules.get("invoice_expiry", examination.expiry)
    examination.verify_settlement = rules.get("verify_settlement", examination.verify_settlement)
    count = sum(1 for name in NAMES if examination.settings.get(name))
    yield Diagnosis("settings", "ok", f"{count} {'is' if count == 1 else 'are'} set, and can be read")


def paywall_starts(examination: Examination) -> Iterator[Diagnosis]:
    """All of it together is a paywall."""
    paywall_from_settings(examination.settings).close()
    yield Diagnosis("start", "ok", "an application can start with these settings")
