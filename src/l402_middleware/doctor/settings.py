"""The settings: each can be read, and all together are a paywall."""

from collections.abc import Iterator

from ..paywall.settings import NAMES, paywall_from_settings, rules_from, unknown_settings
from .finding import Examination, Finding


def settings_can_be_read(examination: Examination) -> Iterator[Finding]:
    """Every `L402_...` variable means something, and its value is of the right kind."""
    for name, meant in unknown_settings(examination.settings):
        remedy = f"is {meant} meant?" if meant else "is it another program's? Then all is well"
        yield Finding("settings", "warning", f"there is no setting {name}, so it does nothing", remedy)
    rules = rules_from(examination.settings)
    examination.expiry = rules.get("invoice_expiry", examination.expiry)
    examination.verify_settlement = rules.get("verify_settlement", examination.verify_settlement)
    count = sum(1 for name in NAMES if examination.settings.get(name))
    yield Finding("settings", "ok", f"{count} {'is' if count == 1 else 'are'} set, and can be read")


def paywall_starts(examination: Examination) -> Iterator[Finding]:
    """All of it together is a paywall."""
    paywall_from_settings(examination.settings).close()
    yield Finding("start", "ok", "an application can start with these settings")
