"""The paywall of an application in this process."""

import pytest

from l402_middleware import Paywall
from l402_middleware.providers.devnode import DevNode

from .servers import KEY


@pytest.fixture
def paywall() -> Paywall:
    """A paywall of one process."""
    return Paywall(DevNode(), secret_keys=[KEY])
