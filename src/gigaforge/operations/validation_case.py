"""What a validation case is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Case"]


@dataclass(frozen=True)
class Case:
    """One published outcome.

    ``low`` to ``high``: what counts as reproduced. ``role``: fitted (a parameter was set to it), input (the table
    is it) or untouched. ``run``: seed to simulated values of one replication.
    """

    name: str
    source: str
    inputs: str
    published: str
    unit: str
    low: float
    high: float
    role: str
    run: Callable[[int], float]
    note: str = ""
    replications: int = 12
