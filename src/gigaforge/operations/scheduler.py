"""Gang scheduling of many jobs, event by event: NVLink domains kept whole, pods preferred, backfill, failures.

For replaying job logs and for research clusters. A job smaller than a domain gets the fullest domain it still fits;
a larger one gets whole free domains, from one scale-out pod if any pod has enough. The queue is first come first
served with EASY backfill: a later job may start if it ends before the head could. Events at the same instant are
ordered by kind and job number.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gigaforge.errors import InputError
from gigaforge.operations.checkpoint import best_interval_s
from gigaforge.operations.intervals import Array, IntArray
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.streams import stream

__all__ = ["ClusterOutcome", "replay_jobs"]

_FINISH, _SUBMIT = 0, 1


@dataclass(frozen=True)
class ClusterOutcome:
    """What a replay answers.

    ``jobs``: one row a job (``job, accelerators, submit_s, start_s, end_s, wait_s, failures, lost_s, pods``).
    """

    jobs: pd.DataFrame
    accelerators: int
    span_s: float

    def summary(self) -> dict[str, float]:
        """Headline figures."""
        jobs = self.jobs
        held = jobs["accelerators"] * (jobs["end_s"] - jobs["start_s"])
        total = float(held.sum())
        return {
            "jobs": float(len(jobs)),
            "utilisation": total / (self.accelerators * self.span_s) if self.span_s > 0 else 0.0,
            "mean_wait_s": float(jobs["wait_s"].mean()),
            "p90_wait_s": float(jobs["wait_s"].quantile(0.9)),
            "jobs_hit_share": float((jobs["failures"] > 0).mean()),
            "runtime_hit_share": float(held[jobs["failures"] > 0].sum()) / total if total else 0.0,
            "lost_share": float((jobs["accelerators"] * jobs["lost_s"]).sum()) / total if total else 0.0,
            "one_pod_share": float((jobs["pods"] <= 1).mean()),
        }


class _Cluster:
    """Free accelerators by rack."""

    def __init__(self, racks: int, domain: int, pod_racks: int) -> None:
        self.domain, self.pod = domain, np.arange(racks) // pod_racks
        self.free = np.full(racks, domain, dtype=np.int64)

    def place(self, count: int) -> IntArray | None:
        """Racks for a job, None if it does not fit now."""
        if count < self.domain:
            fits = np.flatnonzero(self.free >= count)
            if fits.size == 0:
                return None
            return fits[[int(np.argmin(self.free[fits]))]]
        need = -(-count // self.domain)
        whole = np.flatnonzero(self.free == self.domain)
        if whole.size < need:
            return None
        inside = np.bincount(self.pod[whole], minlength=int(self.pod[-1]) + 1)
        enough = np.flatnonzero(inside >= need)
        if enough.size:
            best = enough[int(np.argmin(inside[enough]))]
            return np.asarray(whole[self.pod[whole] == best][:need])
        # several pods: the emptiest first, so that as few as possible are crossed
        order = np.lexsort((whole, self.pod[whole], -inside[self.pod[whole]]))
        return np.sort(whole[order][:need])

    def take(self, racks: IntArray, count: int, sign: int) -> None:
        """Occupy (1) or free (-1)."""
        if count < self.domain:
            self.free[racks] -= sign * count
        else:
            self.free[racks] -= sign * self.domain


def _stretched(
    rng: np.random.Generator, duration_s: float, count: int, rate: float, policy: TrainingPolicy
) -> tuple[float, int]:
    """Run time with failures, rollbacks and restarts, and how many failures."""
    hits = rate * count
    if hits * duration_s < 1e-9:
        return duration_s, 0
    stages, plan = policy.restart, policy.checkpoint
    interval = plan.interval_s or best_interval_s(hits, plan.blocking_s, plan.shortest_s, 6 * 3600.0)
    done, clock, failures = 0.0, 0.0, 0
    while True:
        until = float(rng.exponential(1.0 / hits))
        left = duration_s - done
        need = left + math.floor(left / interval) * plan.blocking_s
        if until >= need:
            return clock + need, failures
        failures += 1
        done += math.floor(until / (interval + plan.blocking_s)) * interval
        clock += until + stages.mean_s(plan.tiers[0].load_s)


def replay_jobs(jobs: pd.DataFrame, racks: int, rack: RackClass, *, pod_racks: int = 8, table: FailureTable | None = None,
                policy: TrainingPolicy | None = None, seed: int = 0) -> ClusterOutcome:  # fmt: skip
    """Replay a job log (`gigaforge.operations.traces.read_jobs`) on a cluster.

    Parameters
    ----------
    jobs : DataFrame
        ``job, submit_s, accelerators, duration_s``, sorted by submission.
    racks, rack, pod_racks : int, RackClass, int
        The cluster, and the racks of one scale-out pod.
    seed : int
        Of the failures.
    table : FailureTable, optional
        Failure rates of one rack.
    policy : TrainingPolicy, optional
        Checkpoints and restart stages of each job.

    Raises
    ------
    InputError
        A job is larger than the cluster.

    """
    rates = default_failures() if table is None else table
    policy = policy or TrainingPolicy()
    size = racks * rack.accelerators
    counts, durations = jobs["accelerators"].to_numpy(), jobs["duration_s"].to_numpy()
    if len(jobs) and counts.max() > size:
        worst = int(np.argmax(counts))
        raise InputError(
            f"job {jobs['job'].iloc[worst]} needs {int(counts[worst]):,} accelerators; the cluster has {size:,}"
            " (give more with --racks or --domain)",
            "trace",
        )
    rate = rates.interrupt_rate(rack) / rack.accelerators
    rng = stream(seed, "replay")
    real = [_stretched(rng, float(d), int(n), rate, policy) for d, n in zip(durations, counts, strict=True)]
    cluster = _Cluster(racks, rack.accelerators, pod_racks)
    start, pods = _schedule(cluster, jobs["submit_s"].to_numpy(), counts, durations, np.array([r[0] for r in real]))
    length = np.array([r[0] for r in real])
    out = pd.DataFrame({
        "job": jobs["job"], "accelerators": counts, "submit_s": jobs["submit_s"], "start_s": start, "end_s": start + length,
        "wait_s": start - jobs["submit_s"], "failures": [r[1] for r in real], "lost_s": length - durations, "pods": pods,
    })  # fmt: skip
    span = float(out["end_s"].max() - out["submit_s"].min()) if len(out) else 0.0
    return ClusterOutcome(out, size, span)


def _schedule(
    cluster: _Cluster, submit: Array, counts: IntArray, expected: Array, real: Array
) -> tuple[Array, IntArray]:
    """Start time and pods of each job."""
    times, lengths, guesses = submit, real, expected
    start, pods = np.full(counts.size, np.nan), np.zeros(counts.size, dtype=np.int64)
    heap = [(float(t), _SUBMIT, j) for j, t in enumerate(times)]
    heapq.heapify(heap)
    queue: list[int] = []
    running: dict[int, tuple[float, IntArray]] = {}
    while heap:
        now, kind, job = heapq.heappop(heap)
        if kind == _FINISH:
            cluster.take(running.pop(job)[1], int(counts[job]), -1)
        else:
            queue.append(job)
        if heap and heap[0][0] == now:
            continue
        for job in _startable(cluster, queue, running, counts, guesses, now):
            where = cluster.place(int(counts[job]))
            if where is None:
                continue
            cluster.take(where, int(counts[job]), 1)
            queue.remove(job)
            running[job] = (now + float(guesses[job]), where)
            start[job], pods[job] = now, np.unique(cluster.pod[where]).size
            heapq.heappush(heap, (now + float(lengths[job]), _FINISH, job))
    return start, pods


def _startable(cluster: _Cluster, queue: list[int], running: dict[int, tuple[float, IntArray]], counts: IntArray, guesses: Array,
               now: float, depth: int = 64) -> list[int]:  # fmt: skip
    """Jobs to try in order: the head for as long as it fits, then those that would not delay it."""
    free = int(cluster.free.sum())
    position = 0
    while position < len(queue) and counts[queue[position]] <= free:
        free -= int(counts[queue[position]])
        position += 1
    if position == len(queue):
        return list(queue)
    head, shadow = queue[position], math.inf
    for end, where in sorted(running.values(), key=lambda r: r[0]):
        free += int(where.size) * cluster.domain if where.size > 1 else cluster.domain // 2
        if free >= counts[head]:
            shadow = end
            break
    later = [j for j in queue[position + 1 : position + 1 + depth] if now + float(guesses[j]) <= shadow]
    return [*queue[: position + 1], *later]
