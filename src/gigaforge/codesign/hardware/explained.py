"""Why a design is what it is, where its headline does not say: what its power limit leaves of its rate, and its NVLink domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from gigaforge.codesign.hardware.cost import Costs
from gigaforge.codesign.hardware.design import Designs
from gigaforge.codesign.hardware.score import Question, Scorer
from gigaforge.perf.power import clock_factor

__all__ = ["at_power_limit", "domain_words", "limit_words", "other_domains", "power_words"]

_FULL: Final = 0.98
"""Limit over full draw from which a limit holds nothing back that is worth a word."""
_SAME: Final = 0.0005
"""Relative change that is none."""


def at_power_limit(question: Question, design: Designs, costs: Costs) -> dict[str, float]:
    """What the first design runs at within its limit when all its units work at once.

    Returns
    -------
    dict
        ``limit_w``, ``full_power_w`` [W]; ``clock`` over the full one [1]; ``bf16_flop_s`` that is left [FLOP/s].

    """
    machine = design.hardware(
        question.technology, costs.full_power_w, costs.host_w, costs.fabric_w, int(design.nvlink_domain[0])
    )
    clock = float(np.ravel(clock_factor(machine, costs.power_w, memory_utilisation=1.0))[0])
    return {
        "limit_w": float(costs.power_w[0]),
        "full_power_w": float(costs.full_power_w[0]),
        "clock": clock,
        "bf16_flop_s": clock * float(design.bf16_flop_s[0]),
    }


def limit_words(limits: Sequence[str]) -> str:
    """Where a design stands at a limit, as a sentence; empty where at none."""
    return f"At its limit: {', '.join(limits)}." if limits else ""


def power_words(found: Mapping[str, float] | None) -> str:
    """The limit, the full draw and what is left of the rate, as a sentence; empty where that is not known or nothing is held back."""
    if found is None or found["limit_w"] >= _FULL * found["full_power_w"]:
        return ""
    return (
        f"All its units at once would draw {found['full_power_w']:,.0f} W; within {found['limit_w']:,.0f} W the clock then falls to "
        f"{100 * found['clock']:.0f} %, {found['bf16_flop_s'] / 1e12:,.0f} TFLOP/s bf16. Units of which some "
        "rest while others work are cheaper here than power for all of them."
    )


def other_domains(question: Question, scorer: Scorer, design: Designs) -> list[dict[str, float | None]]:
    """The first design with every NVLink domain that the technology has, all else alike, smallest first.

    Parameters
    ----------
    question : Question
        Its limits do not hold here, so that what lies beyond them can be told.
    scorer : Scorer
        Of the question; it looks for ways to run the works in each domain.
    design : Designs
        The one chosen.

    Returns
    -------
    list of dict
        ``nvlink_domain``; over the chosen design's: ``cost`` of the work, ``seconds`` that it takes of an accelerator,
        ``system_usd`` and ``system_w`` of an accelerator's share [1]; None where the work cannot be done.

    """
    one = design.take(slice(0, 1))
    domains = np.array(sorted(question.technology.domains), dtype=float)
    grid = one.take(np.zeros(len(domains), dtype=int)).change(nvlink_domain=domains)
    mine = int(np.flatnonzero(domains == one.nvlink_domain[0])[0])
    for i in range(len(domains)):
        scorer.probe(grid.take(slice(i, i + 1)))
    scores = scorer.score(grid, enforce=False)
    amounts = np.asarray(question.amounts)
    with np.errstate(divide="ignore"):
        seconds = (amounts / scores.tokens_per_s).sum(axis=1)
    rows: list[dict[str, float | None]] = []
    for i, domain in enumerate(domains):
        runs = bool(np.isfinite(scores.usd[i]))
        rows.append({
            "nvlink_domain": float(domain),
            "cost": float(scores.usd[i] / scores.usd[mine]) if runs else None,
            "seconds": float(seconds[i] / seconds[mine]) if runs else None,
            "system_usd": float(scores.costs.rack_usd[i] / scores.costs.rack_usd[mine]),
            "system_w": float(scores.costs.rack_power_w[i] / scores.costs.rack_power_w[mine]),
        })  # fmt: skip
    return rows


def domain_words(rows: Sequence[Mapping[str, Any]], chosen: float) -> str:
    """Why the NVLink domain is no larger (or no smaller, where it is the largest), as a sentence."""
    others = [r for r in rows if r["nvlink_domain"] > chosen] or [r for r in rows if r["nvlink_domain"] < chosen][
        ::-1
    ]
    if not others:
        return ""
    told = [_one(r) for r in ([others[0], others[-1]] if len(others) > 1 else others)]
    return f"Its NVLink domain is {chosen:.0f}. The same accelerator {'; '.join(told)}."


def _one(row: Mapping[str, Any]) -> str:
    over = f"over {row['nvlink_domain']:.0f}"
    if row["cost"] is None:
        return f"{over} could not do all of the work"
    system = _change(row["system_usd"], "dearer", "cheaper", "as dear")
    speed = _change(row["seconds"], "slower", "faster", "as fast")
    return f"{over} would cost {100 * row['cost']:.1f} % as much for the work: its share of the system is {system}, the work {speed}"


def _change(ratio: float, more: str, less: str, same: str) -> str:
    if abs(ratio - 1.0) < _SAME:
        return same
    return f"{100 * abs(ratio - 1.0):.1f} % {more if ratio > 1 else less}"
