"""What the tests share: development mode, both event loops, and what to do for want of something outside."""

import os
from collections.abc import Callable
from typing import NoReturn

import pytest

os.environ["L402_DEV"] = "1"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """The event loops that every async test runs on."""
    return str(request.param)


@pytest.fixture
def skip_or_fail() -> Callable[[str], NoReturn]:
    """Skip the running test for want of something outside; fail it instead where L402_TEST_ALL=1 is set."""

    def missing(reason: str) -> NoReturn:
        if os.environ.get("L402_TEST_ALL") == "1":
            pytest.fail(f"L402_TEST_ALL=1, and {reason}", pytrace=False)
        pytest.skip(reason)

    return missing
