"""The report of a simulation: headline, where time goes, what breaks, service, power, advice; one page, offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gigaforge.report.html import Page
from gigaforge.report.operations_figures import simulation_figures
from gigaforge.report.operations_words import ACCOUNT_WORDS, binding, headed, kind_words
from gigaforge.report.report_tables import Cell, Table
from gigaforge.report.sections import Section
from gigaforge.report.story import Headline
from gigaforge.units import format_quantity, percent

if TYPE_CHECKING:
    from gigaforge.operations.result import SimulationResult

__all__ = ["simulation_page"]

_SHOWN = 40  # runs in a table
_MODES = {"synchronous": "whole run stops", "elastic": "elastic", "fault_tolerant": "fault tolerant"}


def simulation_page(result: SimulationResult) -> Page:
    """The report of one run."""
    summary, figures = result.summary(), simulation_figures(result)

    def take(*names: str) -> list[Any]:
        return [figures[n] for n in names if n in figures]

    sections = [
        Section("brief", "In brief", _story(summary), tables=[_quarters(summary)]),
        Section("binds", "What binds", points=binding(summary)),
        Section("time", "Where time goes", figures=take("waterfall-training", "waterfall-serving", "waterfall-research")),
        Section("failures", "Failures and availability", figures=take("causes-count", "causes-down", "scale-0", "scale-1"), tables=_present(_stops(summary), _by_scale(summary))),
        Section("service", "Tokens served against demand", figures=take("tokens-served", "missed"), tables=_present(_service(summary))),
        Section("power", "Power, energy and cost", figures=take("power-trace"), tables=_present(_sites(summary), _swings(summary))),
        Section("advice", "Checkpoints and spares", _advice(summary), tables=_present(_runs(summary), _stretches(summary))),
        Section("research", "Research jobs", tables=_present(_research(summary))),
        Section("method", "Words and method", terms=_terms(summary)),
    ]  # fmt: skip
    first, last = summary["quarters"][0]["quarter"], summary["quarters"][-1]["quarter"]
    span = (f"{first} to {last}, {summary['racks']:,} racks, {summary['accelerators']:,} accelerators; "
            f"seed {summary['seed']}, {summary['cpu_s']:.1f} s of computing")  # fmt: skip
    return Page(f"{summary['name']} in operation", _headline(summary), sections, _tiles(summary), span)


def _present(*made: Table | None) -> list[Table]:
    return [t for t in made if t is not None]


def _headline(s: dict[str, Any]) -> str:
    parts = []
    if s["goodput"] is not None:
        parts.append(f"{percent(s['goodput'], 1)} goodput")
    if s["tokens_demanded"] > 0.0:
        parts.append(f"{percent(s['tokens_served'] / s['tokens_demanded'], 1)} of tokens served")
    return ", ".join([*parts, f"{format_quantity(s['peak_power_w'], 'power')} at peak"])


def _tiles(s: dict[str, Any]) -> list[Headline]:
    tiles = []
    if s["goodput"] is not None:
        expected = sum(r["expected_goodput"] * r["racks"] for r in s["training"]) / max(
            sum(r["racks"] for r in s["training"]), 1
        )
        tiles.append(
            Headline(
                "Goodput of training",
                percent(s["goodput"], 1),
                f"of rack time scheduled; {percent(expected, 1)} by closed form",
            )
        )
    tiles.append(Headline("Racks in service", percent(s["availability"], 2),
                          f"of rack time; {s['events']:,} racks struck, {s['services']:,} planned services"))  # fmt: skip
    if s["tokens_demanded"] > 0.0:
        tiles.append(Headline("Tokens served", percent(s["tokens_served"] / s["tokens_demanded"], 2),
                              f"of {format_quantity(s['tokens_demanded'], 'tokens')}; {percent(s['slo_violations'], 2)} missed their target"))  # fmt: skip
    if s["tokens_trained"] > 0.0:
        tiles.append(
            Headline(
                "Tokens trained",
                format_quantity(s["tokens_trained"], "tokens").replace(" tokens", ""),
                "kept, rollbacks deducted",
            )
        )
    tiles.append(
        Headline("Peak power", format_quantity(s["peak_power_w"], "power"), "facility power, all sites at once")
    )
    tiles.append(
        Headline(
            "Energy",
            format_quantity(s["energy_j"], "energy"),
            f"PUE {s['pue']:.3f}; {s['carbon_kg'] / 1e6:,.0f} kt of CO2",
        )
    )
    tiles.append(
        Headline(
            "Energy cost",
            format_quantity(s["cost_usd"], "money"),
            f"{1e6 * 3.6e3 * s['cost_usd'] / max(s['grid_energy_j'], 1.0):.3g} $/MWh from the grid",
        )
    )
    return tiles


def _story(s: dict[str, Any]) -> list[str]:
    out = []
    if s["goodput"] is not None:
        fall = s["waterfall"]
        words = ACCOUNT_WORDS["training"]
        lost = sorted((k for k in words if k != "idle"), key=lambda k: -fall[k])[:3]
        out.append(f"Of the time that racks were scheduled to train, {percent(s['goodput'], 1)} was productive. "
                   + headed(", ".join(f"{words[k]} took {percent(fall[k], 1)}" for k in lost)) + f", and {percent(fall['idle'], 1)} stood by as hot spares.")  # fmt: skip
    if s["tokens_demanded"] > 0.0:
        out.append(f"Serving met {percent(s['tokens_served'] / s['tokens_demanded'], 2)} of {format_quantity(s['tokens_demanded'], 'tokens')} asked for; "
                   f"{percent(s['slo_violations'], 2)} missed their target, shed or late.")  # fmt: skip
    out.append(f"Racks were struck {s['events']:,} times and serviced as planned {s['services']:,} times; {percent(1 - s['availability'], 2)} of rack "
               f"time was out of service, {percent(s['downtime'].get('planned_maintenance', 0.0), 2)} of it planned.")  # fmt: skip
    out.append(f"The sites drew {format_quantity(s['energy_j'], 'energy')}, {format_quantity(s['peak_power_w'], 'power')} at peak, at a PUE of "
               f"{s['pue']:.3f}; the grid's part cost {format_quantity(s['cost_usd'], 'money')}.")  # fmt: skip
    return out


def _quarters(s: dict[str, Any]) -> Table:
    planned = any(q["tokens_planned"] for q in s["quarters"])
    serves = s["tokens_demanded"] > 0.0
    head = ["Quarter", "Failures", "Services", *(["Goodput"] if s["goodput"] is not None else []),
            *(["Tokens served", "Of demand", *(["Of plan"] if planned else []), "Missed target"] if serves else []),
            "Peak power", "Energy", "Cost"]  # fmt: skip
    rows: list[list[Cell]] = []
    for q in s["quarters"]:
        row: list[Cell] = [q["quarter"], f"{q['failures']:,}", f"{q['services']:,}"]
        if s["goodput"] is not None:
            row.append("–" if q["goodput"] is None else percent(q["goodput"], 1))
        if serves:
            asked = q["tokens_demanded"]
            row += [
                format_quantity(q["tokens_served"], "tokens").replace(" tokens", ""),
                percent(q["tokens_served"] / asked, 2) if asked else "–",
            ]
            if planned:
                row.append(percent(q["tokens_served"] / q["tokens_planned"], 1) if q["tokens_planned"] else "–")
            row.append(percent(q["slo_violations"], 2))
        rows.append(
            [
                *row,
                format_quantity(q["peak_power_w"], "power"),
                format_quantity(q["energy_j"], "energy"),
                format_quantity(q["cost_usd"], "money"),
            ]
        )
    return Table("By quarter", head, rows)


def _stops(s: dict[str, Any]) -> Table | None:
    """Stops of all runs by kind."""
    total: dict[str, list[int]] = {}
    for run in s["training"]:
        for kind, n in run["stops"].items():
            have = total.setdefault(kind, [0, 0])
            have[:] = [have[0] + n["count"], have[1] + n["rolled_back"]]
    if not total:
        return None
    every = sum(n for n, _ in total.values())
    rows: list[list[Cell]] = [
        [
            headed(kind_words(kind)),
            f"{n:,}",
            percent(n / every, 1),
            f"{back:,}",
        ]
        for kind, (n, back) in sorted(total.items(), key=lambda i: -i[1][0])
    ]
    rows.append(["All", f"{every:,}", "100 %", f"{sum(b for _, b in total.values()):,}"])
    return Table("Stops of training runs by cause", ["Cause", "Stops", "Share", "Rolled the whole run back"], rows, total=True,
                 note="Stops that do not roll the whole run back are short: the run goes on without the replica that was struck, or was drained first.")  # fmt: skip


def _by_scale(s: dict[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [f"{r['accelerators']:,}", format_quantity(r["mttf_s"], "duration"), percent(r["all_up"], 1), percent(r["goodput"], 1),
         f"{r['best_mode_spares']:,} of {r['racks']:,}", percent(r["goodput_synchronous"], 1), f"{r['spares']:,} of {r['racks']:,}"]
        for r in s["by_scale"]
    ]  # fmt: skip
    return Table("Availability and time between interruptions by scale",
                 ["Accelerators", "Between interruptions", "All racks up", "Goodput, best mode", "Its hot spares", "Goodput, whole run stops", "Its hot spares"], rows,
                 note="Spares are whole racks, and what is left of whole replicas: small runs lose more of themselves to them.")  # fmt: skip


def _service(s: dict[str, Any]) -> Table | None:
    def time(value: float | None) -> str:
        return "unknown" if value is None else format_quantity(value, "duration")

    rows: list[list[Cell]] = [
        [name, format_quantity(w["tokens_demanded"], "tokens").replace(" tokens", ""), percent(w["served_share"], 2), percent(w["shed_share"], 2),
         percent(w["late_share"], 2), time(w["ttft_s"]), time(w["tpot_s"]), format_quantity(w["backfill_rack_s"] / 3600.0, "count")]
        for name, w in s["serving"].items()
    ]  # fmt: skip
    head = [
        "Workload",
        "Tokens asked for",
        "Served",
        "Shed",
        "Late",
        "First token",
        "Per token",
        "Rack hours lent at night",
    ]
    return Table("By workload", head, rows) if rows else None


def _sites(s: dict[str, Any]) -> Table:
    rows: list[list[Cell]] = [
        [name, format_quantity(v["peak_power_w"], "power"), format_quantity(v["peak_grid_w"], "power"), f"{v['pue']:.3f}",
         format_quantity(v["energy_j"], "energy"), format_quantity(v["cost_usd"], "money"), f"{v['carbon_kg'] / 1e6:,.1f}",
         format_quantity(v["over_limit_s"], "duration") if v["over_limit_s"] else "never", f"{v['demand_responses']:,}",
         format_quantity(v["largest_ramp_w"], "power"), format_quantity(v["mean_repair_wait_s"], "duration") if v["mean_repair_wait_s"] else "none"]
        for name, v in s["sites"].items()
    ]  # fmt: skip
    head = ["Site", "Peak", "Peak from grid", "PUE", "Energy", "Cost", "CO2 [kt]", "Above limit", "Demand responses", "Largest 5-minute change",
            "Repair waits"]  # fmt: skip
    return Table("By site", head, rows)


def _swings(s: dict[str, Any]) -> Table | None:
    runs = sorted(s["training"], key=lambda r: -r["stop_step_w"])[:_SHOWN]
    rows: list[list[Cell]] = [
        [r["name"], *(format_quantity(r["phase_power_w"][k], "power") for k in ("compute", "stopped")), format_quantity(r["swing_w"], "power"),
         format_quantity(r["swing_after_storage_w"], "power"), format_quantity(r["stop_step_w"], "power"),
         format_quantity(r["ramp_storage_j"], "energy") if r["ramp_storage_j"] else "no limit given"]
        for r in runs
    ]  # fmt: skip
    head = [
        "Run",
        "Computing",
        "Exchanging, saving or stopped",
        "Swing in a step",
        "After storage",
        "Lost at once by a stop",
        "Storage that hides it",
    ]
    return Table("Power of runs by phase, and their swings", head, rows) if rows else None


def _advice(s: dict[str, Any]) -> list[str]:
    if not s["training"]:
        return []
    given = sum(r["spares"] for r in s["training"])
    best = sum(r["best_spares"] for r in s["training"])
    return [f"Runs keep {given:,} hot spare racks; each for itself does best with {best:,} in all. Intervals are those that keep most work at the rate of failures that roll a run back."]  # fmt: skip


def _runs(s: dict[str, Any]) -> Table | None:
    rows: list[list[Cell]] = [
        [r["name"], f"{r['racks']:,}", percent(r["goodput"], 1), percent(r["expected_goodput"], 1), f"{r['interruptions']:,}",
         format_quantity(r["mttf_s"], "duration") if r["mttf_s"] else "none"]
        for r in sorted(s["training"], key=lambda r: -r["racks"])[:_SHOWN]
    ]  # fmt: skip
    head = ["Run", "Racks at most", "Goodput", "By closed form", "Stops", "Between stops"]
    return Table("Training runs", head, rows) if rows else None


def _short(s: dict[str, Any]) -> dict[str, str]:
    """Names of runs without their system, where that still tells them apart."""
    names = [r["name"] for r in s["training"]]
    short = [n.partition("/")[0] for n in names]
    return dict(zip(names, short if len(set(short)) == len(names) else names, strict=True))


def _stretches(s: dict[str, Any]) -> Table | None:
    """What each run did at each of its sizes, beside what would be best."""
    short = _short(s)
    rows: list[list[Cell]] = [
        [short[r["name"]] if i == 0 else "", t["from"] if t["from"] == t["to"] else f"{t['from']} to {t['to'][5:] if t['to'][:4] == t['from'][:4] else t['to']}", _MODES[t["mode"]], f"{t['racks']:,}", percent(t["goodput"], 1),
         f"{t['checkpoint_interval_s']:.0f} s", f"{t['best_checkpoint_interval_s']:.0f} s", f"{t['spares']:,}", f"{t['best_spares']:,}"]
        for r in sorted(s["training"], key=lambda r: -r["racks"])[:_SHOWN] for i, t in enumerate(r["stretches"])
    ]  # fmt: skip
    head = ["Run", "Quarters", "At a failure", "Racks", "Goodput", "Saves every", "Best", "Hot spares", "Best alone"]
    return Table("Checkpoints and spares at each size of a run", head, rows, wide=(0, 1, 2)) if rows else None


def _research(s: dict[str, Any]) -> Table | None:
    rows: list[list[Cell]] = [
        [r["name"].partition("@")[2] or r["name"], f"{r['racks']:,}", percent(r["asked_share"]), percent(r["used_share"], 1), f"{r['jobs']:,}",
         format_quantity(r["mean_wait_s"], "duration") if r["mean_wait_s"] else "none", f"{r['interruptions']:,}", percent(r["waterfall"]["idle"], 1)]
        for r in s["research"]
    ]  # fmt: skip
    head = [
        "Racks left over at",
        "Racks",
        "Asked for",
        "Held by jobs",
        "Jobs",
        "Mean wait",
        "Stopped by failures",
        "Free",
    ]
    return Table("Jobs placed on NVLink domains and pods", head, rows,
                 note="A block of racks of one pod for each size of job; jobs smaller than a rack share its NVLink domain.") if rows else None  # fmt: skip


def _terms(s: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Goodput", "productive share of the rack time scheduled for training: what is left after spares, saving, rollback, restarts, missing racks, stragglers and power limits."),
        ("Failure", "a rack struck by a fault or an outage; planned maintenance is counted apart."),
        ("Rollback", "work since the last snapshot that survives, done again."),
        ("Missed target", "tokens shed, or served later than promised (time to first token, time per token)."),
        ("Exactness", "failures, repairs, restarts, snapshots and jobs are exact in time; demand, weather and power are on a 5-minute grid. Seconds, joules and tokens balance in every quarter."),
        ("Seed", f"{s['seed']}: the same seed gives the same figures to the last digit."),
    ]  # fmt: skip
