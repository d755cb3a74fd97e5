"""Repair: which failures are real, who fixes them when, and how long each rack is down.

Whether a candidate failure is real depends on whether its rack was up, which depends on how long earlier repairs
waited for people and parts, which depends on which earlier failures were real. Rather than walk a million events one
by one, the whole window is solved at once: guess that all are real, run the queues, thin those that hit a rack that
was down, and repeat. Causality makes the answer unique and the iteration exact: after each pass everything before
the first change is final, and in practice a handful of passes suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigaforge.errors import NoAnswerError
from gigaforge.operations.failures import Events
from gigaforge.operations.intervals import Array, IntArray, Mask
from gigaforge.operations.modes import Repair
from gigaforge.operations.queueing import fifo_starts

__all__ = ["Crew", "Down", "mend"]

_PASSES = 400


@dataclass(frozen=True)
class Crew:
    """What a site carries from one window to the next, times since the window began [s].

    Attributes
    ----------
    technicians, parts : lists of float
        When each person, and each shelf place, is free again; empty for no limit.
    down_rack, down_until_s, down_share : arrays
        Racks still out of service, and the share of each that is lost to serving.
    cured : array of int
        Repeat offenders that were cured.
    down_mode : array of int
        What took each of them out.

    """

    technicians: Sequence[float]
    parts: Sequence[float]
    down_rack: IntArray
    down_until_s: Array
    down_share: Array
    cured: IntArray
    down_mode: IntArray

    @classmethod
    def fresh(cls, technicians: int | None = None, parts: int | None = None) -> Crew:
        """Everybody and everything available, nothing broken."""
        none = np.empty(0, dtype=np.int64)
        return cls([], [], none, np.empty(0), np.empty(0), none, none).staffed(technicians, parts)

    def staffed(self, technicians: int | None, parts: int | None) -> Crew:
        """With so many people and shelf places from now on, None for no limit: new ones are free, free ones go first."""
        return replace(self, technicians=_resized(self.technicians, technicians), parts=_resized(self.parts, parts))


def _resized(free_s: Sequence[float], count: int | None) -> list[float]:
    wanted = count or 0
    return sorted([*free_s, *[0.0] * max(wanted - len(free_s), 0)])[max(len(free_s) - wanted, 0) :]


@dataclass(frozen=True)
class Down:
    """The window's real failures.

    Attributes
    ----------
    events : Events
        In order of time, ties by rack.
    until_s : (event,) array
        Return to service; equal to the failure's own time where the rack stays in. [s]
    waited_s : (event,) array
        For parts and people. [s]
    start_s, end_s : (event,) arrays
        Down time without overlap: an outage on a rack in repair counts from the end of the repair. [s]
    passes : int
        Iterations needed.

    """

    events: Events
    until_s: Array
    waited_s: Array
    start_s: Array
    end_s: Array
    passes: int


def mend(events: Events, crew: Crew, repair: Repair) -> tuple[Down, list[float], list[float], IntArray]:
    """Thin the candidates and repair what is left.

    Returns
    -------
    down : Down
    technicians, parts : list of float
        When each is free again [s].
    cured : array of int
        Repeat offenders cured up to now.

    """
    # only an outage strikes several racks at one instant, and it lists them in order: ties end up by rack
    events = events.take(np.argsort(events.time_s, kind="stable"))
    by_rack = np.argsort(events.rack, kind="stable")  # events are in order of time already
    blocked_until = _carried(events.rack, crew)
    real = (events.time_s >= blocked_until) | np.isfinite(events.ends_s)
    if crew.cured.size and events.excess.any():
        real &= ~(events.excess & np.isin(events.rack, crew.cured))
    allowed = real
    passes = 0
    while True:
        passes += 1
        until, waited, technicians, parts = _returns(events, real, crew, repair)
        new = _thin(events, by_rack, until, allowed)
        if np.array_equal(new, real):
            break
        if passes == _PASSES:
            raise NoAnswerError(f"repairs did not settle in {passes} passes; please report this")
        real = new
    kept = np.flatnonzero(real)
    final = events.take(kept)
    until, waited = until[kept], waited[kept]
    start, end = _without_overlap(final, until, crew)
    cured = np.union1d(crew.cured, np.unique(final.rack[final.cures]))
    return Down(final, until, waited, start, end, passes), technicians, parts, cured


def _carried(rack: IntArray, crew: Crew) -> Array:
    """Time until which each event's rack is still down from the window before [s]."""
    if crew.down_rack.size == 0 or rack.size == 0:
        return np.full(rack.size, -np.inf)
    order = np.argsort(crew.down_rack, kind="stable")
    at = np.minimum(np.searchsorted(crew.down_rack[order], rack), order.size - 1)
    found = crew.down_rack[order][at] == rack
    return np.where(found, crew.down_until_s[order][at], -np.inf)


