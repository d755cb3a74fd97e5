"""A plan folder as a fleet: what the programme deployed and allocated, quarter by quarter."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from gigaforge.catalog import Catalog, load_catalog
from gigaforge.errors import InputError
from gigaforge.operations.build import IDLE_SHARE, default_parts, default_technicians
from gigaforge.operations.closed_form import best_policy
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, GroupKind, ServingWorkload, Site, last_window_s, part_of
from gigaforge.operations.intervals import Array, IntArray
from gigaforge.operations.modes import FailureTable, RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.serving import ServingPolicy
from gigaforge.operations.traffic import DemandShape
from gigaforge.operations.weather import climate_of
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter

__all__ = ["fleet_of_plan"]

_COLUMNS: Final = {
    "deployment": ("quarter", "site", "system", "racks_online"),
    "sites": ("quarter", "site", "energised_w", "pue"),
    "allocation": ("quarter", "site", "system", "workload", "point", "racks"),
    "operating_points": ("id", "workload", "kind", "system", "tokens_per_s_per_rack", "it_power_w_per_rack"),
}


def _read(folder: Path, name: str) -> pd.DataFrame:
    path = folder / f"{name}.parquet"
    if not path.exists():
        raise InputError("is missing; `gigaforge plan` writes it", str(path))
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as problem:
        raise InputError(f"is not a Parquet table ({problem})", str(path)) from None
    _finite(table, name, path)
    lacking = [c for c in _COLUMNS[name] if c not in table.columns]
    if lacking:
        raise InputError(f"lacks the column {', '.join(lacking)}", str(path))
    return table


def _finite(table: pd.DataFrame, name: str, path: Path) -> None:
    """Counts, powers and rates must be numbers from zero up."""
    for column in _COLUMNS[name]:
        if column not in table.columns or not pd.api.types.is_numeric_dtype(table[column]):
            continue
        bad = np.flatnonzero(~(np.isfinite(table[column]) & (table[column] >= 0)))
        if bad.size:
            raise InputError(
                f"{column} is {table[column].iloc[int(bad[0])]} in row {int(bad[0])}; a number from 0 is expected",
                str(path),
            )


def fleet_of_plan(folder: Path | str, *, years: float | None = None, first: str = "", catalog: Catalog | None = None,
                  table: FailureTable | None = None, policies: dict[str, TrainingPolicy] | None = None) -> Fleet:  # fmt: skip
    """Read a plan folder.

    Parameters
    ----------
    folder : path
        With ``plan.json`` and the tables of a plan.
    years : float, optional
        Horizon; default all of the plan from its first rack on.
    first : str
        First quarter, e.g. ``"2029-Q1"``; default the first with racks.
    catalog : Catalog, optional
        For accelerators of a system, and a site's place, price and carbon; default the shipped one.
    table : FailureTable, optional
        Default the shipped one.
    policies : dict, optional
        Training policy by workload; default the best by expected goodput.

    Raises
    ------
    InputError
        A file, column or system is missing, or allocation exceeds deployment.

    """
    folder = Path(folder)
    if not (folder / "plan.json").is_file():
        raise InputError("no plan.json here; give the folder that `gigaforge plan` wrote", str(folder))
    try:
        plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as problem:
        raise InputError(f"is not JSON ({problem})", str(folder / "plan.json")) from None
    tables = {name: _read(folder, name) for name in _COLUMNS}
    quarters = _quarters(tables["deployment"], plan, folder)
    rates = table or default_failures()
    known = load_catalog() if catalog is None else catalog
    # the whole plan first, then the part asked for: nothing in a quarter may depend on how long the simulation is
    whole = _Builder(folder, plan, tables, quarters, rates, known, policies or {}).fleet()
    begin, windows = _horizon(quarters, tables["deployment"], years, first)
    part = part_of(whole, begin, windows, last_window_s(years, windows))
    if not part.groups:
        raise InputError(f"has no racks online from {part.start} to {part.start + (windows - 1)}", "--from")
    return part


def _quarters(deployment: pd.DataFrame, plan: dict[str, Any], folder: Path) -> list[Quarter]:
    """All quarters of the plan, without a gap."""
    online = deployment.loc[deployment["racks_online"] > 0, "quarter"].astype(str)
    if online.empty:
        raise InputError(
            "has no racks online in any quarter; there is nothing to simulate", str(folder / "deployment.parquet")
        )
    known = [Quarter.parse(str(q)) for q in plan.get("quarters") or sorted(set(online))]
    return [min(known) + i for i in range(max(known) - min(known) + 1)]


def _horizon(quarters: list[Quarter], deployment: pd.DataFrame, years: float | None, first: str) -> tuple[int, int]:
    """First quarter's place among a plan's, and how many are simulated."""
    online = deployment.loc[deployment["racks_online"] > 0, "quarter"].astype(str)
    begin = Quarter.parse(first) if first else min(Quarter.parse(q) for q in online)
    if begin < quarters[0]:
        raise InputError(f"the plan begins {quarters[0]}, after {begin}", "--from")
    if begin > quarters[-1]:
        raise InputError(f"the plan ends {quarters[-1]}, before {begin}", "--from")
    if years is not None and not years > 0:
        raise InputError(f"{years:g} years; more than 0 is needed", "--years")
    left = quarters[-1] - begin + 1
    return begin - quarters[0], left if years is None else min(left, math.ceil(years * 4 - 1e-9))


class _Builder:
    """Turns a plan's tables into groups, sites and demand."""

    def __init__(self, folder: Path, plan: dict[str, Any], tables: dict[str, pd.DataFrame], quarters: list[Quarter],
                 table: FailureTable, catalog: Catalog, policies: dict[str, TrainingPolicy]) -> None:  # fmt: skip
        self.folder, self.plan, self.quarters, self.table, self.catalog = folder, plan, quarters, table, catalog
        self.policies = policies
        self.at = {str(q): i for i, q in enumerate(quarters)}
        self.points = tables["operating_points"].drop_duplicates("id").set_index("id")
        self.all_deployment = tables["deployment"].assign(quarter=tables["deployment"]["quarter"].astype(str))
        self.deployment = self._within(tables["deployment"])
        self.allocation = self._within(tables["allocation"]).query("racks > 0")
        self.site_table = self._within(tables["sites"])
        self.site_names = sorted(set(self.deployment.loc[self.deployment["racks_online"] > 0, "site"].astype(str)))
        self.racks = {name: self._rack(name) for name in sorted(set(self.deployment["system"].astype(str)))}

    def _within(self, table: pd.DataFrame) -> pd.DataFrame:
        table = table.assign(quarter=table["quarter"].astype(str))
        return table[table["quarter"].isin(self.at)].assign(window=lambda t: t["quarter"].map(self.at))

    def _rack(self, name: str) -> RackClass:
        mine = self.points[self.points["system"] == name]
        count = 0
        if "accelerators_per_rack" in mine.columns and len(mine):
            count = int(mine["accelerators_per_rack"].iloc[0])
        if count <= 0 and name in self.catalog.systems:
            count = self.catalog.systems[name].accelerators
        if count <= 0:
            match = re.search(r"nv[lh](\d+)|(?:dgx|hgx)", name)
            if match is None:
                raise InputError(f"system {name!r} is not in the catalogue, so its accelerators are unknown; add it, or a "
                                 "column accelerators_per_rack", str(self.folder / "operating_points.parquet"))  # fmt: skip
            count = int(match[1] or 8)
        return RackClass(name, count, 4 if count >= 16 else 0)

    def fleet(self) -> Fleet:
        groups = [*self._allocated()]
        groups += self._left_over(groups)
        return Fleet(
            name=str(self.plan.get("name", self.folder.name)),
            start=self.quarters[0],
            sites=tuple(self._site(name) for name in self.site_names),
            groups=tuple(groups),
            serving=tuple(self._workload(w) for w in sorted({g.workload for g in groups if g.kind == "serving"})),
            table=self.table,
        )

    def _allocated(self) -> list[Group]:
        unknown = sorted(set(self.allocation["point"]) - set(self.points.index))
        if unknown:
            raise InputError(f"uses points that operating_points.parquet lacks: {', '.join(map(str, unknown[:5]))}",
                             str(self.folder / "allocation.parquet"))  # fmt: skip
        joined = self.allocation.join(
            self.points[["kind", "tokens_per_s_per_rack", "it_power_w_per_rack"]], on="point", rsuffix="_point"
        )
        out = []
        for (site, system, workload), rows in joined.groupby(["site", "system", "workload"], sort=True):
            if str(site) not in self.site_names:
                raise InputError(f"{workload}: {site} has no racks online", str(self.folder / "allocation.parquet"))
            share = self._by_window(rows, rows["racks"])
            racks = np.floor(share + 1e-6).astype(np.int64)  # a programme may allocate parts of racks
            tokens = self._by_window(rows, rows["racks"] * self._rate(rows))
            watts = self._mean_by_window(rows, rows["it_power_w_per_rack"])
            kind: GroupKind = "serving" if str(rows["kind"].iloc[0]) == "serving" else "training"
            rack = self.racks[str(system)]
            out.append(Group(
                name=f"{workload}@{site}/{system}", site=self.site_names.index(str(site)), rack=rack, kind=kind,
                workload=str(workload), racks=racks, tokens_per_s=np.divide(tokens, share, out=np.zeros(racks.size), where=racks > 0),
                full_w=watts, idle_w=watts * IDLE_SHARE, cohorts=self._cohorts(str(site), str(system), racks),
                policies=self._policies(str(workload), rack, racks, rows) if kind == "training" else (),
                ttft_s=self._of_points(rows, "ttft_s"), tpot_s=self._of_points(rows, "tpot_s"),
                step_s=np.nan_to_num(self._of_points(rows, "step_s")),
            ))  # fmt: skip
        return out

    def _mean(self, rows: pd.DataFrame, column: str) -> float:
        """Mean of a column of the points, weighted by racks; NaN where the plan has none."""
        if column not in self.points.columns:
            return math.nan
        values = self.points[column].reindex(rows["point"]).to_numpy(dtype=np.float64)
        return float(np.average(values, weights=rows["racks"].to_numpy(dtype=np.float64)))

    def _of_points(self, rows: pd.DataFrame, column: str) -> Array:
        """The same, by window."""
        if column not in self.points.columns:
            return np.full(len(self.quarters), math.nan)
        return self._mean_by_window(rows, self.points[column].reindex(rows["point"]))

    def _mean_by_window(self, rows: pd.DataFrame, values: Any) -> Array:
        """Mean of a column over the points of each window, weighted by racks; where nothing works, as in the window before."""
        racks = self._by_window(rows, rows["racks"])
        total = self._by_window(rows, rows["racks"].to_numpy() * np.asarray(values, dtype=np.float64))
        mean = np.divide(total, racks, out=np.zeros_like(total), where=racks > 0.0)
        last = np.maximum.accumulate(np.where(racks > 0.0, np.arange(racks.size), int(np.argmax(racks > 0.0))))
        return np.asarray(mean[last], dtype=np.float64)

    def _rate(self, rows: pd.DataFrame) -> Any:
        """Tokens/s of one rack, in the row's quarter where points change with time."""
        steady = self.points["tokens_per_s_per_rack"].reindex(rows["point"]).to_numpy(dtype=np.float64)
        if "tokens_per_s_by_quarter" not in self.points.columns:
            return steady
        known = {str(q): i for i, q in enumerate(self.plan.get("quarters", []))}
        out = steady.copy()
        for k, (point, quarter) in enumerate(zip(rows["point"], rows["quarter"], strict=True)):
            series = self.points.loc[point, "tokens_per_s_by_quarter"]
            if series is not None and not np.isscalar(series) and len(series) > known.get(quarter, 10**9):
                out[k] = float(series[known[quarter]])
        return out

    def _by_window(self, rows: pd.DataFrame, values: Any) -> Any:
        return np.bincount(rows["window"], weights=np.asarray(values, dtype=np.float64), minlength=len(self.quarters))

    def _policies(
        self, workload: str, rack: RackClass, racks: IntArray, rows: pd.DataFrame
    ) -> tuple[TrainingPolicy, ...]:
        """A run's way with failures in each window: given, or the best for its size then."""
        if (given := self.policies.get(workload)) is not None:
            return (given,) * len(self.quarters)
        units = self._of_points(rows, "racks_per_unit")
        sizes = [
            (int(n), int(np.clip(np.nan_to_num(u, nan=1.0), 1, max(n, 1)))) for n, u in zip(racks, units, strict=True)
        ]
        best = {
            (n, unit): best_policy(rack.accelerators, n, replica_racks=unit, table=self.table)
            if n
            else TrainingPolicy()
            for n, unit in dict.fromkeys(sizes)
        }
        return tuple(best[size] for size in sizes)

    def _cohorts(self, site: str, system: str, racks: Any) -> tuple[list[Cohort], ...]:
        """Racks by age: the site's deliveries of this system, oldest retired first, shared out in proportion."""
        mine = self.all_deployment
        mine = mine[(mine["site"] == site) & (mine["system"] == system)]
        online = sorted(zip(map(Quarter.parse, mine["quarter"]), mine["racks_online"], strict=True))
        out = []
        for window, quarter in enumerate(self.quarters):
            levels = [(q, int(n)) for q, n in online if q <= quarter]
            added, before = [], 0
            for q, n in levels:
                if n > before:
                    added.append((q, n - before))
                before = n
            out.append(_share(added, before, int(racks[window]), self.quarters[0]))
        return tuple(out)

    def _left_over(self, groups: list[Group]) -> list[Group]:
        """Racks online that nothing was allocated to run research."""
        out = []
        for (site, system), rows in self.deployment.groupby(["site", "system"], sort=True):
            if str(site) not in self.site_names:
                continue
            added = rows["racks_added"] if "racks_added" in rows.columns else 0.0
            # what a quarter adds works half of it, as the plan counts; the rest of the time it is being installed
            online = np.floor(self._by_window(rows, rows["racks_online"] - 0.5 * added) + 1e-6).astype(np.int64)
            index = self.site_names.index(str(site))
            mine = [g for g in groups if g.site == index and g.rack.name == system]
            used = np.sum([g.racks for g in mine], axis=0, initial=0) if mine else np.zeros_like(online)
            over = used - self._by_window(rows, rows["racks_online"]).round().astype(np.int64)
            if (over > 0).any():
                quarter = self.quarters[int(np.argmax(over))]
                raise InputError(f"{site}, {system}, {quarter}: {int(over.max()):,} racks more are allocated than online",
                                 str(self.folder / "allocation.parquet"))  # fmt: skip
            left = np.maximum(online - used, 0)
            if left.any():
                known = float(self.points.loc[self.points["system"] == system, "it_power_w_per_rack"].max())
                watts = (
                    np.max([np.where(g.racks > 0, g.full_w, 0.0) for g in mine], axis=0, initial=0.0) if mine else 0.0
                )
                full = np.where(np.asarray(watts) > 0.0, watts, np.nan_to_num(known)) + np.zeros(left.size)
                out.append(Group(f"research@{site}/{system}", index, self.racks[str(system)], "research", "research",
                                 left.astype(np.int64), np.zeros(left.size), full, full * IDLE_SHARE,
                                 self._cohorts(str(site), str(system), left)))  # fmt: skip
        return out

    def _site(self, name: str) -> Site:
        rows = self.site_table[self.site_table["site"] == name]
        limit = self._by_window(rows, rows["energised_w"])
        # the mean is for energy where a plan tells it from the peak
        pue = self._by_window(rows, rows["pue_mean" if "pue_mean" in rows.columns else "pue"])
        pue = np.where(pue < 1.0, 1.2, pue)  # quarters before the site opens have no row
        entry = self.catalog.sites.get(name)
        online = self.deployment[self.deployment["site"] == name]
        power = online["it_power_w"] if "it_power_w" in online.columns else online["racks_online"] * 0.0
        here: list[list[tuple[RackClass, int]]] = [[] for _ in self.quarters]
        for window, system, n in zip(online["window"], online["system"], online["racks_online"], strict=True):
            here[int(window)].append((self.racks[str(system)], int(n)))
        latitude = entry.latitude if entry else None
        extra: dict[str, Any] = {}
        if entry is not None:
            extra["price_usd_per_j"] = entry.energy_price.value
            if entry.carbon_intensity is not None:
                extra["carbon_g_per_j"] = entry.carbon_intensity.value * 1e3
        return Site(
            name=name, limit_w=limit, pue_mean=pue, built_w=np.maximum(self._by_window(online, power), 1.0),
            climate=climate_of(entry), latitude=38.0 if latitude is None else latitude,
            technicians=np.array([default_technicians(self.table, h) for h in here]),
            parts=np.array([default_parts(self.table, h) for h in here]), **extra,
        )  # fmt: skip

    def _workload(self, name: str) -> ServingWorkload:
        asked = self._of_demand(name, "tokens_demanded")
        if asked is None:
            rows = self.allocation[self.allocation["workload"] == name]
            if "tokens" in rows.columns and rows["tokens"].notna().all():
                tokens = self._by_window(rows, rows["tokens"])
            else:
                tokens = self._by_window(rows, rows["racks"] * self._rate(rows)) * SECONDS_PER_QUARTER
            asked = tokens * self._shortfall()
        rows = self.allocation[self.allocation["workload"] == name]
        policy = ServingPolicy(
            ttft_target_s=self._mean(rows, "ttft_target_s"),
            tpot_target_s=self._mean(rows, "tpot_target_s"),
            output_tokens=self._mean(rows, "output_tokens"),
        )
        planned = self._of_demand(name, "tokens_served")
        return ServingWorkload(name, asked / SECONDS_PER_QUARTER, DemandShape(), policy,
                               None if planned is None else planned / SECONDS_PER_QUARTER)  # fmt: skip

    def _of_demand(self, name: str, column: str) -> Any:
        """A column of the plan's demand table by quarter, None where it has none."""
        path = self.folder / "demand.parquet"
        if not path.exists():
            return None
        table = pd.read_parquet(path)
        if not {"quarter", "workload", column} <= set(table.columns):
            return None
        rows = self._within(table[table["workload"] == name])
        return self._by_window(rows, rows[column]) if len(rows) else None

    def _shortfall(self) -> Any:
        """Demand over what the plan serves, by quarter."""
        served = dict(zip(map(str, self.plan.get("quarters", [])), self.plan.get("tokens_served", []), strict=False))
        wanted = dict(
            zip(map(str, self.plan.get("quarters", [])), self.plan.get("tokens_demanded", []), strict=False)
        )
        ratio = [
            max(1.0, wanted[q] / served[q]) if served.get(q) and wanted.get(q) else 1.0
            for q in (str(q) for q in self.quarters)
        ]
        return np.array(ratio)


def _share(added: list[tuple[Quarter, int]], online: int, racks: int, start: Quarter) -> list[Cohort]:
    """Split a group's racks over deliveries, newest kept when racks were retired."""
    kept: list[tuple[Quarter, int]] = []
    room = online
    for quarter, count in reversed(added):
        take = min(count, room)
        room -= take
        if take:
            kept.append((quarter, take))
    out, first, done = [], 0, 0
    for quarter, count in reversed(kept):
        done += count
        end = round(racks * done / max(online, 1))
        if end > first:
            out.append(Cohort(first, end - first, (quarter - start) * SECONDS_PER_QUARTER))
            first = end
    if first < racks:
        out.append(Cohort(first, racks - first, 0.0))
    return out
