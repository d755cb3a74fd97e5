"""Inside a writer's transaction: drafts become events by the rules; events, racks, evidence and the kept state are written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gigaforge.errors import InputError
from gigaforge.ledger import kinds as k
from gigaforge.ledger.canonical import canonical, sha256
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.event import Draft, Event, Evidence, timestamp
from gigaforge.ledger.fold import judge, record
from gigaforge.ledger.investment import terms_of
from gigaforge.ledger.measured import refuse_meaningless
from gigaforge.ledger.register import StoredRegister
from gigaforge.ledger.state import FOLD, State
from gigaforge.ledger.storage import events, evidence, projection

__all__ = ["Writer", "insert_all", "keep_state", "printable", "recorded_before", "store_evidence"]

_PAGE: Final = 2000


class Writer:
    """Adds events to a state inside one transaction; `flush` writes them.

    Parameters
    ----------
    connection : Connection
        From `writing`.
    state : State
        At the head; changed in place.
    register : StoredRegister
        Of the same transaction.
    ledger : str
        The ledger's identifier.

    """

    def __init__(self, connection: Connection, state: State, register: StoredRegister, ledger: str) -> None:
        self.connection = connection
        self.state = state
        self.register = register
        self.ledger = ledger
        self._rows: list[dict[str, Any]] = []
        self._sizes: dict[str, int | None] = {}

    def add(self, draft: Draft) -> Event:
        """Check a draft against the rules and add it; a refused one changes nothing."""
        data = k.check_data(draft.kind, draft.data)
        content = draft.content(self.ledger)
        if draft.kind == "acceptance":
            data, content = self._judged(data, content)
        elif draft.signature is None:
            content["data"] = k.stored(data)
        for item in draft.evidence:
            self._stored(item)
        if draft.signature is not None:
            content["signature"] = dict(draft.signature)
        now = max(timestamp(datetime.now(UTC)), self.state.recorded_at)
        event = Event.of(self.state.seq + 1, self.state.head, now, content)
        record(self.state, event, data, self.register)
        self.register.pending[event.seq] = event
        key = f"{draft.actor.party} {draft.key}" if draft.key else None
        self._rows.append({"seq": event.seq, "hash": event.hash, "kind": event.kind, "party": draft.actor.party,
                           "key": key, "body": event.body})  # fmt: skip
        return event

    def _judged(self, data: k.Part, content: dict[str, Any]) -> tuple[k.Part, dict[str, Any]]:
        """The measurement with its verdict; whoever sends one may not choose it."""
        assert isinstance(data, k.Acceptance)
        self.register.prefetch(data.racks)
        found = [rack for name in data.racks if (rack := self.register.get(name)) is not None]
        if not found:
            raise RefusedError("unknown-rack", f"rack {data.racks[0]} was never delivered")
        said = judge(terms_of(self.state), found, data)
        if data.verdict not in (None, said):
            raise RefusedError("verdict", f"the measurements say {said!r}, the event {data.verdict!r}")
        judged = data.model_copy(update={"verdict": said})
        refuse_meaningless(data.measurements)
        base = content["data"] if "signature" in content else k.stored(data)
        return judged, {**content, "data": {**base, "verdict": said}}

    def _stored(self, item: Evidence) -> None:
        if item.sha256 not in self._sizes:
            query = sa.select(sa.func.length(evidence.c.content)).where(evidence.c.sha256 == item.sha256)
            self._sizes[item.sha256] = self.connection.execute(query).scalar()
        size = self._sizes[item.sha256]
        if size is None:
            raise InputError(f"evidence {item.sha256} is not stored; store it first", "evidence")
        if size != item.size_bytes:
            raise InputError(f"evidence {item.sha256} has {size} bytes, not {item.size_bytes}", "evidence")

    def write_events(self) -> None:
        """Write the events so far, and let go of them."""
        if self._rows:
            self.connection.execute(sa.insert(events), self._rows)
        self._rows = []
        self.register.pending.clear()

    def flush(self) -> None:
        """Write events, racks and the state."""
        first = self.state.seq == len(self._rows)
        self.write_events()
        self.register.flush()
        keep_state(self.connection, self.state, first=first)


def insert_all(connection: Connection, found: Iterable[Event]) -> None:
    """Write events as they are, without rules: for a restored ledger, which is verified afterwards."""
    rows: list[dict[str, Any]] = []
    for event in found:
        key = event.parts.get("key")
        party = event.actor.party
        rows.append({"seq": event.seq, "hash": event.hash, "kind": event.kind, "party": party,
                     "key": f"{party} {key}" if key else None, "body": event.body})  # fmt: skip
        if len(rows) == _PAGE:
            connection.execute(sa.insert(events), rows)
            rows = []
    if rows:
        connection.execute(sa.insert(events), rows)


def printable(text: str) -> str:
    """A file's name as evidence may carry it."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200] or "file"


def store_evidence(connection: Connection, digest: str, content: bytes) -> None:
    """Keep a file's content under its hash."""
    if connection.execute(sa.select(evidence.c.sha256).where(evidence.c.sha256 == digest)).first() is None:
        connection.execute(sa.insert(evidence).values(sha256=digest, content=content))


def keep_state(connection: Connection, state: State, *, first: bool) -> None:
    """Keep the state at the head, so that nobody need fold every event."""
    body = state.body()
    row = {"seq": state.seq, "head": state.head, "sha256": sha256(body), "body": body}
    if first:
        connection.execute(sa.insert(projection).values(id=1, fold=FOLD, **row))
    else:
        connection.execute(sa.update(projection).where(projection.c.id == 1).values(row))


def recorded_before(connection: Connection, state: State, draft: Draft) -> Event | None:
    """The event that an earlier sending of the same draft became."""
    if not draft.key:
        return None
    query = sa.select(events.c.seq, events.c.body).where(events.c.key == f"{draft.actor.party} {draft.key}")
    row = connection.execute(query).first()
    if row is None:
        return None
    found = Event.read(row.seq, bytes(row.body))
    server = ("seq", "previous", "recorded_at", "signature")
    before = {name: value for name, value in found.parts.items() if name not in server}
    data = k.check_data(draft.kind, draft.data)
    wanted = draft.content(state.ledger) | ({} if draft.signature else {"data": k.stored(data)})
    if draft.kind == "acceptance":
        before["data"] = {n: v for n, v in before["data"].items() if n != "verdict"}
        wanted["data"] = {n: v for n, v in wanted["data"].items() if n != "verdict"}
    if canonical(before) != canonical(wanted):
        raise RefusedError(
            "key-reused", f"key {draft.key!r} was used for event {found.seq}, which says something else"
        )
    return found
