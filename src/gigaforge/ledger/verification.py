"""Read the whole record and find whatever does not fit: changed, missing, moved or added, in events or evidence.

What one copy alone cannot show is a tail cut off together with everything that mentions it; a checkpoint that a party kept,
or its copy of the events, shows that too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gigaforge.errors import GigaforgeError, InputError
from gigaforge.ledger.attention import agreed_words
from gigaforge.ledger.canonical import ZERO_HASH, sha256
from gigaforge.ledger.event import Event
from gigaforge.ledger.fold import apply
from gigaforge.ledger.keys import fingerprint, replaced_at, signature_holds
from gigaforge.ledger.racks import MemoryRegister
from gigaforge.ledger.signed import checkpoint_bytes
from gigaforge.ledger.state import FOLD, State
from gigaforge.ledger.storage import events, evidence, projection, racks, reading

__all__ = ["Finding", "Verification", "verify", "verify_copy"]

_PAGE: Final = 2000
_ENOUGH: Final = 100
"""Findings after which a reading stops: the record is broken."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit.

    Attributes
    ----------
    where : str
        ``event 17``, ``evidence 3fa8...``, ``rack A-1``, ``checkpoint``.
    problem : str
        What is wrong.
    stands : bool
        The record is as it was recorded, and what is wrong counts for nothing in it: it can be read and restored.

    """

    where: str
    problem: str
    stands: bool = False


@dataclass
class Verification:
    """What was read and what was found.

    Attributes
    ----------
    events, evidence_files, checkpoints, copies : int
        How many were checked; checkpoints and copies are those that parties kept.
    head : str
        Hash of the last event.
    findings : list of Finding
        Empty where all fits.
    agreeing : list of str
        Which of the files that parties kept agree, and how far each reaches.

    """

    events: int = 0
    evidence_files: int = 0
    checkpoints: int = 0
    head: str = ZERO_HASH
    findings: list[Finding] = field(default_factory=list)
    copies: int = 0
    agreeing: list[str] = field(default_factory=list)
    state: State = field(default_factory=State, repr=False)

    @property
    def sound(self) -> bool:
        """Nothing was found."""
        return not self.findings

    @property
    def whole(self) -> bool:
        """Nothing was changed, moved, added or lost, whatever an earlier version let in."""
        return all(finding.stands for finding in self.findings)

    def add(self, where: str, problem: str, *, stands: bool = False) -> None:
        """Note a finding."""
        if len(self.findings) < _ENOUGH:
            self.findings.append(Finding(where, problem, stands))

    def to_dict(self) -> dict[str, Any]:
        """As JSON output shows it."""
        return {
            "sound": self.sound, "events": self.events, "evidence_files": self.evidence_files, "head": self.head,
            "checkpoints": self.checkpoints, "copies": self.copies, "agreeing": self.agreeing,
            "terms": agreed_words(self.state, self.state.terms_seq), "findings": [f.__dict__ for f in self.findings],
        }  # fmt: skip


@dataclass(frozen=True)
class _Row:
    seq: int
    body: bytes
    hash: str
    kind: str | None = None
    party: str | None = None
    key: str | None = None


def verify(
    engine: Engine,
    *,
    checkpoints: tuple[Path, ...] = (),
    copies: tuple[Path, ...] = (),
    watch: Callable[[int], None] | None = None,
) -> Verification:
    """Check the chain, every rule, every evidence file, the kept state, and what parties kept.

    Parameters
    ----------
    engine : Engine
        The database.
    checkpoints, copies : paths
        Files that a party kept: signed checkpoints, and copies of the events (JSON lines).
    watch : callable
        Told how many events were read.

    """
    hashes: list[str] = []
    with reading(engine) as connection:
        chain = _Chain(hashes)
        out = chain.read(_rows(connection), lambda seq: _event(connection, seq), watch)
        _check_evidence(connection, out, chain.mentioned)
        if chain.sound:
            _check_view(connection, out, chain.register)
    for path in checkpoints:
        _check_checkpoint(path, out, hashes)
    for path in copies:
        _check_copy(path, out, hashes)
    return out


def verify_copy(path: Path, *, checkpoints: tuple[Path, ...] = (), copies: tuple[Path, ...] = ()) -> Verification:
    """Check a copy of the events alone (JSON lines, as `gigaforge ledger export` writes them), and against what a party kept."""
    bodies = _lines(path)
    hashes: list[str] = []
    found = dict(enumerate(bodies, 1))
    rows = (_Row(n, body, sha256(body)) for n, body in found.items())
    out = _Chain(hashes).read(rows, lambda seq: Event.read(seq, found[seq]) if seq in found else None, None)
    for kept in checkpoints:
        _check_checkpoint(kept, out, hashes)
    for other in copies:
        _check_copy(other, out, hashes)
    return out


class _Chain:
    """Reads events in order, link by link."""

    def __init__(self, hashes: list[str]) -> None:
        self.hashes = hashes
        self.sound = True
        self.mentioned: dict[str, int] = {}
        self.register = MemoryRegister(lambda _: None)

    def read(
        self, rows: Iterator[_Row], find: Callable[[int], Event | None], watch: Callable[[int], None] | None
    ) -> Verification:
        out = Verification()
        self.register.find = find
        previous, moment = ZERO_HASH, ""
        for row in rows:
            where = f"event {row.seq}"
            if row.seq != out.events + 1:
                out.add(where, f"event {out.events + 1} should come here: events are missing or were moved")
                self.sound = False
                break
            out.events = row.seq
            event = self._event(row, where, out)
            if event is None:
                break
            if event.previous != previous:
                out.add(
                    where,
                    f"does not follow event {row.seq - 1}: it names {event.previous[:12]}, that is {previous[:12]}",
                )
                self.sound = False
            if event.recorded_at < moment:
                out.add(where, "was recorded before the event that it follows")
            previous, moment = event.hash, event.recorded_at
            self.hashes.append(event.hash)
            self._apply(event, out)
            if not self.sound and len(out.findings) >= _ENOUGH:
                break
            if watch and row.seq % _PAGE == 0:
                watch(row.seq)
        out.head = previous
        if not out.events:
            out.add("events", "there are none")
            self.sound = False
        return out

    def _event(self, row: _Row, where: str, out: Verification) -> Event | None:
        try:
            event = Event.read(row.seq, row.body)
            columns = (event.kind, event.actor.party, event.parts["seq"], event.recorded_at, event.previous)
        except (ValueError, KeyError, TypeError, AttributeError, GigaforgeError) as problem:
            out.add(where, f"its content was changed: it cannot be read ({problem})")
            self.sound = False
            return None
        key = f"{event.actor.party} {event.parts['key']}" if event.parts.get("key") else None
        if event.hash != row.hash:
            out.add(where, f"its content was changed: it hashes to {event.hash[:12]}, not {row.hash[:12]}")
            self.sound = False
        if columns[2] != row.seq:
            out.add(where, f"says that it is event {columns[2]}")
            self.sound = False
        if row.kind is not None and (row.kind, row.party, row.key) != (event.kind, event.actor.party, key):
            out.add(where, "what it is listed under was changed: kind, party or key differ from its content")
        return event

    def _apply(self, event: Event, out: Verification) -> None:
        if not self.sound:
            return
        try:
            apply(out.state, event, self.register)
            if event.kind == "checkpoint" and event.seq in out.state.remarks.get("signature", [])[-1:]:
                out.add(f"event {event.seq}", _by_replaced_key(out.state, event), stands=True)
            for item in event.evidence:
                self.mentioned.setdefault(item.sha256, event.seq)
        except (GigaforgeError, KeyError, ValueError, TypeError, AttributeError) as problem:
            out.add(f"event {event.seq}", f"breaks a rule: {problem}")
            self.sound = False


def _by_replaced_key(state: State, event: Event) -> str:
    party, key = event.actor.party, event.data["key"]
    keys = state.parties[party]["keys"]
    seq = next(after["since"] for n, after in enumerate(keys[1:]) if fingerprint(keys[n]["public"]) == key)
    return (
        f"a checkpoint signed with key {key}, which is not the current one of {party!r}: event {seq} had replaced it. "
        f"Somebody else may hold it; it counts as nobody's word. Ask {party}"
    )


def _rows(connection: Connection) -> Iterator[_Row]:
    after: int | None = None
    while True:
        query = sa.select(events).order_by(events.c.seq).limit(_PAGE)
        rows = connection.execute(query if after is None else query.where(events.c.seq > after)).all()
        for row in rows:
            yield _Row(row.seq, bytes(row.body), row.hash, row.kind, row.party, row.key)
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq


def _event(connection: Connection, seq: int) -> Event | None:
    body = connection.execute(sa.select(events.c.body).where(events.c.seq == seq)).scalar()
    return None if body is None else Event.read(seq, bytes(body))


def _check_evidence(connection: Connection, out: Verification, mentioned: dict[str, int]) -> None:
    missing = dict(mentioned)
    for name in connection.execute(sa.select(evidence.c.sha256).order_by(evidence.c.sha256)).scalars().all():
        content = connection.execute(sa.select(evidence.c.content).where(evidence.c.sha256 == name)).scalar()
        out.evidence_files += 1
        if content is None or sha256(bytes(content)) != name:
            seq = mentioned.get(name)
            out.add(f"evidence {name[:12]}", "was changed" + (f"; event {seq} rests on it" if seq else ""))
        missing.pop(name, None)
    for name, seq in missing.items():
        out.add(f"evidence {name[:12]}", f"is missing; event {seq} rests on it")


def _check_view(connection: Connection, out: Verification, register: MemoryRegister) -> None:
    row = connection.execute(sa.select(projection).where(projection.c.id == 1)).first()
    body = out.state.body()
    if row is None:
        out.add("state", "the kept state is missing")
    elif isinstance(row.seq, int) and row.seq > out.events:
        out.add(f"event {out.events + 1}", f"the last {row.seq - out.events} events are missing")
    elif bytes(row.body) != body or (row.sha256, row.seq, row.head, row.fold) != (
        sha256(body), out.events, out.head, FOLD,
    ):  # fmt: skip
        out.add("state", "the kept state is not what the events yield")
    left = dict(register.racks)
    for found in connection.execution_options(yield_per=_PAGE).execute(sa.select(racks)):
        rack = left.pop(found.rack, None)
        if rack is None or rack.columns() != dict(found._mapping):  # noqa: SLF001 (SQLAlchemy's public name for it)
            out.add(f"rack {found.rack}", "the register differs from what the events yield")
    for name in left:
        out.add(f"rack {name}", "is missing from the register")


def _check_checkpoint(path: Path, out: Verification, hashes: list[str]) -> None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        ledger, party, count, head = (kept[n] for n in ("ledger", "party", "count", "head"))
        public, signature = kept["public_key"], kept["signature"]
        message = checkpoint_bytes(ledger, party, count, head)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise InputError(f"is not a checkpoint of `gigaforge ledger checkpoint` ({problem})", str(path)) from None
    out.checkpoints += 1
    where = f"checkpoint {path.name}"
    if not signature_holds(str(public), message, str(signature)):
        out.add(where, f"its signature does not hold: the file itself was changed, or {party} did not sign it")
        return
    replaced = replaced_at(out.state.parties.get(party, {}).get("keys", []), public)
    if out.state.ledger and ledger != out.state.ledger:
        out.add(where, "is of another ledger")
    elif replaced is None:
        out.add(where, f"the ledger does not know the key {fingerprint(public)} of {party} that signed it")
    elif not isinstance(count, int) or count > len(hashes):
        out.add(where, f"{party} signed {count} events; the ledger has {len(hashes)}: its tail was cut off")
    elif 0 < replaced <= count:
        out.add(where, f"key {fingerprint(public)} signed {count} events, but event {replaced} had replaced it: "
                f"somebody else may hold it; ask {party}")  # fmt: skip
    elif hashes[count - 1] != head:
        out.add(where, f"event {count} is not the one that {party} signed: history was rewritten")
    else:
        out.agreeing.append(f"{where}: {party} signed the first {count:,} events")


def _lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise InputError(f"cannot be read: {problem.strerror}", str(path)) from None
    if content and not content.endswith(b"\n"):
        raise InputError("its last line is cut off; this is not a whole copy", str(path))
    return content.split(b"\n")[:-1]


def _check_copy(path: Path, out: Verification, hashes: list[str]) -> None:
    copied = [sha256(line) for line in _lines(path)]
    out.copies += 1
    where = f"copy {path.name}"
    for n, (mine, theirs) in enumerate(zip(hashes, copied, strict=False), 1):
        if mine != theirs:
            out.add(where, f"event {n} is not the one in the copy: history was rewritten (or the copy was)")
            return
    if len(copied) > len(hashes):
        out.add(where, f"the copy has {len(copied)} events, the ledger {len(hashes)}: its tail was cut off")
    elif not copied:
        out.add(where, "is empty: it holds no event to agree with")
    else:
        out.agreeing.append(f"{where}: its {len(copied):,} events are the ledger's first {len(copied):,}")
