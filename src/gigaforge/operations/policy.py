"""How a training run lives with failures: checkpoints, spares, restart stages, elasticity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CheckpointPolicy", "RestartStages", "Tier", "TrainingMode", "TrainingPolicy"]

TrainingMode = Literal["synchronous", "elastic", "fault_tolerant"]


@dataclass(frozen=True, slots=True)
class Tier:
    """A place where snapshots are kept.

    Attributes
    ----------
    every : int
        Each so many snapshots one is copied here, in the background.
    durable_after_s : float
        Until the copy can be read back. [s]
    load_s : float
        To read it back at a restart. [s]

    """

    every: int = 1
    durable_after_s: float = 0.0
    load_s: float = 15.0


@dataclass(frozen=True, slots=True)
class CheckpointPolicy:
    """Snapshots of a job's state.

    Attributes
    ----------
    blocking_s : float
        Each stops the job for so long (a copy to host memory when asynchronous). [s]
    interval_s : float or None
        Work between snapshots; None for the exact optimum at the job's failure rate. [s]
    shortest_s : float
        No optimum below this: the copy must drain before the next. [s]
    tiers : tuple of Tier
        From nearest to farthest: memory of hosts and peers, local disks, remote storage; all assumptions.

    """

    blocking_s: float = 2.0
    interval_s: float | None = None
    shortest_s: float = 30.0
    tiers: tuple[Tier, ...] = (Tier(1, 10.0, 15.0), Tier(4, 60.0, 45.0), Tier(10, 120.0, 120.0))


@dataclass(frozen=True, slots=True)
class RestartStages:
    """What stands between a failure and the next productive step: one shared set for every case.

    ``detect_s`` and ``warmup_s`` are fitted together (to ByteRobust's 97 %). ``attended_share``: over 90 % of faults are
    found and recovered automatically (MegaScale, https://arxiv.org/abs/2402.15627); ``attended_s``: manual diagnosis
    takes more than 30 minutes on average (Minder, https://arxiv.org/abs/2411.01791); ``init_s``: communicators in under
    30 s beyond 10,000 GPUs (MegaScale); ``swap_s`` is an assumption.

    Attributes
    ----------
    detect_s : float
        Automatic detection and diagnosis (mean of an exponential). [s]
    attended_share, attended_s : float
        Faults that need a person on call, and how long that takes (lognormal mean). [fraction], [s]
    tail_sigma : float
        Spread of a person's time. [ln]
    swap_s : float
        A hot spare takes the place of the failed rack. [s]
    init_s : float
        Process start and communicators. [s]
    warmup_s : float
        First steps, compilation. [s]

    """

    detect_s: float = 30.0
    attended_share: float = 0.10
    attended_s: float = 1800.0
    tail_sigma: float = 1.0
    swap_s: float = 60.0
    init_s: float = 30.0
    warmup_s: float = 30.0

    @property
    def automatic_s(self) -> float:
        """Mean of all stages but loading and people [s]."""
        return self.detect_s + self.swap_s + self.init_s + self.warmup_s

    def mean_s(self, load_s: float) -> float:
        """Mean stall of one failure [s]."""
        return self.automatic_s + self.attended_share * self.attended_s + load_s


@dataclass(frozen=True, slots=True)
class TrainingPolicy:
    """One run's way with failures.

    Attributes
    ----------
    mode : str
        ``synchronous``: any failure stops the whole gang and rolls it back. ``elastic``: the gang stops briefly,
        drops the replica and goes on smaller until racks return. ``fault_tolerant``: the other replicas go on
        after a short hiccup, the failed one rejoins when it has restarted.
    replica_racks : int
        Racks of one data-parallel replica (elastic and fault tolerant).
    spares : int or None
        Hot spare racks within the allocation; None for the fewest that cover `spare_cover`.
    hiccup_s : float
        Stop of the whole gang at each failure (elastic and fault tolerant). [s]
    fallback : float
        Share of failures that need a full restart after all. [fraction]
    planned_per_s, planned_s : float
        Planned interruptions and how long each takes; drained at a snapshot. [1/s], [s]
    stall_s : float or None
        Given mean stall instead of the stages (constant), where a source prints it. [s]
    ramp_s : float
        Extra time to ramp power up after each stop. [s]
    grid_ramp_s : float
        The same where the grid limits it, at most half of the stop; the simulator sets it from the site. [s]

    """

    mode: TrainingMode = "synchronous"
    checkpoint: CheckpointPolicy = CheckpointPolicy()
    restart: RestartStages = RestartStages()
    replica_racks: int = 1
    spares: int | None = None
    spare_cover: float = 0.999
    hiccup_s: float = 30.0
    fallback: float = 0.05
    planned_per_s: float = 1.0 / 86400.0
    planned_s: float = 300.0
    stall_s: float | None = None
    ramp_s: float = 0.0
    grid_ramp_s: float = 0.0
