"""One run on its own: the smallest fleet, for validation, tests and questions about a single job."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gigaforge.operations.engine import fresh_state, run_windows
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, Site
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.weather import climate_at
from gigaforge.quarters import Quarter

__all__ = ["JobOutcome", "simulate_job", "single_job_fleet"]

_STEP_S = 300.0


@dataclass(frozen=True)
class JobOutcome:
    """Shares of the job's rack time by account, interruptions, failures by mode, availability of its racks."""

    accounts: dict[str, float]
    interruptions: int
    failures: dict[str, int]
    availability: float
    duration_s: float

    @property
    def effective(self) -> float:
        """Effective training time: productive, whatever the pace (stragglers count as time spent training)."""
        working = 1.0 - self.accounts["idle"]
        return (self.accounts["productive"] + self.accounts["straggler"]) / working


def single_job_fleet(rack: RackClass, racks: int, duration_s: float, policy: TrainingPolicy, table: FailureTable,
                     technicians: int | None = None, windows: int = 1) -> Fleet:  # fmt: skip
    """A fleet of one job on one site without a power limit."""
    window = math.ceil(duration_s / windows / _STEP_S) * _STEP_S
    site = Site(
        "site",
        np.full(windows, 1e18),
        np.full(windows, 1.1),
        np.full(windows, 1.0),
        climate_at(None),
        technicians=None if technicians is None else np.full(windows, technicians),
    )
    aged = [Cohort(0, racks, -365.25 * 86400.0)]  # a year: past infancy, little wear
    group = Group("job", 0, rack, "training", "job", np.full(windows, racks, dtype=np.int64), np.full(windows, 1.0),
                  np.full(windows, 1.0), np.full(windows, 0.3), (aged,) * windows, (policy,) * windows)  # fmt: skip
    return Fleet("job", Quarter.parse("2027-Q1"), (site,), (group,), (), table, window, _STEP_S)


def simulate_job(rack: RackClass, racks: int, duration_s: float, policy: TrainingPolicy, table: FailureTable | None = None,
                 seed: int = 0, technicians: int | None = None, windows: int = 1) -> JobOutcome:  # fmt: skip
    """Simulate one run on racks past their infancy.

    Parameters
    ----------
    rack, racks : RackClass, int
        Spares included.
    duration_s : float
        Rounded up to whole 5-minute steps [s].
    policy : TrainingPolicy
        Checkpoints, spares, restart stages.
    table : FailureTable, optional
        Default the shipped one.
    seed : int
        The same seed gives the same run.
    technicians : int, optional
        Default no limit.
    windows : int
        Pieces to simulate in; the answer is the same process, other random numbers.

    """
    rates = default_failures() if table is None else table
    fleet = single_job_fleet(rack, racks, duration_s, policy, rates, technicians, windows)
    books = run_windows(fleet, seed, fresh_state(fleet)).books
    book = books.groups[0]
    return JobOutcome(
        {name: value / book.rack_s for name, value in book.accounts.items()},
        book.interruptions,
        {k: v for k, v in books.modes.items() if v},
        1.0 - book.down_s / book.rack_s,
        books.time_s,
    )
