"""A short outage in the suite, with room for a busy machine; `make outage` measures."""

from pathlib import Path

import pytest

from . import node_outage
from .shop import free_port

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", list(node_outage.servers(0)))
def test_whoever_has_paid_is_served_while_the_node_is_away(name: str, tmp_path: Path) -> None:
    """Case 98: while the node hangs, and after it was killed, passes are good, on threads as on an event loop."""
    port = free_port()
    phases = node_outage.run(node_outage.servers(port)[name], port, tmp_path, 4, 0)
    assert [phase.name for phase in phases] == ["well", "hangs", "is killed"]
    for phase in phases:
        assert {status for *_, status in phase.paid} == {200}, node_outage.table(phases)
        assert {status for *_, status in phase.unpaid} <= {402, 503}, node_outage.table(phases)
        # Where each thread waits for the node, half of them take 3 seconds and more.
        assert node_outage.percentile([took for _, took, _ in phase.paid], 90) < 1.5, node_outage.table(phases)
        assert max(took for _, took, _ in phase.unpaid) < 25, node_outage.table(phases)
    assert {status for *_, status in phases[0].unpaid} == {402}
