"""What ``gigaforge simulate`` prints: one run, many runs, two policies, in the units people use."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gigaforge.units import format_quantity, percent

if TYPE_CHECKING:
    from gigaforge.operations import Comparison, Replications, SimulationResult

__all__ = ["comparison", "replayed", "replications", "result"]

_SHOWN: Final = 12
# figure of a summary: words, dimension
_FIGURES: Final = {
    "goodput": ("goodput", "share"),
    "availability": ("availability", "share"),
    "tokens_trained": ("tokens trained", "tokens"),
    "tokens_served": ("tokens served", "tokens"),
    "slo_violations": ("missed target", "share"),
    "peak_power_w": ("peak power", "power"),
    "energy_j": ("energy", "energy"),
    "pue": ("PUE", "ratio"),
    "cost_usd": ("energy cost", "money"),
    "events": ("failures", "count"),
}
_MODES: Final = {"synchronous": "sync", "elastic": "elastic", "fault_tolerant": "tolerant"}
_ACCOUNTS: Final = {
    "productive": "at work",
    "checkpoint": "saving",
    "rework": "rollback",
    "restart": "restarting",
    "wait": "waiting",
    "straggler": "stragglers",
    "power": "power limits",
    "headroom": "ready for more",
    "backfill": "lent to other work",
    "repair": "in repair",
}
_STOPS_SHOWN: Final = 6
_ROUNDING: Final = 1e-12

_REPLAYED: Final = {
    "jobs_hit_share": "jobs hit by a failure",
    "runtime_hit_share": "of GPU time, in these",
    "lost_share": "GPU time lost",
    "one_pod_share": "jobs in one pod",
}


def _say(value: float, kind: str, *, difference: bool = False) -> str:
    """One figure in people's units; differences of shares are points."""
    if not math.isfinite(value):
        return "unknown"
    sign = "+" if difference and value > 0 else ""
    if kind == "share":
        return f"{sign}{100 * value:.2f} pt" if difference else percent(value, 2)
    if kind == "ratio":
        return f"{sign}{value:.4f}"
    if kind == "count":
        return f"{sign}{value:,.0f}"
    return sign + format_quantity(value, "count" if kind == "tokens" else kind)


def _width(value: float, kind: str) -> str:
    """A half-width, without a sign."""
    return _say(value, kind, difference=True).lstrip("+") if math.isfinite(value) else "unknown"


def _bar(share: float, width: int = 14) -> str:
    return "█" * round(share * width) or "▏"


def result(done: SimulationResult) -> None:
    """Print one run."""
    from rich.columns import Columns
    from rich.console import Console

    console, summary = Console(), done.summary()
    length = format_quantity(summary["simulated_s"], "duration")
    console.print(f"[bold]{summary['name']}[/]  {summary['racks']:,} racks, {summary['accelerators']:,} accelerators, "
                  f"{length} in {summary['wall_s']:.1f} s", highlight=False)  # fmt: skip
    falls = [_fall(summary["waterfall"], "training rack time", spares=True)] if summary["goodput"] is not None else []
    if summary["serving_waterfall"]:
        falls.append(_fall(summary["serving_waterfall"], "serving rack time", spares=False))
    console.print(_facts(summary))
    console.print(Columns(falls, padding=(0, 2)))
    _over_limit(console, summary)
    _runs(console, summary)
    _stops_by_kind(console, summary)
    _serving(console, summary)
    _research(console, summary)
    _worst_quarters(console, summary)
    if summary["out"]:
        console.print(f"[dim]tables and simulation.html in {summary['out']}[/]")