def _returns(events: Events, real: Mask, crew: Crew, repair: Repair) -> tuple[Array, Array, list[float], list[float]]:
    """When each rack would return; queues hold only the real ones, others are told their time without a wait."""
    until = np.where(np.isfinite(events.ends_s), events.ends_s, events.time_s + events.service_s)
    until = np.where(events.by_hand, until + repair.burn_in_s, until)
    waited = np.zeros(events.size)
    technicians, parts = list(crew.technicians), list(crew.parts)
    hands = np.flatnonzero(real & events.by_hand)
    ready = events.time_s[hands]
    if parts:
        needs = np.flatnonzero(events.part[hands])
        start, parts = fifo_starts(ready[needs], np.full(needs.size, repair.part_lead_s), parts)
        ready = ready.copy()
        ready[needs] = start
    if technicians:
        queue = np.argsort(ready, kind="stable")
        start = np.empty(hands.size)
        start[queue], technicians = fifo_starts(ready[queue], events.service_s[hands][queue], technicians)
    else:
        start = ready
    waited[hands] = start - events.time_s[hands]
    until[hands] += waited[hands]
    return until, waited, technicians, parts


def _thin(events: Events, by_rack: IntArray, until: Array, allowed: Mask) -> Mask:
    """Drop, rack by rack in order of time, what hits a rack that is down; and a cured lemon's excess.

    Whether a cure is real and whether an excess failure is void depend on each other; in order of time each round
    settles at least the next of them for every rack, so the loop ends with the one consistent answer.
    """
    order = by_rack[allowed[by_rack]]
    outage = np.isfinite(events.ends_s)
    excess = events.excess[order]
    usable = np.ones(order.size, dtype=np.bool_)
    while True:
        alive = _first_come(events, order[usable], until, outage)
        if not excess.any():
            break
        cure = _first_cure(events, alive)
        new = ~(excess & (events.time_s[order] > cure[events.rack[order]]))
        if np.array_equal(new, usable):
            break
        usable = new
    real = np.zeros(events.size, dtype=np.bool_)
    real[alive] = True
    return real


def _first_come(events: Events, alive: IntArray, until: Array, outage: Mask) -> IntArray:
    """Drop what begins before the rack is back from what came before it.

    Whether an event stands depends on the one before it standing, so racks with any conflict (a few in a hundred)
    are walked; the others need no look.
    """
    rack, time = events.rack[alive], events.time_s[alive]
    clash = (rack[1:] == rack[:-1]) & (time[1:] < until[alive[:-1]])
    if not clash.any():
        return alive
    troubled = np.zeros(int(rack[-1]) + 1, dtype=np.bool_)
    troubled[rack[1:][clash]] = True
    walk = np.flatnonzero(troubled[rack])
    members = alive[walk]
    dropped, last, back = [], -1, -np.inf
    for i, r, t, u, spared in zip(walk.tolist(), rack[walk].tolist(), time[walk].tolist(), until[members].tolist(),
                                  outage[members].tolist(), strict=True):  # fmt: skip
        if r != last:
            last, back = r, u
        elif spared:
            back = max(back, u)
        elif t < back:
            dropped.append(i)
        else:
            back = u
    keep = np.ones(alive.size, dtype=np.bool_)
    keep[dropped] = False
    return alive[keep]


def _first_cure(events: Events, alive: IntArray) -> Array:
    """Instant of each rack's first cure in this window, infinite without one; shape (rack,) [s]."""
    found = np.full(int(events.rack.max(initial=0)) + 1, np.inf)
    cures = alive[events.cures[alive]]
    np.minimum.at(found, events.rack[cures], events.time_s[cures])
    return found


def _without_overlap(events: Events, until: Array, crew: Crew) -> tuple[Array, Array]:
    """Cut down times so that no rack is counted twice; only outages can overlap anything."""
    start, end = events.time_s.copy(), np.maximum(until, events.time_s)
    carried = _carried(events.rack, crew)
    start = np.maximum(start, np.where(np.isfinite(events.ends_s), carried, -np.inf))
    end = np.maximum(end, start)
    outages = np.flatnonzero(np.isfinite(events.ends_s))
    if outages.size == 0:
        return start, end
    touched = np.isin(events.rack, events.rack[outages])
    order = np.flatnonzero(touched)
    order = order[np.lexsort((events.time_s[order], events.rack[order]))]
    last_rack, last_end = -1, -np.inf
    for i in order.tolist():
        if events.rack[i] != last_rack:
            last_rack, last_end = int(events.rack[i]), -np.inf
        if start[i] < last_end:
            start[i] = min(last_end, end[i])
        last_end = max(last_end, end[i])
    return start, end
