"""Ledgers to test with: every promise is tested on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gigaforge.ledger import Ledger
from tests.ledger.postgres import Cluster
from tests.ledger.world import new_ledger


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    yield found
    found.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a ledger."""
    if request.param == "sqlite":
        return str(tmp_path / "ledger.db")
    return request.getfixturevalue("cluster").database()


@pytest.fixture
def ledger(where: str, tmp_path: Path) -> Iterator[Ledger]:
    """With terms in force."""
    with new_ledger(where, tmp_path) as found:
        yield found
