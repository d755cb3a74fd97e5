"""All candidates in few points, and none lost: what racks can do at best under each cap, quarter by quarter.

A rack may run another strategy in every quarter. Candidates for one work on one system that hold and draw the same are
therefore one point, which yields in each quarter what the best of them does. Of these points, one that racks shared between
two others can stand in for in every quarter (no more held, no more drawn, no less done) is left out. Every plan with any
candidates is thus a plan with these points, worth as much, and the other way round: hundreds of candidates become some
dozens, few enough for the integer programme, and its bound holds for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from gigaforge.buildout.pricing import Index, restrict
from gigaforge.buildout.problem import Array, Mask, Problem
from gigaforge.buildout.programme import most_online

__all__ = ["Envelope", "envelope"]

_SAME: Final = 1e-9
"""Watts this close are the same [fraction]; the merged point has the least of them."""


@dataclass(frozen=True)
class Envelope:
    """A problem with few points that is worth as much as the one with all candidates.

    Attributes
    ----------
    problem : Problem
        With merged serving points, and the training points that none can stand in for.
    leader : (P, T) array of int
        The candidate that each merged point stands for in each quarter.
    jobs : (J,) array of int
        The training points among the candidates.

    """

    problem: Problem
    leader: Index
    jobs: Index

    def at_work(self, serve: Array, train: Array) -> tuple[Index, Index]:
        """Candidates behind a plan of the merged points: those at work, and the fastest of each run and system.

        Parameters
        ----------
        serve : (S, P, T) array
            Blocks of racks at each merged point.
        train : (J, S, T) array
            At each training point.

        """
        busy = serve.max(axis=0, initial=0.0) > 1e-6
        used = train.max(axis=(1, 2), initial=0.0) > 1e-6
        p = self.problem
        used |= p.train_rate == p.run_rate[p.train_run, p.train_system]  # these say where runs may be placed at all
        return np.unique(self.leader[busy]), self.jobs[used]


def envelope(problem: Problem) -> Envelope:
    """Merge the candidates of a problem."""
    p, live = problem, most_online(problem).any(axis=0)
    none = np.zeros((0, len(p.quarters)))
    merged = [_Merged(none.astype(int), np.zeros(0), np.zeros(0), none)]
    for mine in _groups(p.point_workload, p.point_system):
        done = p.point_tokens[mine] * np.asarray(live)[p.point_system[mine[0]]]
        same = _merged(p.point_held_w[mine], p.point_power_w[mine], done)
        needed = _needed(p, same.held, same.drawn, same.done)
        merged.append(_Merged(mine[same.leader[needed]], same.held[needed], same.drawn[needed], same.done[needed]))
    jobs = [np.zeros(0, dtype=int)]
    for mine in _groups(p.train_run, p.train_system):
        needed = _needed(p, p.train_held_w[mine], p.train_power_w[mine], p.train_rate[mine][:, None])
        jobs.append(mine[needed])
    leader, trained = np.concatenate([m.leader for m in merged]), np.concatenate(jobs)
    out = restrict(p, leader[:, 0], trained)
    whole: dict[str, Any] = {
        "point_held_w": np.concatenate([m.held for m in merged]),
        "point_power_w": np.concatenate([m.drawn for m in merged]),
        "point_tokens": np.concatenate([m.done for m in merged]),
        # The room of a run is that of all its points together, left out or not.
        "train_max_racks": p.run_max_racks[out.train_run, out.train_system],
    }
    return Envelope(replace(out, **whole), leader, trained)


@dataclass(frozen=True)
class _Merged:
    """Rows that each stand for several: which leads in each quarter (P, T), watts held and drawn (P,), what is done (P, T)."""

    leader: Index
    held: Array
    drawn: Array
    done: Array


def _groups(work: Index, system: Index) -> list[Index]:
    """Rows of each work on each system."""
    pairs = np.column_stack([work, system])
    return [np.flatnonzero((pairs == pair).all(axis=1)) for pair in np.unique(pairs, axis=0)]


def _merged(held: Array, drawn: Array, done: Array) -> _Merged:
    """One row for all that hold and draw the same."""
    key = np.column_stack([_levels(held), _levels(drawn)])
    alike = [np.flatnonzero((key == level).all(axis=1)) for level in np.unique(key, axis=0)]
    leader = np.array([mine[done[mine].argmax(axis=0)] for mine in alike])
    least_held, least_drawn = (np.array([watts[mine].min() for mine in alike]) for watts in (held, drawn))
    return _Merged(leader, least_held, least_drawn, np.take_along_axis(done, leader, axis=0))


def _levels(watts: Array) -> Index:
    """Number of the level that each row is at, from the lowest up."""
    order = np.argsort(watts, kind="stable")
    steps = np.diff(watts[order], prepend=watts[order[0]]) > _SAME * watts.max()
    out = np.empty(len(watts), dtype=int)
    out[order] = np.cumsum(steps)
    return out


def _needed(problem: Problem, held: Array, drawn: Array, done: Array) -> Index:
    """Rows that no racks at two other rows can stand in for; at least one."""
    kept: Mask = np.ones(len(held), dtype=bool)
    if (problem.energy_usd_per_j < 0).any():  # who is paid to draw does not want the thriftier one
        return np.flatnonzero(kept)
    for row in np.lexsort((drawn, held))[::-1]:
        kept[row] = False
        others = held[kept], drawn[kept], done[kept]
        if not kept.any() or not (done[row] <= _stand_in(*others, held[row], drawn[row])).all():
            kept[row] = True
    return np.flatnonzero(kept)


def _stand_in(held: Array, drawn: Array, done: Array, most_held: float, most_drawn: float) -> Array:
    """The most that racks at one row, or shared between two, do in each quarter within these watts. Shape (T,)."""
    within = (held <= most_held) & (drawn <= most_drawn)
    best = np.max(done[within], axis=0, initial=0.0)
    pairs = np.argwhere(within[:, None] & ~within[None, :])
    low, high = pairs[:, 0], pairs[:, 1]
    if not low.size:
        return np.asarray(best)
    share = np.ones(low.size)
    for watts, most in ((held, most_held), (drawn, most_drawn)):
        over = np.flatnonzero(watts[high] > most)
        room = (most - watts[low[over]]) / (watts[high[over]] - watts[low[over]])
        share[over] = np.minimum(share[over], room)
    mixed = done[low] * (1 - share)[:, None] + done[high] * share[:, None]
    return np.asarray(np.maximum(best, mixed.max(axis=0)))
