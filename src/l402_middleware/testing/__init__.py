"""For the tests of whoever sells: `assert_priced`; and the contracts, for those who write a provider or a ledger."""

import sys

from .priced import assert_priced

__all__ = ["assert_priced"]

# Without pytest's rewriting, which has to be asked for before the import, a contract that fails would show no values.
_WITH_ASSERTIONS = (
    "ledger_contract",
    "ledger_balances",
    "ledger_holds",
    "ledger_memory",
    "ledger_model",
    "ledger_races",
    "ledger_record",
    "provider_contract",
)
if (pytest := sys.modules.get("pytest")) is not None:
    pytest.register_assert_rewrite(*(f"{__name__}.{each}" for each in _WITH_ASSERTIONS))
