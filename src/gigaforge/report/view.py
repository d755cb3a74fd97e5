"""A plan as its readers ask about it: names people use, and frames shaped for figures and tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.buildout.flows import FLOWS, OPERATOR
from gigaforge.buildout.folder import read_plan_folder
from gigaforge.report import theme
from gigaforge.units import PowerUnit, power_unit

__all__ = ["REST", "PlanView", "label_of", "tidy"]

REST = "Other sites"
_MAX_SITES = 8
_UPPER = re.compile(r"^(?=.*\d)[a-z0-9.]+$|^(gpt|oss|dgx|hgx|gb|tpu|usa?|uk|uae|aws|ai|moe|api)$")


def label_of(name: str) -> str:
    """A catalogue name as a heading: "vera-rubin-nvl72" → "Vera Rubin NVL72"."""
    words = [w.upper() if _UPPER.match(w) else w[:1].upper() + w[1:] for w in re.split(r"[-_]", name) if w]
    return " ".join(words)


def tidy(frame: pd.DataFrame, column: str, value: str) -> pd.DataFrame:
    """A frame of quarters by names as rows of quarter, `column`, `value`."""
    return frame.rename_axis(index="quarter").reset_index().melt("quarter", var_name=column, value_name=value)


@dataclass(frozen=True)
class PlanView:
    """The summary and the tables of a plan, and what figures derive from them.

    Parameters
    ----------
    summary : dict
        `plan.json`. Everything beyond the published shape is optional: what is absent is not shown.
    tables : dict of pandas.DataFrame
        The plan folder's Parquet tables.

    """

    summary: dict[str, Any]
    tables: dict[str, pd.DataFrame]

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """From a plan folder; `InputError` where it is none."""
        return cls(*read_plan_folder(folder))

    # Names, their order and their colours

    @property
    def title(self) -> str:
        """What the scenario calls itself."""
        return str(self.summary.get("title") or label_of(str(self.summary.get("name", "plan"))))

    @property
    def quarters(self) -> list[str]:
        """All planned quarters, in order."""
        return list(self.summary["quarters"])

    @property
    def years(self) -> list[str]:
        """Calendar years touched."""
        return sorted({q[:4] for q in self.quarters})

    def label(self, name: str | None) -> str:
        """A name for people: the summary's own label, else one made from the catalogue name."""
        if not name:
            return "none"
        return str(self.summary.get("labels", {}).get(name) or label_of(name))

    def in_words(self, sentence: str) -> str:
        """A sentence of the summary with catalogue names as people write them."""
        prices = self.summary.get("shadow_prices") or {}
        names = [*(prices.get("supply") or {}), *(prices.get("power") or {})]
        for name in sorted(names, key=len, reverse=True):
            sentence = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self.label(name), sentence)
        return sentence

    @cached_property
    def sites(self) -> list[str]:
        """Sites with power or systems, largest first."""
        totals = self.deployed.groupby(["site", "quarter"])["deployed_w"].sum()
        deployed = totals.groupby("site").max()
        limits = self.table("sites", "site", "energised_w").groupby("site")["energised_w"].max()
        names = sorted(set(deployed.index) | set(limits.index))
        return sorted(names, key=lambda s: (-float(deployed.get(s, 0.0)), -float(limits.get(s, 0.0)), s))

    @cached_property
    def used_sites(self) -> list[str]:
        """Sites that ever hold a system, largest first."""
        used = set(self.deployed["site"])
        return [s for s in self.sites if s in used]

    @cached_property
    def systems(self) -> list[str]:
        """Systems bought, in the order in which they first come online."""
        online = self.deployed[self.deployed["racks_online"] > 0]
        first = online.groupby("system")["t"].min()
        return sorted(first.index, key=lambda s: (int(first[s]), s))

    @cached_property
    def workloads(self) -> list[str]:
        """Serving workloads, as the scenario lists them."""
        return list(dict.fromkeys(self.table("demand", "workload")["workload"]))

    @cached_property
    def site_groups(self) -> dict[str, str]:
        """Site to the name it is drawn under: the smallest share one where there are many."""
        used = self.used_sites
        keep = used if len(used) <= _MAX_SITES + 1 else used[:_MAX_SITES]
        return {s: self.label(s) if s in keep else REST for s in used}

    @cached_property
    def site_colours(self) -> dict[str, str]:
        """Drawn site name to colour, the same in every figure."""
        groups = list(dict.fromkeys(self.site_groups.values()))
        colours = theme.categorical([g for g in groups if g != REST], "site")
        return colours | ({REST: theme.accent("site-rest")} if REST in groups else {})

    @cached_property
    def system_colours(self) -> dict[str, str]:
        """System label to colour, the same in every figure."""
        return theme.ramp([self.label(s) for s in self.systems])

    @cached_property
    def workload_colours(self) -> dict[str, str]:
        """Workload label to colour, the same in every figure."""
        return theme.categorical([self.label(w) for w in self.workloads], "work")

    # Frames

    def table(self, name: str, *columns: str) -> pd.DataFrame:
        """A table of the plan, or an empty one with the columns asked for."""
        frame = self.tables.get(name)
        return pd.DataFrame(columns=list(columns)) if frame is None else frame

    def series(self, key: str) -> NDArray[np.float64]:
        """A summary series by quarter, zeros where it is missing. Shape (quarter,)."""
        values = self.summary.get(key) or []
        out = np.zeros(len(self.quarters))
        out[: len(values)] = [v or 0.0 for v in values]
        return out

    def index(self, quarters: pd.Series) -> pd.Series:
        """Position of each quarter in the plan."""
        place = {q: i for i, q in enumerate(self.quarters)}
        return quarters.map(place).astype(int)

    @cached_property
    def commitment_w(self) -> float:
        """Power promised [W]; 0 where the plan states none."""
        stated = (self.summary.get("commitment") or {}).get("power_w")
        marks = [m["power_w"] for m in self.milestones]
        steps = [float(t["threshold_w"]) for t in self.summary.get("tranches", [])]
        return float(stated or max([*marks, *steps], default=0.0))

    @cached_property
    def power_unit(self) -> PowerUnit:
        """The unit of power in every axis and table of the plan: what was promised or is deployed decides, else its sites."""
        most = max(self.commitment_w, float(self.series("deployed_w").max(initial=0.0)))
        return power_unit(most or float(self.table("sites", "energised_w")["energised_w"].max()))

    @property
    def basis(self) -> str:
        """What a committed gigawatt counts: "facility" or "IT" power."""
        basis = (self.summary.get("commitment") or {}).get("basis")
        return "IT" if basis == "it" else "facility"

    @property
    def milestones(self) -> list[dict[str, Any]]:
        """Dated promises: by, power_w, deployed_w, shortfall_w, cost_usd, why."""
        return list(self.summary.get("milestones") or (self.summary.get("commitment") or {}).get("milestones") or [])

    @cached_property
    def deployed(self) -> pd.DataFrame:
        """The deployment table with `t` and `deployed_w`: accepted power to date on the commitment's basis [W]."""
        names = ["quarter", "site", "system", "racks_added", "racks_retired", "racks_online"]
        frame = self.table("deployment", *names, "it_power_w", "facility_power_w").copy()
        frame["t"] = self.index(frame["quarter"]) if len(frame) else 0
        frame = frame.sort_values(["site", "system", "t"], kind="stable")
        if "deployed_w" in frame:
            return frame.reset_index(drop=True)
        power = frame["it_power_w" if self.basis == "IT" else "facility_power_w"]
        online = frame["racks_online"].where(frame["racks_online"] > 0)
        keys = [frame["site"], frame["system"]]
        per_rack = (power / online).groupby(keys).transform("max").fillna(0.0)
        frame["deployed_w"] = frame.groupby(["site", "system"])["racks_added"].cumsum() * per_rack
        return frame.reset_index(drop=True)

    def deployed_by(self, column: str) -> pd.DataFrame:
        """Deployed power by quarter (rows, all of them) and site or system (columns) [W]."""
        order = self.used_sites if column == "site" else self.systems
        frame = self.deployed.pivot_table(index="quarter", columns=column, values="deployed_w", aggfunc="sum")
        return frame.reindex(index=self.quarters, columns=order).ffill().fillna(0.0)

    @cached_property
    def operator_cash(self) -> pd.DataFrame:
        """The operator's flows: quarter, flow, kind, amount_usd."""
        cash = self.table("cash", "quarter", "party", "flow", "amount_usd")
        own = cash[cash["party"] == OPERATOR].copy()
        own["kind"] = own["flow"].map({flow: kind for flow, (_, _, kind) in FLOWS.items()}).fillna("opex")
        return own

    def cash_by_kind(self) -> pd.DataFrame:
        """Operator's flows by quarter (rows, all of them) and kind (columns) [USD]."""
        frame = self.operator_cash.pivot_table(index="quarter", columns="kind", values="amount_usd", aggfunc="sum")
        kinds = ["revenue", "financing", "debt", "capex", "opex"]
        return frame.reindex(index=self.quarters, columns=kinds).fillna(0.0)

    @cached_property
    def balance_usd(self) -> NDArray[np.float64]:
        """Operator's cash at the end of each quarter [USD]. Shape (quarter,)."""
        if self.summary.get("cash_usd"):
            return self.series("cash_usd")
        return np.asarray(self.cash_by_kind().sum(axis=1).cumsum(), dtype=float)

    @cached_property
    def demand(self) -> pd.DataFrame:
        """Demand by workload and quarter, with `t`."""
        frame = self.table(
            "demand", "quarter", "workload", "tokens_demanded", "tokens_served", "usd_per_token"
        ).copy()
        frame["t"] = self.index(frame["quarter"]) if len(frame) else 0
        return frame

    @property
    def finance(self) -> dict[str, Any]:
        """Rates and lives the plan used; empty where the plan does not state them."""
        return dict(self.summary.get("finance") or {})

    def shadow(self, kind: str) -> pd.DataFrame:
        """Shadow prices of a kind by quarter (rows) and name (columns); empty where the plan has none."""
        prices = (self.summary.get("shadow_prices") or {}).get(kind) or {}
        columns = prices if isinstance(prices, dict) else {kind: prices}
        out = pd.DataFrame(index=self.quarters)
        for name, values in columns.items():
            if isinstance(values, list) and len(values) == len(self.quarters):
                out[name] = [float(v or 0.0) for v in values]
        return out
