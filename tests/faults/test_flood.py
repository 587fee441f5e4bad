"""A short flood in the suite; `make flood` runs the long one."""

from pathlib import Path

import pytest

from . import flood
from .soak import table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("site", flood.SITES)
def test_an_unpaid_flood(site: str, tmp_path: Path) -> None:
    """Cases 98, 115: twice what the server can answer, from strangers; customers are served, and nothing grows."""
    outcome = flood.run(site, tmp_path, 5)
    assert not outcome.broken, "\n".join([*outcome.broken[:20], *table({"": outcome.counts})])
