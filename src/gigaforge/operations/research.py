"""Research jobs one by one: gangs placed on whole NVLink domains inside one pod, first come first served.

The racks that nothing else uses are cut into blocks, one queue for each size of job: a block never crosses a pod, and
jobs smaller than a rack share its NVLink domain. A job that a failure strikes falls back to its last snapshot, goes
to the head of its queue and starts again on the next block that is free and whole; a block waits until all of its
racks are back. Times are exact, and the cost is a few heap operations a job and a failure.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from gigaforge.operations.failures import countable
from gigaforge.operations.intervals import Array, IntArray, Mask, bin_integrals

__all__ = ["Block", "Hits", "PoolState", "PoolWindow", "ResearchPolicy", "cut_into_blocks", "run_pool"]

_LONGEST: Final = 20.0  # times the mean: no job is longer


@dataclass(frozen=True, slots=True)
class ResearchPolicy:
    """The jobs that ask for the racks left over; all assumptions.

    Attributes
    ----------
    sizes : tuple of (float, float)
        Racks of a job, and the share of rack time that jobs of this size ask for. Below 1: a part of one rack.
    duration_s, spread : float
        Mean and log-normal spread of a job's work. [s], [ln]
    checkpoint_s, restart_s : float
        Work between snapshots, and start-up after each interruption. [s]

    """

    sizes: tuple[tuple[float, float], ...] = ((0.5, 0.05), (1.0, 0.20), (2.0, 0.25), (4.0, 0.25), (8.0, 0.25))
    duration_s: float = 2.0 * 86400.0
    spread: float = 1.0
    checkpoint_s: float = 1800.0
    restart_s: float = 300.0


@dataclass(frozen=True)
class Block:
    """All blocks of one size: ``first`` rack of each (several of the same where jobs share one), racks in one."""

    size: float
    first: IntArray

    @property
    def width(self) -> int:
        """Racks that a failure of one block can come from."""
        return max(1, round(self.size))


@dataclass(frozen=True)
class Hits:
    """What happens to a pool's racks in a window, sorted by time, each (event,).

    ``rack``: number in the pool; ``until_s``: back in service, the time itself where it stays in; ``drained``: the
    job saves first and loses nothing.
    """

    time_s: Array
    until_s: Array
    rack: IntArray
    drained: Mask


@dataclass
class QueueState:
    """One size's queue between windows, times since the window began [s].

    ``free_s``: block is free and whole; ``begun_s, end_s, restart_s`` of the job on it (``end_s`` below zero: none);
    ``waiting``: jobs that wait as (ready, work left, start-up); a new job has no start-up of its own.
    """

    size: float
    free_s: list[float]
    begun_s: list[float]
    end_s: list[float]
    restart_s: list[float]
    waiting: list[tuple[float, float, float]] = field(default_factory=list)


@dataclass
class PoolState:
    """What a pool carries: its racks and queues."""

    racks: int = 0
    queues: list[QueueState] = field(default_factory=list)


@dataclass(frozen=True)
class PoolWindow:
    """One window of a pool.

    Attributes
    ----------
    busy : (bin,) array
        Racks at work, mean over the bin.
    busy_s, rework_s, restart_s : float
        Rack time: held by jobs, of it done again, of it starting up [rack s].
    jobs, interruptions : int
        Jobs started (not started again), and stopped by a failure.
    waited_s : float
        Of the jobs started, from submission, in all [s].

    """

    busy: Array
    busy_s: float
    rework_s: float
    restart_s: float
    jobs: int
    interruptions: int
    waited_s: float
    state: PoolState


def cut_into_blocks(racks: int, pod_racks: int, policy: ResearchPolicy) -> list[Block]:
    """Blocks by size of job, largest first; sizes that no pod holds are left to the smaller ones."""
    space = [(p, min(pod_racks, racks - p)) for p in range(0, racks, pod_racks)]
    blocks: list[Block] = []
    left = racks
    sizes = sorted((s for s in policy.sizes if s[1] > 0.0 and s[0] <= min(pod_racks, racks)), reverse=True)
    total = sum(share for _, share in sizes)
    for place, (size, share) in enumerate(sizes):
        last = place == len(sizes) - 1
        width, first = max(1, round(size)), list[int]()
        wanted = math.inf if last else round(share / total * racks / width)
        rest = []
        for start, room in space:
            at = start
            while start + room - at >= width and len(first) < wanted:
                first.append(at)
                at += width
            if start + room > at:
                rest.append((at, start + room - at))
        space = rest
        left -= width * len(first)
        if first:
            blocks.append(
                Block(size, np.repeat(np.array(first, dtype=np.int64), round(1.0 / size) if size < 1.0 else 1))
            )
    if left:  # ends of pods that are too short for the smallest size
        singles = np.concatenate([np.arange(a, a + n) for a, n in space]).astype(np.int64)
        blocks.append(Block(1.0, singles))
    return blocks


def run_pool(
    rng: np.random.Generator,
    edges: Array,
    racks: int,
    pod_racks: int,
    use: float,
    hits: Hits,
    policy: ResearchPolicy,
    state: PoolState,
) -> PoolWindow:
    """Run a pool's jobs through a window.

    Parameters
    ----------
    rng : Generator
        Of the jobs that are submitted.
    edges : (bin + 1,) array
        The grid; its last value is the window's length [s].
    racks, pod_racks : int
        In the pool; in one pod.
    use : float
        Share of the racks that submitted work would keep busy [fraction].
    hits : Hits
        Failures and services of its racks.
    policy : ResearchPolicy
        Its jobs.
    state : PoolState
        From the window before.

    """
    length, blocks = float(edges[-1]), cut_into_blocks(racks, pod_racks, policy)
    before = state if state.racks == racks else _moved(state, blocks, policy.restart_s)
    queues, busy = [], np.zeros(edges.size - 1)
    total = {"busy": 0.0, "rework": 0.0, "restart": 0.0, "waited": 0.0, "jobs": 0, "stops": 0}
    for number, block in enumerate(blocks):
        count = block.first.size
        old = before.queues[number] if number < len(before.queues) else _empty(block)
        countable(use * count * length / policy.duration_s, "research jobs", f"{racks:,} racks left over")
        arrive = np.sort(rng.random(rng.poisson(use * count * length / policy.duration_s)) * length)
        work = policy.duration_s * np.exp(policy.spread * rng.standard_normal(arrive.size) - 0.5 * policy.spread**2)
        work = np.minimum(work, _LONGEST * policy.duration_s)
        jobs = [*old.waiting, *((at, left, 0.0) for at, left in zip(arrive.tolist(), work.tolist(), strict=True))]
        done = _Queue(old, jobs, policy).through(_of_blocks(hits, block), length)
        start, end, again = (np.array(x) for x in (done.start, done.end, done.again))
        inside, until = np.maximum(start, 0.0), np.minimum(end, length)
        busy += block.size * bin_integrals(edges, inside, until) / np.diff(edges)
        total["busy"] += block.size * float((until - inside).sum())
        total["restart"] += block.size * float(np.clip(np.minimum(until, start + again) - inside, 0.0, None).sum())
        total["rework"] += block.size * done.rework_s
        total["waited"] += done.waited_s
        total["jobs"] += done.started
        total["stops"] += done.stopped
        queues.append(done.state(block.size, length))
    return PoolWindow(busy, total["busy"], total["rework"], total["restart"], int(total["jobs"]), int(total["stops"]),
                      total["waited"], PoolState(racks, queues))  # fmt: skip


def _empty(block: Block) -> QueueState:
    count = block.first.size
    return QueueState(block.size, [0.0] * count, [0.0] * count, [-1.0] * count, [0.0] * count)


def _moved(state: PoolState, blocks: list[Block], restart_s: float) -> PoolState:
    """A pool that grew or shrank is cut anew: what ran is saved and waits at the head of the queue of its size."""
    fresh = [_empty(b) for b in blocks]
    for old in state.queues:
        running = [(0.0, end - max(begun + again, 0.0), restart_s)
                   for begun, end, again in zip(old.begun_s, old.end_s, old.restart_s, strict=True) if end > 0.0]  # fmt: skip
        fits = [q for q in fresh if q.size <= old.size] or fresh[-1:]
        for ready, left, again in [*running, *old.waiting]:
            if fits:  # on smaller blocks the same work takes longer
                fits[0].waiting.append((ready, left * old.size / fits[0].size, again))
    return PoolState(0, fresh)


def _of_blocks(hits: Hits, block: Block) -> list[tuple[float, float, int, bool]]:
    """Hits of a size's blocks, in order of time: time, until, number of the block, drained."""
    order = np.argsort(block.first, kind="stable")
    starts = block.first[order]
    out = []
    for shared in range(int(np.bincount(np.searchsorted(np.unique(starts), starts)).max(initial=0))):
        at = np.searchsorted(starts, hits.rack - block.width + 1, side="left") + shared
        inside = at < starts.size
        at = np.minimum(at, starts.size - 1)
        inside &= (starts[at] <= hits.rack) & (hits.rack < starts[at] + block.width)
        k = np.flatnonzero(inside)
        out += list(zip(hits.time_s[k].tolist(), hits.until_s[k].tolist(), order[at[k]].tolist(),
                        hits.drained[k].tolist(), strict=True))  # fmt: skip
    return sorted(out)


