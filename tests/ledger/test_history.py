"""Ledgers that earlier versions wrote: what they took rightly stays readable, and an opening cut short is made up for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from gigaforge.cli import main
from gigaforge.ledger import Event, Ledger, actions, book
from gigaforge.ledger.attention import notices
from gigaforge.ledger.backup import backup, restore
from gigaforge.ledger.errors import BrokenLedgerError
from gigaforge.ledger.keys import new_key, read_key, sign
from gigaforge.ledger.overview import overview
from gigaforge.ledger.signed import checkpoint_bytes
from gigaforge.ledger.state import State
from gigaforge.ledger.storage import projection
from gigaforge.ledger.verification import verify
from tests.ledger.test_tampering import write_past
from tests.ledger.world import ANN, CHO, accept, deliver


def taken_before(ledger: Ledger, kind: str, data: dict, day: str, who: str = "nvidia/cho") -> Event:
    """An event that was recorded before there was a rule against it, in a ledger that was folded then."""
    party, person = who.split("/")
    content = {
        "ledger": ledger.state().ledger,
        "kind": kind,
        "actor": {"party": party, "person": person},
        "data": data,
    }
    event = write_past(ledger, {**content, "happened_on": day})
    ledger.rebuild()
    return event


def long_ago(ledger: Ledger) -> Event:
    return taken_before(ledger, "delivery", {"racks": ["OLD"], "system": "rack", "site": "abilene"}, "1926-10-01")


def by_replaced_key(ledger: Ledger, folder: Path) -> Event:
    old = read_key(folder / "openai.key")
    new_key(folder / "fresh.key")
    ledger.append(actions.rotation(ledger, ANN, old, read_key(folder / "fresh.key")))
    state = ledger.state()
    signed = sign(old, checkpoint_bytes(state.ledger, "openai", state.seq, state.head))
    data = {"count": state.seq, "head": state.head, "key": signed["key"], "signature": signed["value"]}
    return taken_before(ledger, "checkpoint", data, state.recorded_at[:10], "openai/ann")


def as_version(ledger: Ledger, tables: str) -> None:
    """The tables as an earlier version had them, with a state that only that version reads."""
    config = Config()
    config.set_main_option("script_location", "gigaforge.ledger:migrations")
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(projection).values(body=b"{}", fold=0))
        config.attributes["connection"] = connection
        command.downgrade(config, tables)


def said_by_verify(
    where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["gigaforge", "ledger", "verify", "--ledger", where])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code, capsys.readouterr().err


def test_a_day_long_ago_that_an_earlier_version_took_is_told_and_can_be_corrected(ledger: Ledger) -> None:
    event = long_ago(ledger)
    assert verify(ledger.engine).sound
    (look,) = notices(ledger.state())
    assert (look.events, "too early" in look.words) == ([event.seq], True)
    ledger.append(actions.correction(ledger, CHO, event.seq, "2026, not 1926"))
    assert not notices(ledger.state())
    assert verify(ledger.engine).sound


def test_days_within_a_quarter_that_the_first_version_took_stay(ledger: Ledger) -> None:
    deliver(ledger, "A", "B", day="2026-11-20")
    data = {"racks": ["A", "B"], "throughput": 1000.0, "power_w": 180e3, "verdict": "pass"}
    event = taken_before(ledger, "acceptance", data, "2026-11-10", "openai/ann")
    assert ledger.state().accepted_w == 500_000
    assert verify(ledger.engine).sound
    (look,) = notices(ledger.state())
    assert look.events == [event.seq]


def test_a_checkpoint_by_a_replaced_key_is_found_and_stops_nothing(
    ledger: Ledger, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    event = by_replaced_key(ledger, tmp_path)
    found = verify(ledger.engine)
    assert (found.sound, found.whole) == (False, True)
    assert [f.where for f in found.findings] == [f"event {event.seq}"]
    assert "openai" not in overview(ledger.state())["checkpoints"]
    deliver(ledger, "A")
    again = verify(ledger.engine)
    assert (again.whole, len(again.findings)) == (True, 1)
    code, said = said_by_verify(where, monkeypatch, capsys)
    assert (code, "the record is whole" in said) == (1, True)
    backup(ledger, tmp_path / "all.zip")
    done = restore(tmp_path / "all.zip", str(tmp_path / "again.db"))
    assert done["head"] == ledger.state().head
    assert [f"event {event.seq}" in words for words in done["remarks"]] == [True]


@pytest.mark.parametrize("tables", ["0001", "0002", "0003", "0004"])
def test_old_tables_are_opened(ledger: Ledger, where: str, tables: str) -> None:
    deliver(ledger, "A")
    accept(ledger, "A")
    long_ago(ledger)
    before = ledger.state()
    as_version(ledger, tables)
    with Ledger.open(where) as again:
        assert again.state() == before
        assert verify(again.engine).sound


def test_an_opening_cut_short_is_made_up_for_by_the_next(
    ledger: Ledger, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(ledger, "A")
    before = ledger.state()
    as_version(ledger, "0001")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(book, "apply", killed)
        with pytest.raises(KeyboardInterrupt):
            Ledger.open(where)
    with Ledger.open(where) as again:
        assert again.state() == before
        assert verify(again.engine).sound
        with monkeypatch.context() as patched:  # and no opening after it folds
            patched.setattr(book, "apply", killed)
            Ledger.open(where).close()


def test_tables_of_now_with_a_state_of_before_are_folded_anew(ledger: Ledger, where: str) -> None:
    """As an interrupted opening of an earlier version left them."""
    deliver(ledger, "A")
    before = ledger.state()
    with ledger.engine.begin() as connection:
        old = {n: v for n, v in before.to_dict().items() if n != "remarks"}
        body = State(**old).body()
        connection.execute(sa.update(projection).values(body=body, fold=0))
    with Ledger.open(where) as again:
        assert verify(again.engine).sound


def test_a_ledger_that_cannot_be_folded_says_which_event_and_is_left_as_it_was(
    ledger: Ledger, where: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ledger.state()
    data = {"racks": ["A"], "system": "no such", "site": "abilene"}
    event = write_past(ledger, {"ledger": state.ledger, "kind": "delivery", "data": data,
                                "actor": {"party": "nvidia", "person": "cho"}})  # fmt: skip
    as_version(ledger, "0002")
    for _ in range(2):
        with pytest.raises(BrokenLedgerError, match=f"event {event.seq} breaks a rule"):
            Ledger.open(where)
    code, said = said_by_verify(where, monkeypatch, capsys)
    assert (code, f"event {event.seq}: breaks a rule" in said) == (1, True)
