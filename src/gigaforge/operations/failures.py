"""Failures of many like racks at once: one Poisson draw per (group, cohort), then who and how.

Racks of a group that were delivered together share an age. Their failures superpose to one Poisson process whose
count is drawn once per window; each event then draws its instant, mode and rack. A rack that is already down cannot
fail again: such candidates are thinned later (`gigaforge.operations.repair`), which leaves exactly the process of
racks that fail only while up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from gigaforge.errors import InputError
from gigaforge.operations.intervals import Array, IntArray, Mask
from gigaforge.operations.modes import FailureTable, RackClass
from gigaforge.operations.streams import stream

__all__ = ["Cohort", "Events", "concatenate", "countable", "draw_outages", "draw_window"]

_YEAR_S = 365.25 * 86400.0
_MOST = 1e7


def countable(expected: float, what: str, group: str) -> None:
    """Refuse numbers of events that no memory holds.

    Raises
    ------
    InputError
        More than ten million are expected in one window of one group.

    """
    if not expected <= _MOST:
        raise InputError(f"{expected:.3g} {what} in a quarter are more than the {_MOST:,.0f} that can be simulated; check the rates "
                         "(a rate is of one accelerator, rack, pod, hall or site)", group)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cohort:
    """Racks of one group delivered together: local ids ``first`` to ``first + count - 1``."""

    first: int
    count: int
    born_s: float


@dataclass(frozen=True)
class Events:
    """Failures of a site in one window, struct of arrays, each (event,).

    Attributes
    ----------
    time_s : array
        Since the window began. [s]
    rack : array
        Number of the rack at the site.
    group, mode : arrays
        Indices; an outage's mode is ``len(table.modes) + its index``.
    by_hand, part, excess, cures : masks
        Needs a technician; uses up a part; exists only because the rack is a repeat offender; cures it.
    service_s : array
        Reset, or the technician's work. [s]
    ends_s : array
        Fixed return of an outage, else NaN. [s]
    dice : array
        One uniform number each, for whoever decides next.

    """

    time_s: Array
    rack: IntArray
    group: IntArray
    mode: IntArray
    by_hand: Mask
    part: Mask
    excess: Mask
    cures: Mask
    service_s: Array
    ends_s: Array
    dice: Array

    def take(self, index: IntArray | Mask) -> Events:
        """Some of them."""
        return Events(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @property
    def size(self) -> int:
        """How many."""
        return int(self.time_s.size)


def concatenate(parts: list[Events]) -> Events:
    """Join events of several groups."""
    return Events(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Events)})


def _instants(rng: np.random.Generator, table: FailureTable, cohort: Cohort, window: tuple[float, float], rate: float,
              racks: float) -> Array:  # fmt: skip
    """Instants of a process with rate ``racks * rate * (1 + wear * age + infant * exp(-age / tau))``."""
    start, length = window[0], window[1] - window[0]
    age = max(start - cohort.born_s, 0.0)
    wear = 1.0 + table.wear_per_year * (age + 0.5 * length) / _YEAR_S
    base = rng.random(rng.poisson(racks * rate * wear * length)) * length
    tau = table.infant_s
    mass = table.infant_excess * tau * math.exp(-age / tau) * -math.expm1(-length / tau)
    if mass <= 0.0:
        return base
    u = rng.random(rng.poisson(racks * rate * mass))
    return np.concatenate((base, -tau * np.log1p(u * math.expm1(-length / tau))))


def _lemons(seed: int, key: tuple[str | int, ...], cohort: Cohort, share: float) -> IntArray:
    count = round(share * cohort.count)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    rng = stream(seed, "lemons", *key, cohort.first)
    return np.sort(rng.permutation(cohort.count)[:count]).astype(np.int64)


def draw_window(
    seed: int,
    key: tuple[str | int, ...],
    window: tuple[float, float],
    cohorts: list[Cohort],
    table: FailureTable,
    rack: RackClass,
    *,
    window_index: int,
    since_s: float | None = None,
    first_rack: int = 0,
    group: int = 0,
) -> Events:
    """Draw the candidate failures of one group in one window.

    Parameters
    ----------
    seed, key : int, tuple
        Name of the random stream: the run and the group.
    window : (float, float)
        Start and end since the simulation began [s].
    cohorts : list of Cohort
        The group's racks by date of delivery.
    table : FailureTable
        Rates, infancy, lemons.
    rack : RackClass
        What one rack is.
    window_index : int
        Names the random stream.
    since_s : float, optional
        Start of the window on the clock that planned visits keep; default that of ``window`` [s].
    first_rack, group : int
        Offset of the group's racks at its site, and its number.

    """
    everything = table.rates(rack)
    planned = table.planned[: everything.size]
    rates = np.where(planned, 0.0, everything)
    total = float(rates.sum())
    count = sum(c.count for c in cohorts) * (1.0 + table.infant_excess)
    countable(
        float(everything.sum()) * count * (window[1] - window[0]), "failures and services", "/".join(map(str, key))
    )
    times, racks, excess = [np.empty(0)], [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.bool_)]
    rng = stream(seed, "failures", *key, window_index)
    # The mean over lemons and others is the table's rate: others fail at `base`, lemons at `multiple` times that.
    base = total / (1.0 + table.lemon_share * (table.lemon_multiple - 1.0))
    for cohort in cohorts:
        bad = _lemons(seed, key, cohort, table.lemon_share)
        plain = _instants(rng, table, cohort, window, base, cohort.count)
        extra = _instants(rng, table, cohort, window, base * (table.lemon_multiple - 1.0), bad.size)
        times += [plain, extra]
        chosen = bad[rng.integers(0, bad.size, extra.size)] if extra.size else np.empty(0, dtype=np.int64)
        racks += [cohort.first + rng.integers(0, cohort.count, plain.size), cohort.first + chosen]
        excess += [np.zeros(plain.size, dtype=np.bool_), np.ones(extra.size, dtype=np.bool_)]
    time = np.concatenate(times)
    number = np.concatenate(racks)
    mode = (
        np.searchsorted(np.cumsum(rates)[:-1] / total, rng.random(time.size))
        if total
        else np.zeros(0, dtype=np.int64)
    )
    found = _attributes(rng, table, time, first_rack + number, mode, np.concatenate(excess), group)
    clock = window if since_s is None else (since_s, since_s + window[1] - window[0])
    services = [
        _services(seed, key, clock, cohorts, float(everything[m]), int(m))
        for m in np.flatnonzero(planned & (everything > 0.0))
    ]
    if not services:
        return found
    at, who, what = (np.concatenate(part) for part in zip(*services, strict=True))
    no = np.zeros(at.size, dtype=np.bool_)
    own = stream(seed, "services", *key, window_index)
    visits = _attributes(own, table, at, first_rack + who, what, no, group)
    return concatenate([found, replace(visits, part=no, cures=no)])


def _services(seed: int, key: tuple[str | int, ...], window: tuple[float, float], cohorts: list[Cohort], rate: float,
              mode: int) -> tuple[Array, IntArray, IntArray]:  # fmt: skip
    """Planned visits in a window of the clock: each rack in turn, at even intervals."""
    count = sum(c.count for c in cohorts)
    phase = float(stream(seed, "rota", *key, mode).random())
    pace = count * rate  # visits to the group per second
    turn = np.arange(math.ceil(window[0] * pace - phase), math.ceil(window[1] * pace - phase), dtype=np.int64)
    at = np.asarray((turn + phase) / pace - window[0], dtype=np.float64) if count else np.empty(0)
    return at, turn % max(count, 1), np.full(turn.size, mode, dtype=np.int64)


def _attributes(rng: np.random.Generator, table: FailureTable, time: Array, rack: IntArray, mode: IntArray, excess: Mask,
                group: int) -> Events:  # fmt: skip
    repair, n = table.repair, time.size
    cordon = np.array([m.cordon for m in table.modes], dtype=np.bool_)[mode]
    by_hand = cordon & (rng.random(n) >= np.array([m.auto for m in table.modes])[mode])
    hands_on = repair.hands_on_median_s * np.exp(repair.hands_on_sigma * rng.standard_normal(n))
    service = np.where(by_hand, hands_on, np.where(cordon, rng.exponential(repair.auto_mean_s, n), 0.0))
    luck = rng.random((3, n))
    return Events(
        time_s=time,
        rack=rack.astype(np.int64),
        group=np.full(n, group),
        mode=mode.astype(np.int64),
        by_hand=by_hand,
        part=by_hand & (luck[0] < repair.part_share),
        excess=excess,
        cures=by_hand & (luck[1] < repair.sticks),
        service_s=service,
        ends_s=np.full(n, np.nan),
        dice=luck[2],
    )


def draw_outages(
    seed: int,
    key: tuple[str | int, ...],
    length_s: float,
    groups: list[tuple[int, int]],
    table: FailureTable,
    scope_racks: dict[str, int],
    *,
    window_index: int,
) -> Events:
    """Draw outages of pods, halls and the site; one event for each rack they take.

    Parameters
    ----------
    seed, key : int, tuple
        Name of the random stream: the run and the site.
    length_s : float
        Window [s].
    groups : list of (int, int)
        First rack and number of racks of each group in service now.
    scope_racks : dict
        Racks of one "pod" and one "hall".
    table : FailureTable
        With its outages.
    window_index : int
        Names the random stream.

    """
    rng = stream(seed, "outages", *key, window_index)
    racks = np.concatenate([np.arange(a, a + n) for a, n in groups] or [np.empty(0, dtype=np.int64)])
    owner = np.concatenate([np.full(n, g) for g, (_, n) in enumerate(groups)] or [np.empty(0, dtype=np.int64)])
    hit: list[tuple[float, float, int, IntArray]] = []
    for index, outage in enumerate(table.outages):
        size = max(racks.size, 1) if outage.scope == "site" else scope_racks[outage.scope]
        domains = -(-racks.size // size)
        countable(outage.rate * domains * length_s * size, f"racks struck by {outage.kind}", "/".join(map(str, key)))
        for _ in range(rng.poisson(outage.rate * domains * length_s)):
            begin = float(rng.random() * length_s)
            first = int(rng.integers(0, domains)) * size
            end = begin + float(rng.exponential(outage.duration_s))
            hit.append((begin, end, len(table.modes) + index, np.arange(first, min(first + size, racks.size))))
    count = [members.size for *_, members in hit]
    n = sum(count)
    members = np.concatenate([m for *_, m in hit] or [np.empty(0, dtype=np.int64)]).astype(np.int64)
    no = np.zeros(n, dtype=np.bool_)
    return Events(
        time_s=np.repeat(np.array([h[0] for h in hit]), count),
        rack=racks[members].astype(np.int64),
        group=owner[members].astype(np.int64),
        mode=np.repeat(np.array([h[2] for h in hit], dtype=np.int64), count),
        by_hand=no,
        part=no,
        excess=no,
        cures=no,
        service_s=np.zeros(n),
        ends_s=np.repeat(np.array([h[1] for h in hit]), count),
        dice=np.repeat(rng.random(len(hit)), count),
    )