class _Queue:
    """One size's queue: first come first served, interrupted jobs before new ones."""

    def __init__(self, old: QueueState, jobs: list[tuple[float, float, float]], policy: ResearchPolicy) -> None:
        self.free = list(old.free_s)
        self.jobs, self.next, self.policy = jobs, 0, policy
        self.head: deque[tuple[float, float, float]] = deque()
        self.heap = [(t, b) for b, t in enumerate(self.free)]
        heapq.heapify(self.heap)
        on = [b for b, end in enumerate(old.end_s) if end > 0.0]
        self.start, self.end, self.again = ([x[b] for b in on] for x in (old.begun_s, old.end_s, old.restart_s))
        self.last = [-1] * len(self.free)  # of each block, which of these segments
        for number, b in enumerate(on):
            self.last[b] = number
        self.rework_s = self.waited_s = 0.0
        self.started = self.stopped = 0

    def through(self, hits: list[tuple[float, float, int, bool]], length: float) -> _Queue:
        """Start what fits, in order, with the hits in between."""
        for time, until, block, drained in hits:
            self._start(time)
            self._strike(time, until, block, drained)
        self._start(length)
        return self

    def _start(self, now: float) -> None:
        """Start jobs whose turn comes before ``now``."""
        heap, free, jobs, head, last = self.heap, self.free, self.jobs, self.head, self.last
        starts, ends, agains = self.start, self.end, self.again
        coming, count = self.next, len(self.jobs)
        while head or coming < count:
            ready, left, again = head[0] if head else jobs[coming]
            begin, block = heap[0]
            if begin != free[block]:  # a failure has changed it since
                heapq.heappop(heap)
                continue
            begin = max(begin, ready)
            if begin >= now:
                break
            if head:
                head.popleft()
            else:
                coming += 1
            if again == 0.0:
                self.started += 1
                self.waited_s += begin - ready
            end = begin + again + left
            free[block] = end
            heapq.heapreplace(heap, (end, block))
            last[block] = len(starts)
            starts.append(begin)
            ends.append(end)
            agains.append(again)
        self.next = coming

    def _strike(self, time: float, until: float, block: int, drained: bool) -> None:
        back, segment = max(until, time), self.last[block]
        if segment >= 0 and self.end[segment] > time:
            again, every = self.again[segment], self.policy.checkpoint_s
            done = max(time - self.start[segment] - again, 0.0)
            kept = done if drained else math.floor(done / every) * every
            left = self.end[segment] - self.start[segment] - again - kept
            self.head.append((time, left, self.policy.restart_s))
            self.rework_s += done - kept
            self.stopped += not drained
            self.end[segment] = time
        else:
            back = max(back, self.free[block])
        self.free[block] = back
        heapq.heappush(self.heap, (back, block))

    def state(self, size: float, length: float) -> QueueState:
        """What the next window starts from."""
        waiting = [*self.head, *self.jobs[self.next :]]
        on = [n if n >= 0 and self.end[n] > length else -1 for n in self.last]
        return QueueState(
            size, [t - length for t in self.free], [self.start[n] - length if n >= 0 else 0.0 for n in on],
            [self.end[n] - length if n >= 0 else -1.0 for n in on], [self.again[n] if n >= 0 else 0.0 for n in on],
            [(ready - length, left, again) for ready, left, again in waiting],
        )  # fmt: skip
