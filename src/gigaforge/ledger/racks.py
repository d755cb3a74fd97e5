"""One rack's life, and what it adds to the sums; the register of all racks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from gigaforge.ledger.errors import BrokenLedgerError
from gigaforge.ledger.event import Event

__all__ = [
    "ACCEPTED", "DELIVERED", "DOUBTFUL", "ENERGISED", "FAILED", "INSTALLED", "IN_PLACE", "RETIRED", "TESTABLE", "VOID",
    "MemoryRegister", "Rack", "Register", "contributions",
]  # fmt: skip

DELIVERED, INSTALLED, ENERGISED, ACCEPTED, DOUBTFUL, FAILED, RETIRED, VOID = (
    "delivered", "installed", "energised", "accepted", "doubtful", "failed", "retired", "void",
)  # fmt: skip
IN_PLACE: Final = (DELIVERED, INSTALLED, ENERGISED, ACCEPTED, DOUBTFUL, FAILED)
"""A rack that stands somewhere."""
TESTABLE: Final = (DELIVERED, INSTALLED, ENERGISED, DOUBTFUL, FAILED)
"""Statuses of racks that may be tested, in the order of a rack's way."""
_WRITE: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Rack:
    """A rack as the events so far leave it.

    Attributes
    ----------
    delivered, online, accepted, retired : int
        Quarter index of each step, -1 before it.
    counted_w : int
        What it counts towards the commitment while accepted. [W]
    claim : int
        Number of the claim that it carries, 0 without.
    disputes : tuple of int
        Open disputes about it.
    history : tuple
        ``(seq, what stood before, day)`` of every event about it, so that a correction can take one back; the day is
        when the event happened [days of `date.toordinal`].
    beside : tuple of int
        Events about it that are no step of its way: steps that were taken back, what took them back, disputes and their end,
        claims and their rejection.

    """

    rack: str
    system: str
    site: str
    status: str
    delivered: int = -1
    online: int = -1
    accepted: int = -1
    retired: int = -1
    counted_w: int = 0
    claim: int = 0
    disputes: tuple[int, ...] = ()
    history: tuple[tuple[int, str, int, int, int, int, int, int], ...] = ()
    beside: tuple[int, ...] = ()

    def step(self, seq: int, day: int, **changes: Any) -> Rack:
        """The rack after an event of a day."""
        before = (seq, self.status, self.delivered, self.online, self.accepted, self.retired, self.counted_w, day)
        return replace(self, history=(*self.history, before), **changes)

    def noted(self, *seqs: int, **changes: Any) -> Rack:
        """The rack with events beside its way, and what they changed."""
        return replace(self, beside=(*self.beside, *seqs), **changes)

    @property
    def events(self) -> list[int]:
        """Numbers of all events about it, in order."""
        return sorted({*(step[0] for step in self.history), *self.beside})

    @property
    def last(self) -> int:
        """Number of the last event about it."""
        return self.history[-1][0] if self.history else 0

    @property
    def day(self) -> int:
        """When the last event about it happened [days of `date.toordinal`], 0 before the first."""
        return self.history[-1][7] if self.history else 0

    def columns(self) -> dict[str, Any]:
        """As the register stores it."""
        return {
            "rack": self.rack, "system": self.system, "site": self.site, "status": self.status,
            "delivered": self.delivered, "online": self.online, "accepted": self.accepted, "retired": self.retired,
            "counted_w": self.counted_w, "claim": self.claim, "disputes": json.dumps(self.disputes),
            "history": _WRITE(self.history), "last_seq": self.last, "beside": _WRITE(self.beside),
        }  # fmt: skip

    @classmethod
    def of(cls, row: Any) -> Rack:
        """From the register's columns; `BrokenLedgerError` where somebody wrote there what no rack is."""
        try:
            disputes, history = tuple(json.loads(row.disputes)), tuple(tuple(h) for h in json.loads(row.history))
            beside = tuple(json.loads(row.beside))
        except (TypeError, ValueError):
            raise BrokenLedgerError(
                f"the register's row of rack {row.rack} was changed; `gigaforge ledger verify` says more, `rebuild` folds it anew"
            ) from None
        return cls(
            row.rack, row.system, row.site, row.status, row.delivered, row.online, row.accepted, row.retired,
            row.counted_w, row.claim, disputes, history, beside,
        )  # fmt: skip


def contributions(rack: Rack) -> dict[tuple[int, str], int]:
    """What a rack adds to the sums of its site and system: (quarter index, measure) to amount."""
    if rack.status == VOID:
        return {}
    out = {(rack.delivered, "delivered"): 1}
    if rack.online >= 0:
        out[rack.online, "online"] = 1
    if rack.accepted >= 0:
        out[rack.accepted, "accepted"] = 1
        out[rack.accepted, "accepted_w"] = rack.counted_w
    if rack.retired >= 0 and rack.online >= 0:
        out[rack.retired, "retired"] = 1
    return out


class Register(Protocol):
    """Where the fold finds and keeps racks, and looks up earlier events."""

    def get(self, rack: str) -> Rack | None:
        """The rack, if it was ever delivered."""

    def put(self, rack: Rack) -> None:
        """Keep it."""

    def prefetch(self, racks: Iterable[str]) -> None:
        """These will be asked for."""

    def event(self, seq: int) -> Event | None:
        """An earlier event."""


@dataclass
class MemoryRegister:
    """Racks in memory: for a full fold."""

    find: Callable[[int], Event | None]
    racks: dict[str, Rack] = field(default_factory=dict)

    def get(self, rack: str) -> Rack | None:
        """The rack, if it was ever delivered."""
        return self.racks.get(rack)

    def put(self, rack: Rack) -> None:
        """Keep it."""
        self.racks[rack.rack] = rack

    def prefetch(self, racks: Iterable[str]) -> None:
        """Nothing to do."""

    def event(self, seq: int) -> Event | None:
        """An earlier event."""
        return self.find(seq)
