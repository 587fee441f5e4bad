"""The provider contract for a real LNbits, whose invoices are really paid."""

from collections.abc import Callable
from typing import Any

import pytest

from l402_middleware.providers import LNbits, Provider
from l402_middleware.testing.provider_contract import CreatedAnswer, HTTPProviderContract, ProviderAt

from .lab import LNbitsServer


@pytest.mark.slow
class TestLNbits(HTTPProviderContract):
    @pytest.fixture
    def provider(self, lnbits: LNbitsServer) -> Provider:
        # FakeWallet's invoices are for mainnet, and a hundred at once take it a while.
        return LNbits(lnbits.url, invoice_key=lnbits.invoice_key, timeout=60)

    @pytest.fixture
    def secrets(self, lnbits: LNbitsServer) -> list[str]:
        return [lnbits.invoice_key]

    @pytest.fixture
    def pay(self, lnbits: LNbitsServer) -> Callable[[str], Any]:
        return lnbits.pay

    @pytest.fixture
    def provider_at(self, lnbits: LNbitsServer) -> ProviderAt:
        return lambda url, timeout: LNbits(url, lnbits.invoice_key, "regtest", timeout=timeout)

    @pytest.fixture
    def created_answer(self) -> CreatedAnswer:
        return lambda bolt11, payment_hash: (
            201,
            {"bolt11": bolt11, "payment_hash": payment_hash.hex(), "amount": 1000, "status": "pending"},
        )
