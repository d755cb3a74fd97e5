"""Why a scenario has no plan: the smallest set of its statements that cannot hold together."""

from __future__ import annotations

from typing import Any

import highspy
import numpy as np

from gigaforge.buildout.highs import run_highs
from gigaforge.buildout.labels import labels_by_rule
from gigaforge.buildout.problem import Problem
from gigaforge.buildout.programme import build
from gigaforge.buildout.solver import SolverOptions, make_highs
from gigaforge.quarters import Quarter
from gigaforge.units import format_quantity

__all__ = ["conflicting_statements", "explain_conflict"]

_LIMIT_S = 20.0  # per feasibility question with whole numbers; one not answered counts as feasible


def explain_conflict(problem: Problem) -> list[str]:
    """Sentences in the scenario's own words, one per statement of an irreducible conflict."""
    statements = conflicting_statements(problem)
    by = max((_due(problem, s) for s in statements), default=len(problem.quarters) - 1)
    said = [_sentence(problem, s, by) for s in statements]
    if problem.past is not None:
        racks = problem.past.bought.sum()
        said.append(
            f"actuals: {racks:,.0f} systems bought by {problem.quarters[problem.past.quarters - 1]} stand as they are"
        )
    return said


def conflicting_statements(problem: Problem) -> list[str]:
    """An irreducible infeasible set of statements, by deletion: dropping any one makes the rest possible.

    Each statement's constraints are relaxed in turn; it stays out where the rest is still infeasible. Asked of the
    relaxation first, with whole numbers only where the relaxation is feasible.
    """
    model = build(problem, tight=False).model
    rows: dict[str, list[int]] = {}
    for name, labels in labels_by_rule(model).items():
        statement = name.split("|")[0]
        if statement:
            rows.setdefault(statement, []).extend(int(i) for i in labels.values.ravel() if i >= 0)
    for relaxed in (True, False):
        highs, matrices = make_highs(model, SolverOptions(time_limit_s=_LIMIT_S), relaxed=relaxed)
        place = {int(label): i for i, label in enumerate(matrices.clabels)}
        indices = {s: np.array([place[i] for i in labels], dtype=np.int32) for s, labels in rows.items()}
        found = _deletion_filter(highs, indices)
        if found:
            return found
    return []


def _deletion_filter(highs: Any, rows: dict[str, Any]) -> list[str]:
    lp = highs.getLp()
    low, high = np.array(lp.row_lower_), np.array(lp.row_upper_)
    highs.changeColsCost(lp.num_col_, np.arange(lp.num_col_, dtype=np.int32), np.zeros(lp.num_col_))
    if not _infeasible(highs):
        return []
    infinity = highspy.kHighsInf
    kept = []
    # Many small limits are tried before few large ones and promises last: what remains is short to read.
    order = ("sites", "finance", "serving", "investment", "platforms", "training", "commitment")
    for statement in sorted(rows, key=lambda s: (order.index(s.split(".")[0]), s)):
        index = rows[statement]
        free = np.full(len(index), infinity)
        highs.changeRowsBounds(len(index), index, -free, free)
        if not _infeasible(highs):
            highs.changeRowsBounds(len(index), index, low[index], high[index])
            kept.append(statement)
    return sorted(kept, key=lambda s: (not s.startswith(("commitment", "training")), s))


def _infeasible(highs: Any) -> bool:
    run_highs(highs)
    status = highs.getModelStatus()
    return status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible)


def _due(problem: Problem, statement: str) -> int:
    """The quarter by which a promise must hold; 0 for limits."""
    kind, *rest = statement.split(".")
    if kind == "commitment":
        return Quarter.parse(rest[-1]) - problem.quarters[0]
    if kind == "training":
        run = next(r for r in problem.scenario.training if r.name == ".".join(rest))
        return run.end - problem.quarters[0]
    return 0


def _sentence(problem: Problem, statement: str, by: int) -> str:
    kind, *rest = statement.split(".")
    teller = {
        "commitment": _milestone,
        "training": _training,
        "platforms": _supply,
        "sites": _power,
        "finance": _finance,
        "investment": _investment,
        "serving": _serving,
    }
    name = ".".join(rest[:-1]) if kind in ("platforms", "sites") else ".".join(rest)
    return f"{statement}: {teller[kind](problem, name, by)}"


