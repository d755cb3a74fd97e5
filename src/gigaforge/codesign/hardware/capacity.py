"""What more or less HBM in a platform would do: capacity acts in steps, which a slope at today's capacity does not see.

A byte more helps only where it lets a work run another way: a larger batch that the latency still allows, or training that
recomputes less. Between such steps its worth is exactly zero, so every capacity from half to twice today's is asked, stack by
stack, at the best layout and batch of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gigaforge.units import percent

__all__ = ["CapacityStep", "capacity_steps", "capacity_words", "named", "plateaus", "tried"]

Array = NDArray[np.float64]

_LEAST, _MOST = 0.5, 2.0
"""Times today's capacity: as far as the works' layouts are looked for (`gigaforge.codesign.hardware.work`)."""
_EIGHTHS: Final = 8
"""Stacks of a platform whose technology is not known (assumption: as most since H200 have)."""
_FELT: Final = 0.002
"""Relative change of a yield that is more than the rounding of its batch."""


@dataclass(frozen=True)
class CapacityStep:
    """One other HBM capacity of a platform.

    Attributes
    ----------
    hbm_bytes, more_bytes : float
        In all; over today's, negative for less [byte].
    yields : mapping of workload to float
        Over today's [1]; 0 where it does not run.
    usd, usd_per_accelerator : float
        Added to the plan's value, in all and over the accelerators bought [present-value USD]: today's price of what the works
        yield, times the change of their yields.
    cost_usd : float
        Present-value cost per accelerator; NaN without a technology [USD].

    """

    hbm_bytes: float
    more_bytes: float
    yields: Mapping[str, float]
    usd: float
    usd_per_accelerator: float
    cost_usd: float

    @property
    def usd_per_gb(self) -> float:
        """Worth of every GB between today's capacity and this one, per accelerator. [USD/GB]"""
        return self.usd_per_accelerator / (self.more_bytes / 1e9)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a cost that is not known is None."""
        return {
            "gb": self.hbm_bytes / 1e9,
            "more_gb": self.more_bytes / 1e9,
            "yields": dict(self.yields),
            "plan_usd": self.usd,
            "usd_per_accelerator": self.usd_per_accelerator,
            "usd_per_gb": self.usd_per_gb,
            "cost_usd_per_accelerator": self.cost_usd if np.isfinite(self.cost_usd) else None,
        }


def tried(stacks: float | None) -> Array:
    """Capacities to ask for, over today's: whole stacks from half to twice as many, without today's. Shape (capacity,)."""
    have = max(round(stacks), 1) if stacks else _EIGHTHS
    counts = np.arange(max(int(np.ceil(_LEAST * have)), 1), int(_MOST * have) + 1)
    return np.asarray(counts[counts != have] / have, dtype=float)


def capacity_steps(
    factors: Array,
    yields: Mapping[str, Array],
    worth: Mapping[str, float],
    hbm_bytes: float,
    accelerators: float,
    price: Callable[[float], float],
) -> list[CapacityStep]:
    """Every capacity tried, least first.

    Parameters
    ----------
    factors : array, shape (capacity,)
        Over today's.
    yields : mapping of workload to array, shape (capacity,)
        Over today's.
    worth : mapping of workload to float
        Of what the platform makes of each [USD].
    hbm_bytes, accelerators : float
        Today's capacity [byte]; accelerators that the plan buys.
    price : callable
        Present-value cost per accelerator of so many bytes more [USD].

    """
    out = []
    for i, factor in enumerate(factors):
        more = float(hbm_bytes * (factor - 1.0))
        own = {w: float(y[i]) for w, y in yields.items()}
        usd = sum(worth[w] * (own[w] - 1.0) for w in own)
        out.append(CapacityStep(hbm_bytes + more, more, own, usd, usd / accelerators, price(more)))
    return out


def capacity_words(steps: Sequence[Mapping[str, Any]], today_gb: float) -> list[str]:
    """Where the next steps lie, and what they are worth, as two sentences: upwards and downwards.

    Parameters
    ----------
    steps : sequence of mapping
        As `CapacityStep.to_dict` gives them, least capacity first.
    today_gb : float
        What the platform has [GB].

    """
    more = [s for s in steps if s["more_gb"] > 0]
    less = [s for s in steps if s["more_gb"] < 0][::-1]
    out = []
    if more:
        none = f"More HBM than {today_gb:,.0f} GB gains nothing up to {more[-1]['gb']:,.0f} GB: latency or arithmetic binds before it."
        out.append(_first_words(more, 1, "HBM gains first", "worth ", "and costs") or none)
    if less:
        spare = list(takewhile(lambda s: not _felt(s, -1), less))
        saved = spare[-1]["cost_usd_per_accelerator"] if spare else None
        free = (
            f"Down to {spare[-1]['gb']:,.0f} GB nothing would be lost{'' if not saved else f', which saves ${-saved:,.0f}'}"
            if spare
            else ""
        )
        told = _first_words(less, -1, f"{free}; less loses first" if free else "Less loses first", "", "and saves")
        out.append(told or f"{free}.")
    return out


def _first_words(steps: Sequence[Mapping[str, Any]], sign: int, what: str, worth: str, cost: str) -> str:
    """The nearest step at which a yield moves; nothing where none does."""
    first = next((s for s in steps if _felt(s, sign)), None)
    if first is None:
        return ""
    price = first["cost_usd_per_accelerator"]
    priced = "" if price is None else f" {cost} ${sign * price:,.0f}"
    return (
        f"{what} at {first['gb']:,.0f} GB ({_changes(first)}): {worth}${sign * first['usd_per_accelerator']:,.0f} an accelerator, "
        f"${first['usd_per_gb']:,.0f} for each GB {'more' if sign > 0 else 'less'}{priced}."
    )


def _felt(step: Mapping[str, Any], sign: int) -> bool:
    return any(sign * (y - 1.0) > _FELT for y in step["yields"].values())


def _changes(step: Mapping[str, Any]) -> str:
    """Which works move and by how much; those that move alike together."""
    alike: dict[str, list[str]] = {}
    for work, y in step["yields"].items():
        if abs(y - 1.0) > _FELT:
            alike.setdefault(percent(y - 1, 1, sign=True) if y > 0 else "no longer run", []).append(work)
    return ", ".join(
        f"{named(works)} {change if len(works) > 1 else change.replace('run', 'runs')}"
        for change, works in alike.items()
    )


def named(works: Sequence[str]) -> str:
    """Works in a few words: the first two, and how many more."""
    return " and ".join(works) if len(works) <= 2 else f"{works[0]} and {len(works) - 1} others"


def plateaus(steps: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of capacities with the same yields the least alone: nobody buys more of it for nothing."""
    kept: list[Mapping[str, Any]] = []
    for step in steps:
        last = kept[-1]["yields"] if kept else None
        if last is None or any(abs(y - last[w]) > _FELT for w, y in step["yields"].items()):
            kept.append(step)
    return kept