def _facts(summary: dict[str, Any]) -> Any:
    from rich.table import Table

    facts = Table.grid(padding=(0, 2))
    trains = summary["goodput"] is not None
    rows = [
        ("goodput", f"[bold green]{percent(summary['goodput'], 1)}[/]" if trains else "[dim]no training[/]"),
        ("in service", f"{percent(summary['availability'], 2)} of rack time"),
        ("failures", f"{summary['events']:,}, and {summary['services']:,} planned services"),
        ("peak power", format_quantity(summary["peak_power_w"], "power")),
        ("energy", format_quantity(summary["energy_j"], "energy")),
        ("PUE", f"{summary['pue']:.3f}"),
        ("energy cost", format_quantity(summary["cost_usd"], "money")),
        ("carbon", f"{summary['carbon_kg'] / 1e6:,.0f} kt"),
    ]
    if trains:
        rows += [
            ("trained", format_quantity(summary["tokens_trained"], "tokens")),
            ("between stops", _stops(summary["mttf_s"])),
        ]
    if summary["tokens_demanded"] > 0.0:
        share = summary["tokens_served"] / summary["tokens_demanded"]
        served, asked = (format_quantity(summary[f"tokens_{k}"], "tokens") for k in ("served", "demanded"))
        rows += [
            ("served", f"{served} of {asked} ({percent(share, 2)})"),
            ("missed target", f"{percent(summary['slo_violations'], 3)} of tokens, shed or late"),
        ]
    for label, value in rows:
        facts.add_row(f"[dim]{label}[/]", value)
    return facts


def _over_limit(console: Any, summary: dict[str, Any]) -> None:
    """Sites that draw more than they may although everything gave way: what was served there is no fact."""
    for name, site in summary["sites"].items():
        if site["over_limit_s"] > 0.0:
            console.print(f"[bold red]{name} is above its limit for {format_quantity(site['over_limit_s'], 'duration')}[/]: up to "
                          f"{format_quantity(site['peak_grid_w'], 'power')} from the grid, {format_quantity(site['limit_w'], 'power')} "
                          "allowed, although everything gave way that may; give it power, or fewer racks", highlight=False)  # fmt: skip


def _stops(mttf_s: dict[str, float]) -> str:
    """Mean time between interruptions by size of job, past the first months."""
    sizes = {n: v for n, v in mttf_s.items() if int(n) > 8}
    return ", ".join(f"{v / 3600:.2g} h at {int(n):,}" for n, v in sizes.items())


def _fall(shares: dict[str, float], title: str, *, spares: bool) -> Any:
    from rich.table import Table

    fall = Table(box=None, show_header=False, padding=(0, 1), title=title, title_style="dim", title_justify="left")
    words = _ACCOUNTS | {"idle": "hot spares" if spares else "off"}
    for name, share in shares.items():
        colour = "green" if name in ("productive", "backfill", "headroom") else "red" if share > 0.02 else "yellow"
        fall.add_row(words[name], f"{percent(share, 2):>8}", f"[{colour}]{_bar(share)}[/]")
    return fall


def _runs(console: Any, summary: dict[str, Any]) -> None:
    from rich.table import Table

    if not summary["training"]:
        return
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("run", "mode", "racks", "goodput", "stops", "save", "(best)", "spares", "(best)"):
        left = name in ("run", "mode")
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=True,
            min_width=None if name == "run" else max(len(name), 6),
        )
    for run in sorted(summary["training"], key=lambda r: -r["racks"])[:_SHOWN]:
        table.add_row(run["name"].partition("/")[0], _MODES[run["mode"]], f"{run['racks']:,}", percent(run["goodput"], 1),
                      f"{run['interruptions']:,}", f"{run['checkpoint_interval_s']:.0f} s",
                      f"{run['best_checkpoint_interval_s']:.0f}", str(run["spares"]), str(run["best_spares"]))  # fmt: skip
    console.print(table)
    _and_more(console, len(summary["training"]), "runs")
    if any(len(r["stretches"]) > 1 for r in summary["training"]):
        console.print("[dim]mode, saves and spares at each run's largest size; its others: --json, or the report[/]")
    large = max(summary["training"], key=lambda r: r["stop_step_w"])
    words = f"{large['name']}: a stop takes {format_quantity(large['stop_step_w'], 'power')} away at once"
    if large["ramp_storage_j"] > 0.0:
        words += f"; {format_quantity(large['ramp_storage_j'], 'energy')} of storage would hide it from the grid"
        short = large["ramp_s"] > 0.0
        words += (
            f", what is there leaves up to {large['ramp_s']:.0f} s lost at each restart"
            if short
            else ", and it is there"
        )
    words += (f". Within a step its power swings by {format_quantity(large['swing_w'], 'power')}, "
              f"{format_quantity(large['swing_after_storage_w'], 'power')} after storage")  # fmt: skip
    console.print(f"[dim]{words}[/]", highlight=False)


