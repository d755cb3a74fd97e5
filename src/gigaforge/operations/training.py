"""A gang-scheduled training run through failures: exact in time, without a loop over failures.

A run alternates between running and stalled. Each interruption ``i`` at ``t_i`` needs the gang complete again (spares)
and then a stall ``d_i``; a new failure meanwhile starts over, so the run resumes at the running maximum of
``gang_complete(t_i) + d_i``. Within a running segment snapshots follow each other regularly, so what is kept is a
floor division. Every second of the run ends in one account: productive, checkpoint, rework, restart, wait (gang
incomplete, or replicas missing), straggler (the gang at the pace of a slow member); their sum is checked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from gigaforge.operations.intervals import Array, IntArray, Mask, integral_to
from gigaforge.operations.policy import TrainingPolicy

__all__ = ["ACCOUNTS", "GangState", "GangWindow", "Interruptions", "run_gang"]

ACCOUNTS = ("productive", "checkpoint", "rework", "restart", "wait", "straggler")
Shares = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Interruptions:
    """What stops the gang in one window, sorted by time, each (interruption,).

    ``stall_s`` from the gang complete to running [s]; ``rolls_back`` whether work since the last snapshot is lost;
    ``tier`` nearest surviving tier; ``extra_s`` work lost because the fault began earlier [s].
    """

    time_s: Array
    stall_s: Array
    rolls_back: Mask
    tier: IntArray
    extra_s: Array


@dataclass(frozen=True)
class GangState:
    """What a run carries from one window to the next; times since the window began [s].

    ``segment_s``: start of the running segment, or when it will resume. ``credited``: what was already booked of an
    open segment (productive, checkpoint). ``snapshots``: kept since the run began, closed segments only. ``kept_s``,
    ``absent_s``, ``slow_s``: work kept since the run began, and what missing replicas and slow members took of it:
    a rollback that reaches into an earlier window gives back in these proportions.
    """

    segment_s: float = 0.0
    credited_work_s: float = 0.0
    credited_checkpoint_s: float = 0.0
    snapshots: int = 0
    kept_s: float = 0.0
    absent_s: float = 0.0
    slow_s: float = 0.0

    @property
    def absent_share(self) -> float:
        """Share of the work kept so far that missing replicas took [fraction]."""
        return self.absent_s / self.kept_s if self.kept_s > 0.0 else 0.0

    @property
    def slow_share(self) -> float:
        """Share of the work kept so far that slow members took [fraction]."""
        return self.slow_s / self.kept_s if self.kept_s > 0.0 else 0.0

    def shifted(self, window_s: float) -> GangState:
        """The same in the next window's time."""
        return replace(self, segment_s=self.segment_s - window_s)


@dataclass(frozen=True)
class GangWindow:
    """One window of one run.

    Attributes
    ----------
    accounts : dict
        Seconds of the gang's time in each of `ACCOUNTS`; the sum is the window.
    start_s, end_s : (segment,) arrays
        Running segments within the window. [s]
    kept_s : (segment,) array
        Work kept of each at full size [s]; the sum is ``accounts["productive"]``.
    interruptions, rollbacks : int
    state : GangState

    """

    accounts: dict[str, float]
    start_s: Array
    end_s: Array
    kept_s: Array
    interruptions: int
    state: GangState
    segments: int = field(default=0)


def run_gang(
    length_s: float,
    hits: Interruptions,
    blocked: tuple[Array, Array],
    policy: TrainingPolicy,
    interval_s: float,
    state: GangState,
    missing: Shares | None = None,
    slowed: Shares | None = None,
) -> GangWindow:
    """Run one gang through one window.

    Parameters
    ----------
    length_s : float
        Window [s].
    hits : Interruptions
        What stops it.
    blocked : (start, end) arrays
        Disjoint times in which the gang is incomplete [s]; each begins with a hit or at the window's start.
    policy : TrainingPolicy
        Its checkpoints.
    interval_s : float
        Work between snapshots [s].
    state : GangState
        From the window before.
    missing, slowed : (start, end, share) arrays, optional
        Replicas away while the rest goes on, as shares of the gang; pace lost to a slow member.

    """
    block_s = policy.checkpoint.blocking_s
    resume = np.maximum.accumulate(
        np.concatenate(([state.segment_s], _complete(hits.time_s, blocked) + hits.stall_s))
    )
    until = np.append(hits.time_s, length_s)
    ran = until > resume
    start, end = resume[ran], until[ran]
    closed = np.append(np.ones(hits.time_s.size, dtype=np.bool_), False)[ran]
    which = np.append(np.arange(hits.time_s.size), -1)[ran]

    length, cycle = end - start, interval_s + block_s
    done = np.floor(length / cycle)
    partial = np.minimum(length - done * cycle, interval_s)
    everything = done * interval_s + partial
    drain = policy.checkpoint.tiers[0].durable_after_s
    durable = np.where(length > drain, np.floor(np.maximum(length - drain, 0.0) / cycle), 0.0)
    lost = closed & _pick(hits.rolls_back, which)
    snapshots = np.where(lost, durable, done)
    work = np.where(lost, durable * interval_s, everything)
    saving = np.where(lost, durable * block_s, length - everything)
    work, saving, total = _deeper(work, saving, snapshots, hits, which, lost, policy, interval_s, state.snapshots)
    if closed.size and not closed[-1]:
        total -= int(snapshots[-1])  # the open segment's are counted when it closes

    begin = np.maximum(start, 0.0)
    running = float((end - begin).sum())
    kept = work
    checkpoint = float(saving.sum())
    if kept.size and ran[0]:
        kept = kept - np.where(np.arange(kept.size) == 0, state.credited_work_s, 0.0)
        checkpoint -= state.credited_checkpoint_s
    productive = float(kept.sum())
    wait = _overlap(blocked, length_s)
    kept, debt = _last_lost_first(kept)
    kept, absent = _reduced(kept, begin, end, missing)
    kept, slow = _reduced(kept, begin, end, slowed)
    absent, slow = absent - debt * state.absent_share, slow - debt * state.slow_share
    kept = _repaid(kept, debt * (1.0 - state.absent_share - state.slow_share))
    accounts = {
        "productive": productive - absent - slow,
        "checkpoint": checkpoint,
        "rework": running - productive - checkpoint,
        "restart": length_s - running - wait,
        "wait": wait + absent,
        "straggler": slow,
    }
    after = replace(_carry(ran, resume, start, everything, length, total, length_s), kept_s=state.kept_s + productive,
                    absent_s=state.absent_s + absent, slow_s=state.slow_s + slow)  # fmt: skip
    return GangWindow(accounts, begin, end, kept, int(hits.time_s.size), after, int(end.size))


