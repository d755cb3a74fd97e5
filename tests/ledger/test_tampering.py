"""Whoever changes, drops, adds or moves anything in the record is found out."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from gigaforge.cli import ledger_keep
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.ledger import Ledger, RefusedError, actions, verify, verify_copy
from gigaforge.ledger.backup import backup, export, restore
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.event import Event
from gigaforge.ledger.keys import new_key, public_of, read_key, sign
from gigaforge.ledger.signed import checkpoint_bytes
from gigaforge.ledger.statement_signing import check_statement, sign_statement, write_statement
from gigaforge.ledger.storage import events, evidence, projection, racks
from tests.ledger.world import ANN, BOB, CHO, DAN, agree, approved, deliver, new_ledger, parties, ready, terms


@pytest.fixture
def full(tmp_path: Path) -> Ledger:
    """A small ledger with something of everything."""
    ledger = new_ledger(str(tmp_path / "full.db"), tmp_path)
    photo = ledger.put_evidence(b"photo of a rack", "rack.jpg", "image/jpeg")
    data = {"racks": ["P1"], "system": "rack", "site": "abilene"}
    ledger.append(actions.draft("delivery", CHO, data, evidence=(photo,), key="photo"))
    ready(ledger)
    claim = approved(ledger)
    ledger.append(actions.release(ledger, DAN, claim.seq, "wire"))
    return ledger


def change(ledger: Ledger, table: sa.Table, column: str, where: sa.ColumnElement, value: object) -> None:
    """Write past the ledger, as an intruder with the database would."""
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(table).where(where).values({column: value}))


def write_past(ledger: Ledger, content: dict) -> Event:
    """Add an event without the rules, every hash mended."""
    last = list(ledger.all_events())[-1]
    forged = Event.of(last.seq + 1, last.hash, last.recorded_at, content)
    row = {
        "seq": forged.seq,
        "hash": forged.hash,
        "kind": forged.kind,
        "party": forged.actor.party,
        "key": None,
        "body": forged.body,
    }
    with ledger.engine.begin() as connection:
        connection.execute(sa.insert(events).values(row))
    return forged


def checkpoint(ledger: Ledger, folder: Path) -> Path:
    draft, kept = actions.checkpoint(ledger, ANN, read_key(folder / "openai.key"))
    ledger.append(draft)
    file = folder / "kept.json"
    file.write_text(json.dumps(kept), encoding="utf-8")
    return file


def test_changed_bytes_of_every_event_are_found(full: Ledger) -> None:
    rng = random.Random(7)
    for event in full.all_events():
        for position in range(
            event.seq % 19, len(event.body), 19
        ):  # benchmarks/ledger_tampering.py changes every one
            body = bytearray(event.body)
            body[position] ^= rng.randrange(1, 256)
            bodies = [bytes(body) if e.seq == event.seq else e.body for e in _events(full)]
            assert not _sound(bodies, _hashes(full)), (event.seq, position)


_cache: dict[int, list[Event]] = {}


def _events(ledger: Ledger) -> list[Event]:
    return _cache.setdefault(id(ledger), list(ledger.all_events()))


def _hashes(ledger: Ledger) -> list[str]:
    return [e.hash for e in _events(ledger)]


def _sound(bodies: list[bytes], hashes: list[str]) -> bool:
    """The part of verification that reads stored rows, without a database for each of thousands of changes."""
    from gigaforge.ledger.verification import _Chain, _Row

    rows = (_Row(n, body, head) for n, (body, head) in enumerate(zip(bodies, hashes, strict=True), 1))
    return not _Chain([]).read(rows, lambda seq: Event.read(seq, bodies[seq - 1]), None).findings


def test_even_if_the_intruder_mends_the_hash_of_the_event(full: Ledger, tmp_path: Path) -> None:
    kept = checkpoint(full, tmp_path)
    for event in list(full.all_events())[1:]:
        forged = canonical({**event.parts, "happened_on": "2020-01-01"})
        change(full, events, "body", events.c.seq == event.seq, forged)
        change(full, events, "hash", events.c.seq == event.seq, sha256(forged))
        assert not verify(full.engine, checkpoints=(kept,)).sound
        change(full, events, "body", events.c.seq == event.seq, event.body)
        change(full, events, "hash", events.c.seq == event.seq, event.hash)
    assert verify(full.engine, checkpoints=(kept,)).sound


def test_every_changed_byte_of_evidence_and_its_removal_are_found(full: Ledger) -> None:
    content = b"photo of a rack"
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        change(full, evidence, "content", sa.true(), bytes(changed))
        found = verify(full.engine).findings
        assert found
        assert "evidence" in found[0].where
    with full.engine.begin() as connection:
        connection.execute(sa.delete(evidence))
    assert "missing" in verify(full.engine).findings[0].problem


@pytest.mark.parametrize(
    ("column", "value"), [("kind", "meter"), ("party", "crusoe"), ("key", "openai other"), ("hash", "0" * 64)]
)
def test_what_an_event_is_listed_under_is_part_of_the_record(full: Ledger, column: str, value: str) -> None:
    change(full, events, column, events.c.seq == 5, value)
    assert not verify(full.engine).sound


def test_dropped_moved_and_added_events_are_found(full: Ledger) -> None:
    rows = _events(full)
    hashes = _hashes(full)
    bodies = [e.body for e in rows]
    count = len(rows)
    for n in range(count):
        assert not _sound(bodies[:n] + bodies[n + 1 :], hashes[:n] + hashes[n + 1 :]) or n == count - 1
    for n in range(count - 1):
        swapped = [*bodies[:n], bodies[n + 1], bodies[n], *bodies[n + 2 :]]
        assert not _sound(swapped, [sha256(b) for b in swapped])
    doubled = [*bodies, bodies[-1]]
    assert not _sound(doubled, [sha256(b) for b in doubled])


def test_every_cut_off_tail_is_found_by_the_state_and_by_what_a_party_kept(full: Ledger, tmp_path: Path) -> None:
    kept, copy = checkpoint(full, tmp_path), tmp_path / "copy.jsonl"
    export(full, copy)
    count = full.state().seq
    for last in range(count - 2, 0, -1):
        with full.engine.begin() as connection:
            connection.execute(sa.delete(events).where(events.c.seq > last))
        assert any("missing" in f.problem for f in verify(full.engine).findings)
    # An intruder who also mends the kept state is still found by the checkpoint and the copy.
    restored = tmp_path / "short.db"
    lines = copy.read_bytes().splitlines(keepends=True)
    for cut in range(2, count):
        short = tmp_path / "short.jsonl"
        short.write_bytes(b"".join(lines[: count - cut]))
        assert verify_copy(short).sound
        assert "cut off" in verify_copy(short, checkpoints=(kept,)).findings[0].problem
    del restored


def test_a_partys_proof_is_never_written_over(full: Ledger, tmp_path: Path) -> None:
    """Who exports every night keeps what shows that the night before differed."""
    copy = tmp_path / "copy.jsonl"
    export(full, copy)
    before = copy.read_bytes()
    deliver(full, "N1")
    assert export(full, copy)[0] == full.state().seq  # it only grew
    grown = copy.read_bytes()
    assert grown.startswith(before)
    assert grown != before
    with full.engine.begin() as connection:
        connection.execute(sa.delete(events).where(events.c.seq == full.state().seq))
    full.rebuild()
    with pytest.raises(NoAnswerError, match="holds more than"):
        export(full, copy)
    deliver(full, "N2")  # another event where the deleted one was
    with pytest.raises(NoAnswerError, match=f"event {full.state().seq} of .* is not the ledger's"):
        export(full, copy)
    assert copy.read_bytes() == grown
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    with pytest.raises(InputError, match="is not a copy"):
        export(full, other)
    with pytest.raises(InputError, match="not written over"):
        backup(full, other)
    assert other.read_text() == "mine"
    assert not list(tmp_path.glob(".*-*"))


def test_a_signed_statement_is_not_written_over(full: Ledger, tmp_path: Path) -> None:
    file = write_statement(full, 1, tmp_path, [])[0]
    write_statement(full, 1, tmp_path, [])
    sign_statement(file, [(ANN, read_key(tmp_path / "openai.key"))])
    with pytest.raises(InputError, match="is signed by openai"):
        write_statement(full, 1, tmp_path, [])


def test_a_ledger_rebuilt_by_an_intruder_does_not_match_a_partys_copy(full: Ledger, tmp_path: Path) -> None:
    kept, copy = checkpoint(full, tmp_path), tmp_path / "copy.jsonl"
    export(full, copy)
    other = tmp_path / "other"
    other.mkdir()
    forged = new_ledger(str(other / "forged.db"), other)
    ready(forged, 30)
    assert not verify(forged.engine, checkpoints=(kept,)).sound
    assert "rewritten" in verify(forged.engine, copies=(copy,)).findings[0].problem
    changed = json.loads(kept.read_text())
    kept.write_text(json.dumps({**changed, "count": changed["count"] - 1}))
    assert "signature" in verify(full.engine, checkpoints=(kept,)).findings[0].problem


def test_the_kept_view_is_verified_not_trusted(full: Ledger) -> None:
    change(full, racks, "claim", racks.c.rack == "R00000", 0)
    found = verify(full.engine)
    assert [f.where for f in found.findings] == ["rack R00000"]
    full.rebuild()
    assert verify(full.engine).sound
    body = full.state().body().replace(b'"pass":1', b'"pass":9')
    change(full, projection, "body", sa.true(), body)
    change(full, projection, "sha256", sa.true(), sha256(body))
    assert [f.where for f in verify(full.engine).findings] == ["state"]


@pytest.mark.parametrize("value", ["'x'", "x'00ff'", "CAST({} AS TEXT)"])
def test_another_type_in_any_column_is_found_or_changes_nothing(full: Ledger, value: str, tmp_path: Path) -> None:
    """SQLite keeps whatever it is given: text where bytes were, bytes where text was."""
    full.close()
    for table in (events, evidence, projection, racks):
        for column in table.columns:
            if column.name == "id":
                continue
            copy = tmp_path / "copy.db"
            shutil.copy(tmp_path / "full.db", copy)
            last = sa.select(sa.func.max(sa.column("rowid"))).select_from(table).scalar_subquery()
            changed = {column.name: sa.literal_column(value.format(column.name))}
            with Ledger.open(str(copy)) as ledger:
                with (
                    contextlib.suppress(sa.exc.IntegrityError),
                    ledger.engine.begin() as connection,
                ):  # a number that must be one
                    connection.execute(sa.update(table).where(sa.column("rowid") == last).values(changed))
                sound = verify(ledger.engine).sound
            assert sound == (value.startswith("CAST") or (table.name, column.name) == ("events", "seq")), (
                table.name,
                column.name,
            )


def test_an_event_written_past_the_rules_is_found(full: Ledger) -> None:
    """Double counting by somebody who holds the database and mends every hash."""
    state = full.state()
    content = {"ledger": state.ledger, "kind": "claim", "actor": {"party": "openai", "person": "ann"},
               "data": {"tranche": 2, "racks": ["R00000", "R00001", "R00002", "R00003"]}}  # fmt: skip
    write_past(full, content)
    assert "carries the claim" in verify(full.engine).findings[0].problem


@pytest.mark.parametrize("forged", ["commitment", "approval"])
def test_first_terms_forged_in_a_signed_ledger_are_found(forged: str, tmp_path: Path) -> None:
    """By whoever holds the file and no key: neither terms nor agreement to them stand without a signature."""
    kinds = ["commitment", "approval"]
    with Ledger.create(str(tmp_path / "l.db"), "Small", parties(tmp_path), ANN, signed=kinds) as ledger:
        name = ledger.state().ledger
        put = actions.draft("commitment", ANN, {"terms": terms()})
        if forged == "commitment":
            write_past(ledger, put.content(name))
        else:
            event = ledger.append(actions.signed(ledger, put, read_key(tmp_path / "openai.key")))
            for who in (BOB, CHO):
                write_past(ledger, actions.approval(ledger, who, event.seq).content(name))
        assert f"asks for a signed {forged}" in verify(ledger.engine).findings[0].problem


def test_backup_and_restore_across_databases(full: Ledger, where: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    about = backup(full, file)
    place = where if where.startswith("postgresql") else str(tmp_path / "restored.db")
    done = restore(file, place)
    assert (done["events"], done["head"]) == (about["events"], full.state().head)
    with Ledger.open(place) as again:
        assert again.state().body() == full.state().body()
        assert again.evidence(sha256(b"photo of a rack")) == b"photo of a rack"
        deliver(again, "AFTER")
        assert verify(again.engine).sound


def test_a_damaged_backup_is_refused_and_leaves_nothing(full: Ledger, tmp_path: Path) -> None:
    file = tmp_path / "backup.zip"
    backup(full, file)
    content = file.read_bytes()
    for damaged in (content[:-40], content[: len(content) // 2], b"PK" + content[5:], b""):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="backup"):
            restore(file, str(tmp_path / "again.db"))
        assert not (tmp_path / "again.db").exists()


def rotate(ledger: Ledger, folder: Path) -> Event:
    new_key(folder / "fresh.key")
    old, new = read_key(folder / "openai.key"), read_key(folder / "fresh.key")
    return ledger.append(actions.rotation(ledger, ANN, old, new))


def test_a_copy_is_kept_behind_a_link(full: Ledger, tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    link, kept = tmp_path / "copy.jsonl", tmp_path / "shelf" / "kept.jsonl"
    link.symlink_to(kept)
    for rack in ("L1", "L2"):
        count, head = export(full, link)
        assert link.is_symlink()
        assert (count, head) == (len(kept.read_bytes().splitlines()), full.state().head)
        deliver(full, rack)
    assert [file.name for file in (tmp_path / "shelf").iterdir()] == ["kept.jsonl"]


def test_a_reader_that_stops_reading_does_not_cost_the_kept_file(
    full: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise BrokenPipeError

    kept = tmp_path / "kept.json"
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", SimpleNamespace(write=gone, flush=gone))
        with pytest.raises(BrokenPipeError):
            ledger_keep.checkpoint("openai/ann", tmp_path / "openai.key", kept, str(tmp_path / "full.db"))
    assert full.events(newest=True, limit=1)[0].kind == "checkpoint"
    assert verify(full.engine, checkpoints=(kept,)).sound


def test_checkpoints_survive_the_rotation_of_their_key(full: Ledger, tmp_path: Path) -> None:
    kept = checkpoint(full, tmp_path)
    rotate(full, tmp_path)
    agree(full, version=2)
    assert verify(full.engine, checkpoints=(kept,)).sound
    fresh = actions.checkpoint(full, ANN, read_key(tmp_path / "fresh.key"))[0]
    full.append(fresh)
    assert verify(full.engine, checkpoints=(kept,)).sound


def test_a_key_that_was_replaced_signs_nothing_more(full: Ledger, tmp_path: Path) -> None:
    """Whoever found it may hold the database too: neither the rules nor verification take its word for what came later."""
    old, rotation = read_key(tmp_path / "openai.key"), rotate(full, tmp_path)
    with pytest.raises(InputError, match="is not the current one of 'openai'"):
        actions.checkpoint(full, ANN, old)
    state = full.state()
    forged = sign(old, checkpoint_bytes(state.ledger, "openai", state.seq, state.head))
    data = {"count": state.seq, "head": state.head, "key": forged["key"], "signature": forged["value"]}
    with pytest.raises(RefusedError, match="is not the current one of 'openai'"):
        full.append(actions.draft("checkpoint", ANN, data))
    kept = tmp_path / "forged.json"
    public = {"public_key": public_of(old), "signature": forged["value"], "ledger": state.ledger, "party": "openai"}
    kept.write_text(json.dumps({**public, "count": state.seq, "head": state.head}), encoding="utf-8")
    found = verify(full.engine, checkpoints=(kept,)).findings
    assert [f.where for f in found] == ["checkpoint forged.json"]
    assert f"event {rotation.seq} had replaced it" in found[0].problem
    content = {
        "ledger": state.ledger,
        "kind": "checkpoint",
        "actor": {"party": "openai", "person": "ann"},
        "data": data,
    }
    event = write_past(full, content)
    found = verify(full.engine).findings
    assert (found[0].where, "is not the current one of 'openai'" in found[0].problem) == (f"event {event.seq}", True)


def test_a_statement_is_not_signed_with_a_key_that_was_replaced_before(full: Ledger, tmp_path: Path) -> None:
    old, before = [(ANN, read_key(tmp_path / "openai.key"))], write_statement(full, 1, tmp_path / "before", [])[0]
    sign_statement(before, old)
    rotation = rotate(full, tmp_path)
    told = check_statement(before.read_bytes(), "before", full)
    assert (told.findings, told.signers) == ([], ["openai/ann"])
    assert f"was replaced since, by event {rotation.seq}" in told.remarks[0]
    after = write_statement(full, 1, tmp_path / "after", [])[0]
    sign_statement(after, old)  # without the ledger nobody can tell; with it, everybody
    told = check_statement(after.read_bytes(), "after", full)
    assert (told.signers, f"was replaced by event {rotation.seq}, before" in told.findings[0]) == ([], True)