def _milestone(p: Problem, name: str, by: int) -> str:
    quarter = name.rsplit(".", 1)[-1]
    milestone = next(m for m in p.scenario.commitment.milestones if str(m.by) == quarter)
    ships = p.can_host[:, :, : by + 1].any(axis=2)
    per_rack = p.deployed_w_per_rack * ships
    if not ships.any():
        return f"{format_quantity(milestone.power, 'power')} by {quarter}, before any system ships"
    best = np.unravel_index(int(np.argmax(per_rack)), per_rack.shape)
    racks = np.ceil(milestone.power / per_rack[best]) if per_rack[best] else np.inf
    return (
        f"{format_quantity(milestone.power, 'power')} by {quarter} needs {racks:,.0f} systems "
        f"even if all are {p.systems[best[1]]}"
    )


def _training(p: Problem, name: str, by: int) -> str:
    r = p.runs.index(name)
    run = p.scenario.training[r]
    k = int(np.argmax(p.run_rate[r] * p.can_host[:, :, : by + 1].any(axis=(0, 2))))
    quarters = int(p.run_window[r].sum())
    racks = np.ceil(p.run_tokens[r] / (p.run_rate[r, k] * quarters))
    return (
        f"{format_quantity(float(p.run_tokens[r]), 'tokens')} (experiments included) of {run.model} from {run.start} to "
        f"{run.end} need {racks:,.0f} {p.systems[k]} systems at one site for all {quarters} quarters"
    )


def _supply(p: Problem, name: str, by: int) -> str:
    line = p.lines.index(name)
    total = p.supply[line, : by + 1].sum()
    ships = p.scenario.platforms[line].ships
    if p.past is not None:  # what came is no longer what supply was to give
        return (
            f"{total:,.0f} systems are delivered by {p.quarters[p.past.quarters - 1]} or supplied by {p.quarters[by]}"
        )
    return f"ships from {ships} and supply gives {total:,.0f} systems by {p.quarters[by]}"


def _power(p: Problem, name: str, by: int) -> str:
    s = p.sites.index(name)
    watts = p.energised_w[s, : by + 1].max()
    return f"{format_quantity(float(watts), 'power')} energised at {name} by {p.quarters[by]}"


def _finance(p: Problem, name: str, by: int) -> str:
    if name == "service_life_years":
        return f"systems retire after {p.scenario.finance.service_life_years:g} years"
    f = p.scenario.finance
    funding = f.opening_cash + sum(v for q, v in f.other_funding.items() if q <= p.quarters[by])
    parts = [f"cash may not fall below zero with {format_quantity(funding, 'money')} of funding"]
    if f.debt is not None:
        parts.append(f"{format_quantity(max(f.debt.limit.values()), 'money')} of debt at most")
    return " and ".join(parts) + f" by {p.quarters[by]}"


def _investment(p: Problem, name: str, by: int) -> str:
    """Terms that hold money back."""
    investment = p.scenario.investment
    if investment is None or not p.tranche_count:
        return "no equity is released"
    first = f"{format_quantity(float(p.tranche_thresholds_w[0]), 'power')} {investment.counts}"
    told = f"{format_quantity(float(p.tranche_amounts_usd[0]), 'money')} of equity comes only with {first}"
    if name != "conditions":
        return told
    waits = []
    for c in investment.conditions:
        if c.not_before is not None:
            waits.append(f"tranche {c.tranche} not before {c.not_before}")
        elif c.purchases is not None:
            waits.append(f"tranche {c.tranche} once {format_quantity(c.purchases, 'money')} of systems are delivered")
        else:
            waits.append(f"tranche {c.tranche} once {c.run} has been trained")
    return f"equity waits: {', '.join(waits)} (by {p.quarters[by]})"


def _serving(p: Problem, name: str, by: int) -> str:
    workload = name.rsplit(".", 1)[0]
    w = p.workloads.index(workload)
    return f"at most {format_quantity(float(p.demand[w, : by + 1].max()), 'tokens')} are asked for in a quarter by {p.quarters[by]}"
