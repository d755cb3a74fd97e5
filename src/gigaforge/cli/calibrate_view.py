"""What ``gigaforge calibrate inference`` found, as people read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from gigaforge.units import percent

if TYPE_CHECKING:
    from gigaforge.perf.calibration.inference import Calibration

__all__ = ["show_serving"]

_LEFT_OUT: Final = {
    "group_left_out": "their (model, chip, software)",
    "model_left_out": "their model",
    "chip_left_out": "their chip",
}


def show_serving(result: Calibration, out: Path | None) -> None:
    """Errors of left-out rows, and each quantity with its standard error and the spread of its factors."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from gigaforge.perf.inference.effects import QUANTITIES

    console = Console()
    console.print(f"fitted to {result.used:,} of {result.rows:,} rows", highlight=False)
    accuracy = result.parameters["about"]["accuracy"]
    for name, said in _LEFT_OUT.items():
        if name in accuracy:
            console.print(
                f"absolute error of rows predicted without {said}: median, mean, 90th percentile", highlight=False
            )
        for figure, e in accuracy.get(name, {}).items():
            ape = "  ".join(f"{percent(e[k], 1):>7}" for k in ("median_ape", "mean_ape", "p90_ape"))
            console.print(f"  {figure:10}  {ape}  ({e['n']:,} rows)", highlight=False)
    table = Table("quantity", "base", "±", "factors", "meaning", box=None, pad_edge=False)
    for name, entry in result.parameters["quantities"].items():
        factors = [f for kind, levels in entry.items() if kind != "base" for f in levels.values()]
        spread = f"{min(factors):.2f}-{max(factors):.2f}" if factors else ""
        sure = result.errors.get(f"{name}||", 0.0)
        table.add_row(name, f"{entry['base']:.3g}", percent(sure), spread, escape(QUANTITIES[name].meaning))
    console.print(table)
    console.print(f"written to {out}" if out else "nothing written: give --out FILE to keep the fit", highlight=False)
