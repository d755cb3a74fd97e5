"""The ledger: one book of events in a database, read by all and written by one at a time."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gigaforge.errors import GigaforgeError, InputError
from gigaforge.ledger import kinds as k
from gigaforge.ledger.canonical import sha256
from gigaforge.ledger.errors import BrokenLedgerError, HeadMovedError, UnknownError
from gigaforge.ledger.event import Actor, Draft, Event, Evidence
from gigaforge.ledger.fold import apply
from gigaforge.ledger.investment import Disputed
from gigaforge.ledger.racks import MemoryRegister, Rack
from gigaforge.ledger.register import StoredRegister
from gigaforge.ledger.state import FOLD, State
from gigaforge.ledger.storage import (
    events,
    evidence,
    migrate,
    open_engine,
    projection,
    racks,
    reading,
    revision_of,
    writing,
)
from gigaforge.ledger.writer import Writer, keep_state, printable, recorded_before, store_evidence

__all__ = ["MAX_EVIDENCE_BYTES", "Ledger"]

MAX_EVIDENCE_BYTES: Final = 64 * 2**20
"""One evidence file. [B]"""
_PAGE: Final = 2000
_FREE: Final = (
    racks.c.accepted >= 0, racks.c.claim == 0, racks.c.counted_w > 0, racks.c.status.in_(("accepted", "retired")),
)  # fmt: skip
"""Racks that count and carry no claim."""


class Ledger:
    """An opened ledger; use it as a context manager or call `close`.

    Parameters
    ----------
    engine : Engine
        From `gigaforge.ledger.storage.open_engine`.

    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @classmethod
    def open(cls, where: str) -> Self:
        """Open one that exists, and bring what an earlier version kept up to date.

        Parameters
        ----------
        where : str
            A file, ``postgresql://...``, or either after ``ledger:``.

        Raises
        ------
        InputError
            There is none.
        BrokenLedgerError
            It must be folded anew, and an event stands against that.

        """
        path = where.removeprefix("ledger:")
        engine = open_engine(where)
        if engine.dialect.name == "sqlite":
            from pathlib import Path  # noqa: PLC0415

            if not Path(path.removeprefix("sqlite:///")).is_file():
                raise InputError("no ledger here; `gigaforge ledger init` makes one", path)
        if revision_of(engine) is None:
            raise InputError("holds no ledger; `gigaforge ledger init` makes one", path)
        ledger = cls(engine)
        try:
            migrate(engine)
            ledger._fold_as_this_version()
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def create(
        cls,
        where: str,
        title: str,
        parties: Sequence[dict[str, Any]],
        actor: Actor,
        signed: Sequence[str] = (),
    ) -> Self:
        """Make a new ledger with its first event; events of the kinds in `signed` must carry their party's signature.

        Raises
        ------
        InputError
            There is a ledger already.

        """
        name = uuid.uuid4().hex
        data = {"title": title, "ledger": name, "parties": list(parties), "signed": list(signed)}
        k.check_data("opened", data)
        engine = open_engine(where)
        migrate(engine)
        ledger = cls(engine)
        with writing(engine) as connection:
            if connection.execute(sa.select(sa.func.count()).select_from(events)).scalar():
                raise InputError("holds a ledger already", where)
            ledger._append(connection, State(), [Draft("opened", actor, data)], ledger_name=name)
        return ledger

    # Writing

    def append(self, draft: Draft, expected_head: str | None = None) -> Event:
        """Record one event; returns once it is on disk.

        Parameters
        ----------
        draft : Draft
            What happened. A draft with a key that was recorded before returns that event.
        expected_head : str, optional
            Hash of the last event that the author saw; refuse if another came since.

        Raises
        ------
        InputError
            The draft is malformed, its evidence is not stored, or its key was used for something else.
        RefusedError
            A rule stands against it.
        HeadMovedError
            The head is not the expected one.

        """
        return self.append_many([draft], expected_head)[0]

    def append_many(self, drafts: Sequence[Draft], expected_head: str | None = None) -> list[Event]:
        """Record several, all or none."""
        with writing(self.engine) as connection:
            state = self.state_in(connection)
            if len(drafts) == 1 and (found := recorded_before(connection, state, drafts[0])):
                return [found]
            if expected_head is not None and expected_head != state.head:
                raise HeadMovedError(expected_head, state.head)
            return self._append(connection, state, drafts)

    def _append(
        self, connection: Connection, state: State, drafts: Sequence[Draft], ledger_name: str = ""
    ) -> list[Event]:
        register = StoredRegister(connection)
        writer = Writer(connection, state, register, ledger_name or state.ledger)
        out = [writer.add(draft) for draft in drafts]
        writer.flush()
        return out

    def put_evidence(self, content: bytes, name: str, media_type: str = "application/octet-stream") -> Evidence:
        """Store a file that events may rest on; storing it again changes nothing.

        Raises
        ------
        InputError
            Larger than `MAX_EVIDENCE_BYTES`.

        """
        if len(content) > MAX_EVIDENCE_BYTES:
            raise InputError(f"{len(content):,} bytes; at most {MAX_EVIDENCE_BYTES:,} can be stored", name)
        item = Evidence(sha256(content), printable(name), printable(media_type), len(content))
        with writing(self.engine) as connection:
            store_evidence(connection, item.sha256, content)
        return item

    def rebuild(self) -> None:
        """Fold all events anew and replace the kept view."""
        with writing(self.engine) as connection:
            self._fold(connection)

    def _fold_as_this_version(self) -> None:
        """Fold anew what an earlier version folded; the mark is written with the fold, so that none is ever left out."""
        with reading(self.engine) as connection:
            if _folded_by(connection) in (None, FOLD):
                return
        with writing(self.engine) as connection:
            if _folded_by(connection) != FOLD:  # another may have come first
                self._fold(connection)

    def _fold(self, connection: Connection) -> None:
        state, register = State(), MemoryRegister(StoredRegister(connection).event)
        for event in _all(connection):
            try:
                apply(state, event, register)
            except (GigaforgeError, KeyError, ValueError, TypeError, AttributeError) as problem:
                raise BrokenLedgerError(
                    f"event {event.seq} breaks a rule ({problem}), so the ledger cannot be folded; nothing was "
                    "changed. `gigaforge ledger verify` reads all of it"
                ) from problem
        connection.execute(sa.delete(racks))
        connection.execute(sa.delete(projection))
        rows = [rack.columns() for rack in register.racks.values()]
        for start in range(0, len(rows), _PAGE):
            connection.execute(sa.insert(racks), rows[start : start + _PAGE])
        keep_state(connection, state, first=True)

    # Reading

    def state(self) -> State:
        """The state at the head."""
        with reading(self.engine) as connection:
            return self.state_in(connection)

    def state_in(self, connection: Connection) -> State:
        """The state at the head, as a transaction sees it."""
        row = connection.execute(sa.select(projection).where(projection.c.id == 1)).first()
        last = connection.execute(
            sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
        ).first()
        if row is None or last is None:
            raise BrokenLedgerError("the ledger holds no state; `gigaforge ledger rebuild` folds it anew")
        body = bytes(row.body)
        if sha256(body) != row.sha256 or (row.seq, row.head) != (last.seq, last.hash):
            raise BrokenLedgerError(
                "the kept state does not fit the events; `gigaforge ledger verify` says where, `rebuild` folds it anew"
            )
        state = State.read(body)
        if (state.seq, state.head) != (last.seq, last.hash):
            raise BrokenLedgerError("the kept state is of another head; `gigaforge ledger rebuild` folds it anew")
        return state

    def event(self, seq: int) -> Event:
        """One event; `UnknownError` where there is none."""
        with reading(self.engine) as connection:
            found = StoredRegister(connection).event(seq) if 0 < seq < 2**62 else None
        if found is None:
            raise UnknownError(f"there is no event {seq}")
        return found

    def find_key(self, party: str, key: str) -> Event | None:
        """The event that a party recorded under an idempotency key."""
        query = sa.select(events.c.seq, events.c.body).where(events.c.key == f"{party} {key}")
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Event.read(row.seq, bytes(row.body))

    def events(
        self,
        after: int = 0,
        limit: int = 100,
        kind: str | None = None,
        party: str | None = None,
        newest: bool = False,
    ) -> list[Event]:
        """Events in order (`newest`: last first), after (before) a number, of a kind or a party."""
        query = sa.select(events.c.seq, events.c.body)
        query = query.order_by(events.c.seq.desc()) if newest else query.order_by(events.c.seq)
        if after:
            query = query.where(events.c.seq < after if newest else events.c.seq > after)
        if kind is not None:
            query = query.where(events.c.kind == kind)
        if party is not None:
            query = query.where(events.c.party == party)
        with reading(self.engine) as connection:
            return [Event.read(row.seq, bytes(row.body)) for row in connection.execute(query.limit(limit))]

    def all_events(self) -> Iterator[Event]:
        """Every event, in order, as of one moment."""
        with reading(self.engine) as connection:
            yield from _all(connection)

    def evidence(self, digest: str) -> bytes:
        """The content of a file; `UnknownError` where it is not stored, `BrokenLedgerError` where it was changed."""
        with reading(self.engine) as connection:
            content = connection.execute(sa.select(evidence.c.content).where(evidence.c.sha256 == digest)).scalar()
        if content is None:
            raise UnknownError(f"no evidence {digest[:64]!r} is stored")
        if sha256(bytes(content)) != digest:
            raise BrokenLedgerError(f"evidence {digest} was changed after it was stored")
        return bytes(content)

    def rack(self, name: str) -> Rack:
        """One rack; `UnknownError` where it was never delivered."""
        try:
            serial = k.rack_name(name)
        except ValueError as problem:
            raise InputError(str(problem), "rack") from None
        with reading(self.engine) as connection:
            found = StoredRegister(connection).get(serial)
        if found is None:
            raise UnknownError(f"rack {serial} was never delivered")
        return found

    def racks(
        self, *, site: str | None = None, system: str | None = None, status: str | None = None, claim: int | None = None,
        quarter: int | None = None, after: str = "", limit: int = 1000,
    ) -> list[Rack]:  # fmt: skip
        """Racks by name after `after`, of a site, system, status or claim, delivered or brought on line in a quarter (its index)."""
        query = sa.select(racks).where(racks.c.rack > after).order_by(racks.c.rack).limit(limit)
        for column, value in (("site", site), ("system", system), ("status", status), ("claim", claim)):
            if value is not None:
                query = query.where(racks.c[column] == value)
        if quarter is not None:
            query = query.where(sa.or_(racks.c.delivered == quarter, racks.c.online == quarter))
        with reading(self.engine) as connection:
            return [Rack.of(row) for row in connection.execute(query)]

    def claimable(self, needed_w: int) -> list[str]:
        """Accepted racks that carry no claim, earliest accepted first, just enough for a power [W]."""
        query = (
            sa.select(racks.c.rack, racks.c.counted_w)
            .where(*_FREE, racks.c.disputes == "[]")
            .order_by(racks.c.accepted, racks.c.last_seq, racks.c.rack)
        )
        out, total = [], 0
        with reading(self.engine) as connection:
            for name, counted_w in connection.execute(query):
                if total >= needed_w:
                    break
                out.append(name)
                total += counted_w
        return out

    def disputed(self) -> Disputed:
        """What `claimable` leaves out because of a dispute."""
        query = sa.select(racks.c.disputes, sa.func.count(), sa.func.sum(racks.c.counted_w))
        query = query.where(*_FREE, racks.c.disputes != "[]").group_by(racks.c.disputes)
        count, watts, found = 0, 0, set()
        with reading(self.engine) as connection:
            for disputes, number, counted_w in connection.execute(query):
                count, watts = count + number, watts + int(counted_w)
                found.update(json.loads(disputes))
        return Disputed(count, watts, tuple(sorted(found)))


def _folded_by(connection: Connection) -> int | None:
    """The fold that the kept view is of; None where none is kept."""
    return connection.execute(sa.select(projection.c.fold).where(projection.c.id == 1)).scalar()


def _all(connection: Connection) -> Iterator[Event]:
    after = 0
    while True:
        query = sa.select(events.c.seq, events.c.body).where(events.c.seq > after).order_by(events.c.seq).limit(_PAGE)
        rows = connection.execute(query).all()
        for row in rows:
            yield Event.read(row.seq, bytes(row.body))
        if len(rows) < _PAGE:
            return
        after = rows[-1].seq
