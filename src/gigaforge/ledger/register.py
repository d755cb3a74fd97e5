"""The register of racks in the database, seen through a cache for one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gigaforge.ledger.event import Event
from gigaforge.ledger.racks import Rack
from gigaforge.ledger.storage import among, events, racks

__all__ = ["StoredRegister"]

_CHUNK: Final = 500
"""Names in one query."""


class StoredRegister:
    """What the fold asks for, and what it changed.

    Parameters
    ----------
    connection : Connection
        A transaction.

    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._seen: dict[str, Rack | None] = {}
        self._new: set[str] = set()
        self._changed: set[str] = set()
        self.pending: dict[int, Event] = {}

    def get(self, rack: str) -> Rack | None:
        """The rack, if it was ever delivered."""
        if rack not in self._seen:
            self.prefetch([rack])
        return self._seen[rack]

    def put(self, rack: Rack) -> None:
        """Keep it until `flush`."""
        if self.get(rack.rack) is None:
            self._new.add(rack.rack)
        elif rack.rack not in self._new:
            self._changed.add(rack.rack)
        self._seen[rack.rack] = rack

    def prefetch(self, wanted: Iterable[str]) -> None:
        """Read many in few queries."""
        missing = [name for name in dict.fromkeys(wanted) if name not in self._seen]
        for start in range(0, len(missing), _CHUNK):
            part = missing[start : start + _CHUNK]
            self._seen |= dict.fromkeys(part)
            for row in self._connection.execute(sa.select(racks).where(among(self._connection, racks.c.rack, part))):
                self._seen[row.rack] = Rack.of(row)

    def event(self, seq: int) -> Event | None:
        """An earlier event, of this transaction too."""
        if seq in self.pending:
            return self.pending[seq]
        body = self._connection.execute(sa.select(events.c.body).where(events.c.seq == seq)).scalar()
        return None if body is None else Event.read(seq, bytes(body))

    def flush(self) -> None:
        """Write what changed."""
        new = [_row(self._seen[name]) for name in sorted(self._new)]
        changed = [{"old": name, **_row(self._seen[name])} for name in sorted(self._changed)]
        if new:
            self._connection.execute(sa.insert(racks), new)
        if changed:
            values: dict[str, Any] = {c.name: sa.bindparam(c.name) for c in racks.columns if c.name != "rack"}
            self._connection.execute(
                sa.update(racks).where(racks.c.rack == sa.bindparam("old")).values(values), changed
            )
        self._new.clear()
        self._changed.clear()


def _row(rack: Rack | None) -> dict[str, Any]:
    assert rack is not None
    return rack.columns()