def _last_lost_first(kept: Array) -> tuple[Array, float]:
    """Take work that a rollback undid off the segments that had done it, latest first.

    A rollback deeper than its own segment leaves that segment negative. What reaches back beyond the window is
    returned as a debt [s].
    """
    if kept.size == 0 or not (kept < 0.0).any():
        return kept, 0.0
    done = np.cumsum(kept)
    final = np.minimum.accumulate(done[::-1])[::-1]
    debt = max(0.0, -float(final[0]))
    final = np.maximum(final, -debt) + debt
    return np.diff(final, prepend=0.0), debt


def _repaid(kept: Array, debt: float) -> Array:
    """Work done again before anything new is kept; a debt beyond the window's work stays in its first segment."""
    if debt <= 0.0 or kept.size == 0:
        return kept
    total = np.cumsum(kept)
    left = np.diff(np.maximum(total - debt, 0.0), prepend=0.0)
    left[0] -= max(debt - float(total[-1]), 0.0)
    return left


def _reduced(kept: Array, begin: Array, end: Array, shares: Shares | None) -> tuple[Array, float]:
    """Take a share that varies in time off the work kept; also the sum taken [s]."""
    if shares is None or shares[0].size == 0 or kept.size == 0:
        return kept, 0.0
    spent = integral_to(end, *shares) - integral_to(begin, *shares)
    mean = np.clip(spent / np.maximum(end - begin, 1e-9), 0.0, 1.0)
    return kept * (1.0 - mean), float((kept * mean).sum())


def _pick(mask: Mask, which: IntArray) -> Mask:
    return np.append(mask, False)[which]


def _complete(time: Array, blocked: tuple[Array, Array]) -> Array:
    """When the gang is complete again after each hit [s]."""
    begin, finish = blocked
    if begin.size == 0:
        return time
    at = np.searchsorted(begin, time, side="right") - 1
    inside = (at >= 0) & (time < finish[np.maximum(at, 0)])
    return np.where(inside, finish[np.maximum(at, 0)], time)


def _overlap(blocked: tuple[Array, Array], length_s: float) -> float:
    begin, finish = blocked
    return float((np.minimum(finish, length_s) - np.maximum(begin, 0.0)).clip(min=0.0).sum())


def _deeper(work: Array, saving: Array, snapshots: Array, hits: Interruptions, which: IntArray, lost: Mask,
            policy: TrainingPolicy, interval_s: float, before: int) -> tuple[Array, Array, int]:  # fmt: skip
    """Take back more where the nearest tier did not survive, or the fault began earlier.

    Only such failures are walked; between them the count of snapshots just adds up.
    """
    tiers = policy.checkpoint.tiers
    tier = np.minimum(np.append(hits.tier, 0)[which], len(tiers) - 1)
    extra = np.append(hits.extra_s, 0.0)[which]
    deep = np.flatnonzero(lost & ((tier > 0) | (extra > 0.0)))
    total = np.cumsum(snapshots) + before
    if deep.size == 0:
        return work, saving, int(total[-1]) if total.size else before
    work, saving = work.copy(), saving.copy()
    fallen = 0
    for i in deep.tolist():
        have = int(total[i]) - fallen
        every = tiers[int(tier[i])].every
        reach = max(have - math.ceil(extra[i] / interval_s), 0)
        back = have - reach // every * every
        fallen += back
        work[i] -= back * interval_s
        saving[i] -= back * policy.checkpoint.blocking_s
    return work, saving, int(total[-1]) - fallen


def _carry(ran: Mask, resume: Array, start: Array, everything: Array, length: Array, snapshots: int,
           length_s: float) -> GangState:  # fmt: skip
    if not ran.size or not ran[-1]:
        return GangState(float(resume[-1]), 0.0, 0.0, snapshots).shifted(length_s)
    work = float(everything[-1])
    return GangState(float(start[-1]), work, float(length[-1]) - work, snapshots).shifted(length_s)
