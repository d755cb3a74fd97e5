"""The fleet's simulation: what its form asks, and its result as tiles and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from gigaforge.errors import InputError
from gigaforge.report.report_tables import Table
from gigaforge.report.story import Headline
from gigaforge.units import format_quantity, percent

__all__ = ["FleetForm", "fleet_tables", "fleet_tiles"]

_LONGEST_YEARS = 20.0


@dataclass(frozen=True)
class FleetForm:
    """The form as its reader filled it; every field is text until it is checked."""

    years: str = "1"
    first: str = ""
    seed: str = "0"

    @classmethod
    def of(cls, request: dict[str, Any] | None) -> Self:
        """As it was for a job; as it begins without one."""
        if request is None:
            return cls()
        years = request["years"]
        return cls("" if years is None else f"{years:g}", str(request["first"]), str(request["seed"]))

    def request(self, plan: Path, quarters: Sequence[str]) -> dict[str, Any]:
        """What the job is given; `InputError` says what cannot be used."""
        try:
            years = float(self.years) if self.years else None
            seed = int(self.seed or 0)
        except ValueError:
            raise InputError("years and seed must be numbers, such as 1.5 and 0") from None
        if years is not None and not 0 < years <= _LONGEST_YEARS:
            raise InputError(f"{self.years} years; more than 0 and at most {_LONGEST_YEARS:g} are expected")
        if not 0 <= seed < 2**63:
            raise InputError(f"{self.seed!r} is not a seed; give a whole number of at least 0")
        if self.first and self.first not in quarters:
            raise InputError(f"{self.first!r} is not a quarter of the plan")
        return {"plan": str(plan), "years": years, "first": self.first, "seed": seed}


def fleet_tiles(s: dict[str, Any]) -> list[Headline]:
    """The numbers that a reader wants first, from a simulation's summary."""
    served = s["tokens_served"] / s["tokens_demanded"] if s["tokens_demanded"] else 1.0
    energy_note = f"{format_quantity(s['cost_usd'], 'money')}, {s['carbon_kg'] / 1e6:,.0f} kt CO2"
    return [
        Headline("Goodput of training", percent(s["goodput"], 1) if s["goodput"] is not None else "no training",
                 f"{s['events']:,} failures in {format_quantity(s['simulated_s'], 'duration')}"),
        Headline("Availability", percent(s["availability"], 2), f"{s['racks']:,} racks, {s['accelerators']:,} accelerators"),
        Headline("Peak power", format_quantity(s["peak_power_w"], "power"), f"PUE {s['pue']:.3f}"),
        Headline("Energy", format_quantity(s["energy_j"], "energy"), energy_note),
        Headline("Tokens served", format_quantity(s["tokens_served"], "tokens").replace(" tokens", ""), f"{percent(served, 1)} of demand"),
        Headline("Missed targets", percent(s["slo_violations"], 2), "of demanded tokens: shed or late"),
    ]  # fmt: skip


def fleet_tables(s: dict[str, Any]) -> list[Table]:
    """Largest training runs, and all sites."""
    runs = sorted(s["training"], key=lambda r: -r["racks"])[:20]
    rows: list[list[Any]] = [
        [r["name"], f"{r['racks']:,}", percent(r["goodput"], 1), f"{r['interruptions']:,}", f"{r['checkpoint_interval_s']:.0f} s",
         f"{r['best_checkpoint_interval_s']:.0f} s", f"{r['spares']:,}", f"{r['best_spares']:,}"]
        for r in runs
    ]  # fmt: skip
    heads = ["Run", "Racks", "Goodput", "Stops", "Saves every", "Best interval", "Spare racks", "Best spares"]
    sites: list[list[Any]] = [
        [name, format_quantity(v["peak_power_w"], "power"), f"{v['pue']:.3f}", format_quantity(v["energy_j"], "energy"),
         format_quantity(v["cost_usd"], "money")]
        for name, v in s["sites"].items()
    ]  # fmt: skip
    out = [Table("Training runs", heads, rows)] if rows else []
    return [*out, Table("Sites", ["Site", "Peak power", "PUE", "Energy", "Energy cost"], sites)]
