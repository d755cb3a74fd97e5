"""What a study found: fans, dates, chances, value at risk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.risk.policy import Outcome
from gigaforge.buildout.risk.sensitivity import sensitivity
from gigaforge.quarters import Quarter

__all__ = ["fan", "reach", "summary_of", "tranche_dates"]

_QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}


def fan(values: Array) -> dict[str, float]:
    """Tenth, fiftieth and ninetieth percentile."""
    return {name: float(np.quantile(values, q)) for name, q in _QUANTILES.items()}


def tranche_dates(problem: Problem, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """When each tranche comes: percentiles of the date (None: not within the horizon) and the chance that it does.

    Where their size is uncertain some futures have fewer: a tranche that a future does not have never comes in it.
    """
    never, most = len(problem.quarters), max(len(o.tranches) for o in outcomes)
    quarters = np.full((len(outcomes), most), -1)
    for future, outcome in enumerate(outcomes):
        quarters[future, : len(outcome.tranches)] = outcome.tranches
    out = []
    for number in range(most):
        dates = np.where(quarters[:, number] >= 0, quarters[:, number], never)
        row: dict[str, Any] = {"index": number + 1}
        for name, q in _QUANTILES.items():
            at = int(np.quantile(dates, q, method="inverted_cdf"))
            row[name] = str(problem.quarters[at]) if at < never else None
        out.append(row | {"probability": float((dates < never).mean())})
    return out


def reach(problem: Problem, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Chance that each whole gigawatt stands by the end of each quarter: gigawatts to quarter to probability."""
    deployed = np.array([o.deployed_w for o in outcomes])
    top = int(np.ceil(problem.scenario.commitment.power / 1e9 - 1e-9))
    steps = [problem.scenario.commitment.power] if top < 1 else [min(n * 1e9, problem.scenario.commitment.power) for n in range(1, top + 1)]  # fmt: skip
    return {
        f"{watts / 1e9:g}": {
            str(q): float((deployed[:, t] >= watts * (1 - 1e-9)).mean()) for t, q in enumerate(problem.quarters)
        }
        for watts in steps
    }


def summary_of(problem: Problem, outcomes: Sequence[Outcome], names: list[str], scores: Array) -> dict[str, Any]:
    """Everything of a study that does not depend on how long it took."""
    deployed = np.array([o.deployed_w for o in outcomes])
    npv = np.array([o.npv_usd for o in outcomes])
    short = np.array([o.short_usd for o in outcomes])
    unfinished = np.array([o.unfinished for o in outcomes]).reshape(len(outcomes), -1)
    tail = np.sort(npv)[: max(1, round(0.05 * len(npv)))]
    p5 = float(np.quantile(npv, 0.05))
    return {
        "gigawatts": {str(q): {k: v / 1e9 for k, v in fan(deployed[:, t]).items()} for t, q in enumerate(problem.quarters)},
        "probability": reach(problem, outcomes),
        "milestones": _milestones(problem, deployed),
        "tranches": tranche_dates(problem, outcomes),
        "npv_usd": fan(npv) | {
            "mean": float(npv.mean()),
            "p5": p5,
            "value_at_risk_95": float(np.median(npv)) - p5,
            "expected_shortfall_95": float(np.median(npv) - tail.mean()),
            "probability_of_loss": float((npv < 0).mean()),
        },
        "capex_usd": fan(np.array([o.capex_usd for o in outcomes])),
        "served": fan(np.array([o.served for o in outcomes])),
        "cash_short": {"probability": float((short > 1e6).mean()), "p90_usd": float(np.quantile(short, 0.9))},
        "training": {
            run.name: {"finished": float((unfinished[:, r] < 1e-3).mean())}
            for r, run in enumerate(problem.scenario.training)
        },
        "sensitivity": _sensitivities(problem, deployed, npv, names, scores),
    }  # fmt: skip


def _milestones(problem: Problem, deployed: Array) -> list[dict[str, Any]]:
    out = []
    for m in problem.scenario.commitment.milestones:
        t = m.by - problem.quarters[0]
        late = [np.flatnonzero(row >= m.power * (1 - 1e-9)) for row in deployed]
        dates = np.array([int(d[0]) if len(d) else len(problem.quarters) for d in late])
        dated: dict[str, Any] = {}
        for name, q in _QUANTILES.items():
            at = int(np.quantile(dates, q, method="inverted_cdf"))
            dated[name] = str(problem.quarters[at]) if at < len(problem.quarters) else None
        out.append({"power_w": m.power, "by": str(m.by), "probability": float((dates <= t).mean()), **dated})
    return out


def _sensitivities(
    problem: Problem, deployed: Array, npv: Array, names: list[str], scores: Array
) -> dict[str, dict[str, Any]]:
    """Of net present value, and of the power deployed halfway: shares of variance by figure, the largest first."""
    half: Quarter = problem.quarters[len(problem.quarters) // 2]
    outcomes = {"npv_usd": npv, f"deployed_w {half}": deployed[:, len(problem.quarters) // 2]}
    out = {}
    for label, values in outcomes.items():
        found = sensitivity(scores, values)
        order = np.argsort(-found.shapley, kind="stable")
        out[label] = {
            "explained": found.explained,
            "figures": {
                names[i]: {
                    "shapley": float(found.shapley[i]),
                    "first_order": float(found.first_order[i]),
                    "per_sd": float(found.slope[i]),
                }
                for i in order
            },
        }
    return out