def _stops_by_kind(console: Any, summary: dict[str, Any]) -> None:
    """What stopped the runs, most frequent first."""
    from gigaforge.report.operations_words import kind_words

    total: dict[str, int] = {}
    for run in summary["training"]:
        for kind, n in run["stops"].items():
            total[kind] = total.get(kind, 0) + n["count"]
    if not total:
        return
    rows = sorted(total.items(), key=lambda i: (-i[1], i[0]))
    words = [f"{kind_words(kind)} {n:,}" for kind, n in rows[:_STOPS_SHOWN]]
    rest = sum(n for _, n in rows[_STOPS_SHOWN:])
    console.print(f"[dim]stops by cause:[/] {', '.join(words)}{f', other {rest:,}' if rest else ''}", highlight=False)


def _research(console: Any, summary: dict[str, Any]) -> None:
    rows = summary["research"]
    racks, jobs = sum(r["racks"] for r in rows), sum(r["jobs"] for r in rows)
    if not jobs:
        return
    used = sum(r["used_share"] * r["racks"] for r in rows) / racks
    wait = sum(r["mean_wait_s"] * r["jobs"] for r in rows) / jobs
    console.print(f"[dim]research:[/] {jobs:,} jobs on {racks:,} racks left over, {percent(used, 1)} of their time held, "
                  f"mean wait {format_quantity(wait, 'duration') if wait else 'none'}", highlight=False)  # fmt: skip


def _serving(console: Any, summary: dict[str, Any]) -> None:
    from rich.table import Table

    if not summary["serving"]:
        return
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("served", "asked for", "served", "shed", "late", "first token", "per token"):
        table.add_column(name, justify="left" if name == "served" and not table.columns else "right")
    table.columns[0].header = "workload"
    for name, row in list(summary["serving"].items())[:_SHOWN]:
        speed = [
            format_quantity(row[k], "duration") if row[k] is not None else "unknown" for k in ("ttft_s", "tpot_s")
        ]
        table.add_row(name, format_quantity(row["tokens_demanded"], "tokens"), percent(row["served_share"], 2), percent(row["shed_share"], 2),
                      percent(row["late_share"], 2), *speed)  # fmt: skip
    console.print(table)
    _and_more(console, len(summary["serving"]), "workloads")


def _and_more(console: Any, count: int, what: str) -> None:
    if count > _SHOWN:
        console.print(f"[dim]and {count - _SHOWN} more {what}: --json[/]")


def _worst_quarters(console: Any, summary: dict[str, Any]) -> None:
    """Say when and why targets were missed, where they were."""
    rows = [q for q in summary["quarters"] if q["slo_violations"] > 0.001]
    rows = sorted(rows, key=lambda q: -q["slo_violations"] * q["tokens_demanded"])[:3]
    for q in rows:
        late, beyond = q["late_share"], q["beyond_all_racks_share"]
        rest = max(q["shed_share"] - beyond, 0.0)
        parts = [(beyond, "more asked than all its racks serve"), (rest, "failures, slow scaling or power"),
                 (late, "served late")]  # fmt: skip
        why = ", ".join(
            f"{percent(share, 2)} {words}" for share, words in sorted(parts, reverse=True) if share >= 0.0005
        )
        console.print(
            f"[dim]{q['quarter']}[/] missed {percent(q['slo_violations'], 2)} of its tokens: {why}", highlight=False
        )
    from gigaforge.report.operations_words import beside_plan

    for note in beside_plan(summary["quarters"]):
        console.print(f"[dim]{note}[/]", highlight=False)


