"""A served ledger, and a caller for each role of each party."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gigaforge.ledger import Actor, Ledger
from gigaforge.ledger.access import issue
from gigaforge.web.app import create_app
from gigaforge.web.settings import Settings
from tests.ledger.world import new_ledger, ready


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path) as ledger:
        ready(ledger, 5)
    found = create_app(Settings(ledger=where, requests_per_minute=100_000))
    with TestClient(found):
        yield found


@pytest.fixture
def ledger(app: FastAPI) -> Ledger:
    return app.state.ledger


@pytest.fixture
def caller(app: FastAPI) -> Callable[..., TestClient]:
    """A client that asks as a person with a role."""

    def make(who: str = "", role: str = "viewer") -> TestClient:
        client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
        if who:
            secret = issue(app.state.ledger.engine, Actor.parse(who), role, timedelta(hours=1))[1]
            client.headers["authorization"] = f"Bearer {secret}"
        return client

    return make
