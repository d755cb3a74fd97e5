"""A rack's way without one of its steps: what was recorded wrongly in its midst is taken back alone where the rest still holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any, Final

from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.racks import (
    ACCEPTED,
    DELIVERED,
    DOUBTFUL,
    ENERGISED,
    FAILED,
    IN_PLACE,
    INSTALLED,
    RETIRED,
    TESTABLE,
    VOID,
    Rack,
)

__all__ = ["without"]

_TESTED: Final = (ACCEPTED, DOUBTFUL, FAILED)


def without(rack: Rack, seq: int, tested_from: int) -> Rack:
    """The rack as it would be had event `seq` never been recorded, the later ones being as they are.

    Parameters
    ----------
    rack : Rack
        As it is.
    seq : int
        A step of its way.
    tested_from : int
        How many of a rack's first statuses a test may not follow, by the terms.

    Raises
    ------
    RefusedError
        A later step could not have followed then; it is named.

    """
    place = next((n for n, step in enumerate(rack.history) if step[0] == seq), None)
    if place is None:
        raise RefusedError("order-of-events", f"event {seq} is no step of rack {rack.rack} any more")
    after = [*(step[1:7] for step in rack.history[place + 2 :]), _standing(rack)]
    _, *before, _ = rack.history[place]
    now = replace(rack, **_fields(before), history=rack.history[:place])
    for (later, *_, day), then in zip(rack.history[place + 1 :], after, strict=False):
        status = str(then[0])
        if now.status not in _allowed(status, tested_from):
            raise RefusedError("order-of-events", f"event {later} came after it and rests on it; correct that first")
        now = now.step(later, day, **_changes(now, _fields(then), day))
    return now


def _standing(rack: Rack) -> tuple[str, int, int, int, int, int]:
    return rack.status, rack.delivered, rack.online, rack.accepted, rack.retired, rack.counted_w


def _fields(standing: Any) -> dict[str, Any]:
    return dict(zip(("status", "delivered", "online", "accepted", "retired", "counted_w"), standing, strict=True))


def _allowed(status: str, tested_from: int) -> tuple[str, ...]:
    """Statuses that a step to this one may follow."""
    if status in _TESTED:
        return TESTABLE[tested_from:]
    return {INSTALLED: (DELIVERED,), ENERGISED: (DELIVERED, INSTALLED), RETIRED: IN_PLACE, DELIVERED: (VOID,)}[status]


def _changes(now: Rack, then: dict[str, Any], day: int) -> dict[str, Any]:
    """What a later step changes: as it did, and it brings the rack on line where the step taken away had done so."""
    status, when = then["status"], date.fromordinal(day)
    out: dict[str, Any] = {"status": status}
    if status == RETIRED:
        out["retired"] = then["retired"]
    elif now.online < 0:
        out["online"] = 4 * when.year + (when.month - 1) // 3
    if status == ACCEPTED:
        out |= {"accepted": then["accepted"], "counted_w": then["counted_w"]}
    return out