def replications(done: Replications, as_json: bool) -> None:
    """Print means with their confidence intervals."""
    from rich.console import Console
    from rich.table import Table

    rows = {
        name: dict(zip(("mean", "half_width_95"), done.interval(name), strict=True))
        for name, values in done.values.items()
        if np.isfinite(values).all()
    }
    if as_json:
        print(json.dumps({"replications": len(done.seeds), "seeds": list(done.seeds), "values": rows}))
        return
    table = Table(
        box=None, header_style="dim", title=f"{len(done.seeds)} runs", title_style="dim", title_justify="left"
    )
    for name in ("", "mean", "± 95 %", "lowest", "highest"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, (words, kind) in _FIGURES.items():
        values = done.values[name]
        if (kind == "tokens" and not values.any()) or not np.isfinite(values).all():
            continue
        mean, half = done.interval(name)
        table.add_row(
            words,
            _say(mean, kind),
            _width(half, kind),
            _say(float(values.min()), kind),
            _say(float(values.max()), kind),
        )
    Console().print(table)


def comparison(done: Comparison, names: tuple[str, str], as_json: bool) -> None:
    """Print two policies side by side; ``names`` says what each is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if as_json:
        print(json.dumps({
            "replications": len(done.first.seeds), "compared": {"first": names[0], "second": names[1]},
            "no_effect": done.same,
            "difference": {n: {
                "first": done.first.interval(n)[0], "second": done.second.interval(n)[0], "mean": done.difference[n][0],
                "half_width_95": done.difference[n][1], "half_width_95_independent": done.alone[n],
            } for n in done.difference if math.isfinite(done.difference[n][0])},
        }))  # fmt: skip
        return
    table = Table(box=None, header_style="dim", title=f"{len(done.first.seeds)} pairs of runs, each pair under the same "
                  "failures, demand and weather", title_style="dim", title_justify="left")  # fmt: skip
    for name in ("", "first", "second", "difference", "± 95 %", "± unpaired"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for n, (words, kind) in _FIGURES.items():
        both = np.concatenate((done.first.values[n], done.second.values[n]))
        if (kind == "tokens" and not both.any()) or not np.isfinite(both).all():
            continue
        mean, half = done.difference[n]
        if abs(mean) <= _ROUNDING * abs(done.first.interval(n)[0]):  # sums in another order
            mean, half = 0.0, 0.0
        style = "" if abs(mean) > half else "dim"
        table.add_row(words, _say(done.first.interval(n)[0], kind), _say(done.second.interval(n)[0], kind),
                      _say(mean, kind, difference=True), _width(half, kind), _width(done.alone[n], kind), style=style)  # fmt: skip
    console = Console()
    console.print(f"[dim]first: [/] {escape(names[0])}\n[dim]second:[/] {escape(names[1])}", highlight=False)
    console.print(table)
    if done.same:
        console.print(f"[yellow]The change had no effect: {_why_same(names)}[/]", highlight=False)
        return
    console.print(
        "[dim]Difference: second less first. Dim: none beyond chance. Unpaired: if the runs did not share their luck.[/]"
    )


def _why_same(names: tuple[str, str]) -> str:
    from rich.markup import escape

    had, has = names[0].partition(" as it is, ")[2], names[1].removeprefix("changed to ")
    if had and had == has:
        return f"the fleet had {escape(has)} already."
    return "every pair gave the same figures to the last digit, so nothing that happened in these runs depends on it."


_GAP_STANDS_OUT = 10.0  # times the usual time between entries


def replayed(console: Any, summary: dict[str, Any]) -> None:
    """Print what a trace gave, and say where it has a hole."""
    for name, value in summary.items():
        words, text = name.replace("_", " "), f"{value:,.0f}" if value >= 1e3 else f"{value:.4g}"
        if name.endswith("_s"):
            words, text = words[:-2], format_quantity(value, "duration") if value > 0.0 else "none"
        elif name.endswith("_share") or name == "utilisation":
            words, text = _REPLAYED.get(name, words), percent(value, 2)
        console.print(f"[dim]{words:22s}[/] {text}", highlight=False)
    entries = summary.get("jobs", summary.get("requests", 0))
    usual_s = (summary["span_s"] - summary["longest_gap_s"]) / max(entries - 2, 1)  # between the other entries
    if summary["longest_gap_s"] > max(0.1 * summary["span_s"], _GAP_STANDS_OUT * usual_s):
        gap = format_quantity(summary["longest_gap_s"], "duration")
        console.print(
            f"[yellow]The trace has a gap of {gap}, taken as no demand: fill or cut it if entries are missing.[/]"
        )
