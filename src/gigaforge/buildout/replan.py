"""Re-planning: where to start the search, from the plan that stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.buildout.labels import positions
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import GW, Programme
from gigaforge.errors import InputError
from gigaforge.scenario import Scenario

__all__ = ["Start", "check_standing", "start_from"]

Start = tuple[NDArray[np.int32], Array]


def check_standing(scenario: Scenario, standing: tuple[dict[str, Any], dict[str, pd.DataFrame]], where: str) -> None:
    """Refuse a standing plan that is another scenario's: its purchases mean nothing here, nor does what changes.

    A scenario that has moved on keeps its name; under another name its sites, systems and quarters must be the same.
    """
    summary, tables = standing
    if summary["name"] == scenario.name:
        return
    theirs = (
        ("sites", sorted(set(tables["sites"]["site"])), sorted(s.site for s in scenario.sites)),
        (
            "systems",
            sorted(set(tables["supply"]["system"])),
            sorted(k for p in scenario.platforms for k in p.systems),
        ),
        ("horizon", _span(summary["quarters"]), _span([str(q) for q in scenario.quarters])),
    )
    for what, old, new in theirs:
        if old != new:
            raise InputError(
                f"is a plan of {summary['name']}, this is {scenario.name}, and their {what} differ: {', '.join(old)}; here "
                f"{', '.join(new)}. Give a plan of this scenario; one that has moved on keeps its name",
                where,
            )


def _span(quarters: list[str]) -> list[str]:
    return [f"{quarters[0]} to {quarters[-1]}"]


def start_from(programme: Programme, summary: dict[str, Any], tables: dict[str, pd.DataFrame]) -> Start:
    """Whole-number decisions of a standing plan as a start for `gigaforge.buildout.solver.solve`.

    What the standing plan says of quarters that are over gives way to what happened; its later purchases are cut to
    what bounds allow. Sites, systems and quarters that only one of the two knows are left out.

    Parameters
    ----------
    programme : Programme
        What is to be solved.
    summary, tables : dict
        The standing plan, as `gigaforge.buildout.folder.read_plan_folder` returns it.

    Returns
    -------
    tuple
        Columns and their values, in the programme's order of columns.

    """
    p, model = programme.problem, programme.model
    block = p.scenario.block
    wanted: dict[str, Array] = {
        "add": _decided(p, tables["deployment"], "racks_added") / block,
        "retire": _decided(p, tables["deployment"], "racks_retired") / block,
    }
    bounds = {name: (model.variables[name].lower.values, model.variables[name].upper.values) for name in wanted}
    wanted = {name: np.clip(np.rint(v), *bounds[name]) for name, v in wanted.items()}
    if "chosen" in model.variables:
        wanted["chosen"] = _places(p, summary)
    if "tranches" in model.variables:
        installed = np.cumsum(wanted["add"] * block, axis=2) * p.deployed_w_per_rack[..., None]
        deployed = installed.sum(axis=(0, 1))
        if p.past is not None:
            deployed[: p.past.quarters] -= p.past.not_accepted_w.sum(axis=(0, 1))
        due = np.floor(deployed / GW / (p.tranche_w / GW) + 1e-9)
        wanted["tranches"] = np.minimum(due, p.tranche_count)
    place = positions(np.asarray(model.matrices.vlabels))
    columns, values = [], []
    for name, value in wanted.items():
        labels = model.variables[name].labels.values
        known = (labels >= 0) & np.isfinite(value)
        columns.append(place[labels[known]])
        values.append(value[known])
    return np.concatenate(columns), np.concatenate(values).astype(float)


def _decided(p: Problem, table: pd.DataFrame, column: str) -> Array:
    """A column of the deployment table over this problem's sites, systems and quarters; 0 where it has no row."""
    series = table.groupby(["site", "system", "quarter"])[column].sum()
    quarters = [str(q) for q in p.quarters]
    index = pd.MultiIndex.from_product([p.sites, p.systems, quarters])
    return series.reindex(index, fill_value=0).to_numpy(dtype=float).reshape(len(p.sites), len(p.systems), -1)


def _places(p: Problem, summary: dict[str, Any]) -> Array:
    """Where each run is placed: 1 at its site and system; unknown (NaN) for runs that the standing plan lacks."""
    out = np.full((len(p.runs), len(p.sites), len(p.systems)), np.nan)
    for run in summary.get("training_runs", []):
        known = run["name"] in p.runs and run["system"] in p.systems
        if known and run["sites"] and run["sites"][0] in p.sites:
            r = p.runs.index(run["name"])
            out[r] = 0.0
            out[r, p.sites.index(run["sites"][0]), p.systems.index(run["system"])] = 1.0
    return out
