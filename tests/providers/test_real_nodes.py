"""The provider contract for real nodes, each given by its provider URL in an environment variable.

`CONTRIBUTING.md` says how to give one. Where no node pays, one without a channel will do.
"""

import base64
import os
from collections.abc import Callable

import pytest

from l402_middleware.providers import LND, CoreLightning, Phoenixd, Provider, provider_from_url
from l402_middleware.testing.provider_contract import ProviderContract

from .emulators import as_phoenixd_cuts
from .paying_node import PayingLND, paying_node


class RealNodeContract(ProviderContract):
    """The contract for the node whose provider URL stands in `variable`."""

    variable: str

    @pytest.fixture
    def provider(self) -> Provider:
        url = os.environ.get(self.variable)
        if not url:
            pytest.skip(f"{self.variable} is not set")
        return provider_from_url(url)

    @pytest.fixture
    def pay(self) -> Callable[[str], object]:
        payer: PayingLND = paying_node()
        return payer.pay


@pytest.mark.lnd
class TestLND(RealNodeContract):
    variable = "LND_TEST_URL"

    @pytest.fixture
    def secrets(self, provider: LND) -> list[str]:
        return [provider.macaroon]


@pytest.mark.cln
class TestCoreLightning(RealNodeContract):
    variable = "CLN_TEST_URL"

    @pytest.fixture
    def secrets(self, provider: CoreLightning) -> list[str]:
        return [provider.rune]


@pytest.mark.phoenixd
class TestPhoenixd(RealNodeContract):
    variable = "PHOENIXD_TEST_URL"

    def kept(self, memo: str) -> str:
        return as_phoenixd_cuts(memo)

    @pytest.fixture
    def secrets(self, provider: Phoenixd) -> list[str]:
        return [provider.password, base64.b64encode(f":{provider.password}".encode()).decode()]
