"""Tranches as people can read them: each by itself, or, where a contract has very many, what each quarter releases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

__all__ = ["TrancheStep", "tranche_steps"]

_MOST: Final = 40
"""More than these would be a wall of rows and dots; a horizon has about as many quarters."""


@dataclass(frozen=True)
class TrancheStep:
    """One tranche, or all that become due in one quarter.

    Attributes
    ----------
    first, last : int
        Their numbers.
    threshold_w : float
        Power that releases the last of them. [W]
    released : str
        Quarter, empty where it is not reached in the horizon.
    amount_usd, released_usd : float
        Their sum; with all before them, as far as released. [USD]
    why : str
        What the first of them lacks.

    """

    first: int
    last: int
    threshold_w: float
    released: str
    amount_usd: float
    released_usd: float
    why: str

    @property
    def name(self) -> str:
        """Its number, or its numbers."""
        return str(self.first) if self.first == self.last else f"{self.first:,} to {self.last:,}"


def tranche_steps(tranches: Iterable[Mapping[str, Any]]) -> list[TrancheStep]:
    """In their order, from a plan's summary."""
    rows = list(tranches)
    if len(rows) > _MOST:
        groups = [list(group) for _, group in groupby(rows, key=lambda t: t["released"] or "")]
    else:
        groups = [[row] for row in rows]
    out: list[TrancheStep] = []
    for group in groups:
        head, tail, amount = group[0], group[-1], sum(float(t["amount_usd"]) for t in group)
        before = out[-1].released_usd if out else 0.0
        out.append(TrancheStep(
            int(head["index"]), int(tail["index"]), float(tail["threshold_w"]), str(head["released"] or ""), amount,
            before + (amount if head["released"] else 0.0), str(head.get("why") or ""),
        ))  # fmt: skip
    return out
