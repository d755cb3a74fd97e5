"""The database goes away, fills up or takes no writes: one clear error, nothing half recorded, and work goes on when it is back."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from gigaforge.cli import main
from gigaforge.errors import InputError
from gigaforge.ledger import Draft, Ledger, actions, verify
from gigaforge.ledger.access import issue
from gigaforge.ledger.errors import UnavailableError
from gigaforge.web.app import create_app
from gigaforge.web.settings import Settings
from tests.ledger.postgres import Cluster
from tests.ledger.world import ANN, CHO, new_ledger

OBJECTION = {"subject": 2, "reason": "x", "state": "opened"}


def objection(key: str | None = None) -> Draft:
    return actions.draft("dispute", CHO, OBJECTION, key=key)


@pytest.fixture
def address(cluster: Cluster, tmp_path: Path) -> str:
    where = cluster.database()
    new_ledger(where, tmp_path).close()
    return where


def test_a_server_that_stops_is_told_and_work_goes_on_when_it_is_back(
    address: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open(address) as ledger:
        token = issue(ledger.engine, CHO, "approver", timedelta(hours=1))[1]
    client = TestClient(create_app(Settings(address)), base_url="http://127.0.0.1")
    client.headers["authorization"] = f"Bearer {token}"
    assert client.get("/api/v1/state").json()["events"] == 4
    write: dict[str, Any] = {"json": {"kind": "dispute", "data": OBJECTION}, "headers": {"idempotency-key": "one"}}
    cluster.stop()
    try:
        for answer in (client.get("/api/v1/state"), client.post("/api/v1/events", **write)):
            assert (answer.status_code, answer.json()["type"]) == (503, "gigaforge:unavailable")
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"].isdigit()
            assert str(cluster.folder) not in answer.text  # where the database is, is not for everyone
        page = client.get("/events")
        assert (page.status_code, "<h1>The ledger does not answer</h1>" in page.text) == (503, True)
        monkeypatch.setattr(sys, "argv", ["gigaforge", "ledger", "state", "--ledger", address])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr().err.strip()
        assert end.value.code == 1
        assert "the database failed" in told
        assert len(told.splitlines()) == 1
    finally:
        cluster.start()
    assert client.post("/api/v1/events", **write).status_code == 201
    assert client.get("/api/v1/state").json()["events"] == 5


def test_a_connection_lost_while_the_record_is_kept_leaves_it_in_doubt_and_the_key_settles_it(
    address: str, cluster: Cluster
) -> None:
    with Ledger.open(address) as ledger:

        def cut(connection: sa.Connection) -> None:
            held = connection.connection.driver_connection
            assert isinstance(held, psycopg.Connection)
            with psycopg.connect(cluster.url("postgres"), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (held.info.backend_pid,))

        sa.event.listen(ledger.engine, "commit", cut, once=True)
        with pytest.raises(UnavailableError, match="may stand in the ledger or not"):
            ledger.append(objection("one"))
        event = ledger.append(objection("one"))
        assert ledger.append(objection("one")).seq == event.seq == ledger.state().seq
        assert verify(ledger.engine).sound


def test_a_server_that_takes_no_writes_is_no_damaged_ledger(address: str) -> None:
    with Ledger.open(address) as ledger:
        # as a copy that stands by answers: SQLAlchemy resets what a database or a user has for all transactions
        sa.event.listen(ledger.engine, "begin", lambda held: held.exec_driver_sql("SET TRANSACTION READ ONLY"))
        with pytest.raises(UnavailableError, match="read-only transaction; nothing was recorded"):
            ledger.append(objection())


def test_a_full_disk_records_nothing_and_damages_nothing(tmp_path: Path) -> None:
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path) as ledger:
        before = ledger.state()
        small = "PRAGMA max_page_count = 1"  # no smaller than it is: nothing more fits
        sa.event.listen(ledger.engine, "checkout", lambda held, *_: held.execute(small))
        with pytest.raises(
            UnavailableError, match=r"ledger\.db: the database failed: .* is full; nothing was recorded"
        ):
            ledger.put_evidence(b"x" * 100_000, "large.csv")
    with Ledger.open(where) as ledger:
        assert ledger.state() == before
        assert verify(ledger.engine).sound
        assert ledger.append(actions.draft("dispute", ANN, OBJECTION)).seq == before.seq + 1


def test_tables_that_are_not_there_are_no_outage(tmp_path: Path) -> None:
    where = str(tmp_path / "ledger.db")
    with new_ledger(where, tmp_path) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE projection"))
        with pytest.raises(InputError, match="is not a ledger, or a damaged one: no such table"):
            ledger.state()
