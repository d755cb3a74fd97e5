"""Operating points: what racks at work yield and hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from gigaforge.buildout.problem.arrays import Array
from gigaforge.catalog import System
from gigaforge.codesign.point import OperatingPoint, Unable
from gigaforge.codesign.precisions import spoken
from gigaforge.errors import InputError
from gigaforge.operations import expected_goodput
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario import Scenario
from gigaforge.scenario.precision import precisions_of

__all__ = ["held_power", "least_held", "left_out", "require_points", "training_arrays", "yields"]

_FEW: Final = 4
"""Names of work told in one sentence."""


def yields(point: OperatingPoint, quarters: int) -> Array:
    """Tokens per second and rack in each quarter."""
    return np.array(point.tokens_per_s_by_quarter or (point.tokens_per_s_per_rack,) * quarters)


def goodput(scenario: Scenario, system: System, racks: int) -> float:
    """Productive share of a gang's time: the scenario's, or what published failure and repair rates give."""
    given = scenario.operations.training_goodput
    return given if given is not None else expected_goodput(system.accelerators, racks).goodput


def held_power(points: Sequence[OperatingPoint], nameplate_w: Array) -> Array:
    """IT power that a rack at each point holds: what its cap lets it draw, its nameplate without one."""
    held = np.array([p.held_w_per_rack for p in points], dtype=float)
    return np.where(np.isfinite(held), np.minimum(held, nameplate_w), nameplate_w)


def least_held(rack_it: Array, points: Sequence[OperatingPoint], index: dict[str, int]) -> Array:
    """Least IT power that a rack of each system can be held to at any of its points [W]. Shape (K,)."""
    out = rack_it.copy()
    for p in points:
        out[index[p.system]] = np.fmin(out[index[p.system]], p.held_w_per_rack)
    return out


def training_arrays(
    scenario: Scenario, points: Sequence[OperatingPoint], systems: list[System], availability: Array, rack_it: Array
) -> dict[str, Any]:
    """The training points: the fastest of each run, system and cap."""
    index = {s.name: k for k, s in enumerate(systems)}
    number = {run.name: r for r, run in enumerate(scenario.training)}
    best: dict[tuple[int, int, float], tuple[float, float, OperatingPoint]] = {}
    for point in (p for p in points if p.kind == "training"):
        r, k = number[point.workload], index[point.system]
        share = goodput(scenario, systems[k], point.racks_per_unit)
        tokens = point.tokens_per_s_per_rack * SECONDS_PER_QUARTER * availability[k] * share
        key = (r, k, point.cap_w if np.isfinite(point.cap_w) else np.inf)
        if tokens > (best[key][0] if key in best else 0.0):
            best[key] = (tokens, share, point)
    order = sorted(best)
    chosen = [best[key][2] for key in order]
    system = np.array([key[1] for key in order], dtype=int)
    return {
        "training_points": chosen,
        "run_tokens": np.array([r.tokens * r.compute_multiple for r in scenario.training]),
        "train_run": np.array([key[0] for key in order], dtype=int),
        "train_system": system,
        "train_rate": np.array([best[key][0] for key in order]),
        "train_goodput": np.array([best[key][1] for key in order]),
        "train_power_w": np.array([p.it_power_w_per_rack for p in chosen]),
        "train_held_w": held_power(chosen, rack_it[system]),
        "train_max_racks": np.array([p.max_racks for p in chosen]),
    }


def require_points(
    scenario: Scenario,
    serving: list[OperatingPoint],
    training: list[OperatingPoint],
    unable: Sequence[Unable] = (),
) -> None:
    """Refuse a scenario with a workload or run that none of its systems can work on; `InputError` names it, and why."""
    have, trained = {p.workload for p in serving}, {p.workload for p in training}
    systems = ", ".join(s for p in scenario.platforms for s in p.systems)
    for workload in scenario.serving:
        if workload.name not in have:
            raise InputError(
                f"serving.{workload.name}: no system of this scenario ({systems}) serves {workload.model!r} within "
                f"TTFT {workload.ttft:g} s and TPOT {workload.tpot * 1e3:g} ms{_told(unable, workload.name)}; relax the targets, allow "
                "another precision or add a system"
            )
    for run in scenario.training:
        if run.name not in trained:
            raise InputError(
                f"training.{run.name}: {run.model!r} fits on no system of this scenario ({systems}) "
                f"in {spoken(precisions_of(run.precision))}{_told(unable, run.name)}; add a system or change the precision"
            )


def _told(unable: Sequence[Unable], workload: str) -> str:
    """Each system's reason, in brackets."""
    reasons = [f"{u.system}: {u.reason}" for u in unable if u.workload == workload]
    return f" ({'; '.join(reasons)})" if reasons else ""


def left_out(unable: Sequence[Unable]) -> list[str]:
    """Sentences on the work that a system takes no part in; work with one reason together."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for u in unable:
        groups.setdefault((u.system, u.kind, u.reason), []).append(u.workload)
    return [f"No plan runs {_few(names)} on {system}: {reason}." for (system, _, reason), names in groups.items()]


def _few(names: Sequence[str]) -> str:
    return spoken(names) if len(names) <= _FEW else f"{', '.join(names[: _FEW - 1])} or {len(names) - _FEW + 1} more"
