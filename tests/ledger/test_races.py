"""Many at once: each tranche is approved and paid once, the cap holds, nothing acknowledged is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gigaforge.ledger import Ledger
from tests.ledger.killing import trial
from tests.ledger.postgres import Cluster
from tests.ledger.racing import check, race
from tests.ledger.world import COUNTED_W, ready


def test_fifty_clients_racing_pay_each_tranche_once(ledger: Ledger) -> None:
    ready(ledger, 16)
    outcomes = race(ledger, 3)
    check(ledger)
    assert outcomes["recorded"] > 0
    assert outcomes["refused"] > 0
    assert ledger.state().accepted_w == 16 * COUNTED_W


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_was_acknowledged_outlives_a_kill(kind: str, tmp_path: Path) -> None:
    cluster = Cluster(durable=True) if kind == "postgresql" else None
    rng = random.Random(3)
    try:
        done = trial(cluster.database() if cluster else str(tmp_path / "ledger.db"), tmp_path, 100, rng, cluster)
        assert done["acknowledged"] > 0
        assert done["found"] >= done["acknowledged"]
        assert done["lost"] == 0
        assert done["sound"]
    finally:
        if cluster:
            cluster.remove()
