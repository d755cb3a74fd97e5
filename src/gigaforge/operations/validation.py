"""Published outcomes from published inputs: one shared set of failure and recovery rates, no case has its own.

Shared set
----------
Failure rates per accelerator by cause: the 419 interruptions of Llama 3 405B (fitted: they are that table). Where a
case's cluster has a published rate of its own, all causes are scaled to it; that is an input, not a fit.
Recovery: `gigaforge.operations.policy.RestartStages`. Fitted: automatic detection 30 s and warm-up 30 s (to ByteRobust's
97 %) and an unattended manual restart 2.9 h (to HLAT's manual 77.83 %). One more fit concerns neither: the size of
error bursts at Delta (to its 31 spares). Everything else is untouched.
Saving: 16 bytes a parameter over the storage bandwidth that a case publishes, else 1 TB/s (the most that
trillion-parameter models were seen to need).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from gigaforge.operations.validation_bounds import BOUND_CASES
from gigaforge.operations.validation_case import Case
from gigaforge.operations.validation_jobs import JOB_CASES
from gigaforge.operations.validation_site import SITE_CASES

__all__ = ["CASES", "Case", "Row", "validate"]

CASES: Final[tuple[Case, ...]] = (*JOB_CASES, *BOUND_CASES, *SITE_CASES)


@dataclass(frozen=True)
class Row:
    """A case with what the simulator says: mean and the range of 95 % of replications."""

    case: Case
    simulated: float
    simulated_low: float
    simulated_high: float

    @property
    def reproduced(self) -> bool:
        """Whether the mean lies in the case's range."""
        return self.case.low <= self.simulated <= self.case.high


def validate(seed: int = 0, cases: tuple[Case, ...] = CASES) -> list[Row]:
    """Simulate every case."""
    rows = []
    for case in cases:
        values = np.array([case.run(seed + i) for i in range(case.replications)])
        low, high = np.quantile(values, [0.025, 0.975])
        rows.append(Row(case, float(values.mean()), float(low), float(high)))
    return rows
