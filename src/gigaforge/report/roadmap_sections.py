"""The report's sections on the next accelerator and the next model, from what co-design found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gigaforge.codesign.hardware.capacity import capacity_words, named, plateaus
from gigaforge.codesign.hardware.explained import domain_words, limit_words, power_words
from gigaforge.report.codesign_sections import numbers
from gigaforge.report.context_words import context_sentence, context_table
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Table
from gigaforge.report.roadmap_figures import (
    BARS_SAY,
    design_pareto,
    hardware_sensitivity,
    iso_loss,
    specialised_designs,
)
from gigaforge.report.story import model_words, money
from gigaforge.units import format_quantity, percent

__all__ = ["hardware_parts", "model_answer", "model_parts", "model_question"]

Parts = tuple[list[str], list[str], list[Figure], list[Table]]
"""Leading sentences, listed statements, figures, tables."""


def hardware_parts(roadmaps: Mapping[str, Any], label: Callable[[str], str]) -> Parts:
    """What stands under "The next accelerator"; empty where nothing was asked.

    Parameters
    ----------
    roadmaps : mapping
        ``summary["roadmaps"]`` of a co-designed plan.
    label : callable
        Catalogue name to what people call it.

    """
    found = roadmaps.get("hardware") or {}
    rows, answer = found.get("sensitivity") or [], found.get("next")
    lead: list[str] = []
    figures: list[Figure] = []
    tables: list[Table] = []
    if rows:
        names = {r["system"]: label(r["system"]) for r in rows}
        best = max((r for r in rows if r["net_usd_per_accelerator"]), key=_return, default=None)
        if best is not None:
            words = (
                f"One {best['unit']} more of {_WHAT[best['parameter']]} in every {label(best['system'])} accelerator"
            )
            lead.append(
                f"{words} is worth ${best['usd_per_accelerator']:,.0f} to this plan and costs "
                f"${best['cost_usd_per_accelerator']:,.0f}."
            )
        note = (
            "By the performance model, the response of each workload's best layout and batch; and by the plan, solved again with it. "
            "Intervals carry the yields' own error; costs are the cost model's, at today's mark-up. HBM "
            "capacity acts in steps, so its slope is often zero: the table has what whole stacks more or less would do."
        )
        figures.append(
            Figure("hardware-sensitivity", "What each number of an accelerator is worth", BARS_SAY,
                   hardware_sensitivity(rows, names),
                   numbers([r | {"system": label(r["system"]), "parameter": _WHAT[r["parameter"]]} for r in rows], _BARS), note)
        )  # fmt: skip
        for r in (r for r in rows if r.get("steps")):
            lead.append(f"{label(r['system'])}: {' '.join(capacity_words(r['steps'], r['today']))}")
            tables.append(_capacity_table(r, label))
    if answer:
        lead += _next_words(answer, label)
        tables += [_design_table(answer), _domain_table(answer)]
        bars = [r for r in answer["by_work"] if r["relative_cost"] is not None]
        if len({r["design"] for r in bars}) > 1:
            figures.append(
                Figure("specialised-designs", "One design for all, or one for each", _special_words(answer),
                       specialised_designs(bars), numbers(bars, _BY_WORK))
            )  # fmt: skip
        if answer.get("pareto"):
            chosen = {"relative_cost": answer["general"]["relative_cost"], "label": "least cost"}
            marks = [chosen | {"relative_joules": _nearest(answer), "words": answer["general"]["words"]},
                     {"relative_cost": 1.0, "relative_joules": 1.0, "label": "reference", "words": answer["reference"]["words"]}]  # fmt: skip
            figures.append(
                Figure("design-pareto", "Work per dollar against work per joule", "",
                       design_pareto(answer["pareto"], marks), numbers(answer["pareto"], _PARETO))
            )  # fmt: skip
    return lead, list(found.get("warnings") or []), figures, tables


_BARS = {"system": "Platform", "parameter": "Number", "unit": "Unit", "today": "Today", "usd_per_accelerator": "Worth per accelerator, USD",
         "cost_usd_per_accelerator": "Cost, USD", "plan_usd": "Worth to the plan, USD", "plan_usd_low": "from",
         "plan_usd_high": "to"}  # fmt: skip
_BY_WORK = {"work": "Work", "design": "Design", "relative_cost": "Cost over the reference"}
_PARETO = {
    "words": "Design",
    "relative_cost": "Cost over the reference",
    "relative_joules": "Energy over the reference",
}
_CURVE = {"experts": "Expansion", "context": "Context", "active": "Active parameters", "tokens": "Training tokens", "loss": "Loss", "train_usd": "Training, USD",
          "serve_usd": "Serving, USD", "usd": "Both, USD"}  # fmt: skip
_WHAT = {
    "bf16_flop_s": "arithmetic", "hbm_bytes": "HBM", "hbm_bandwidth_bytes_s": "HBM bandwidth", "scale_up_bytes_s": "NVLink",
    "scale_out_bytes_s": "scale-out", "power_limit_w": "power limit", "power_drawn_w": "power saved",
}  # fmt: skip


def _capacity_table(row: Mapping[str, Any], label: Callable[[str], str]) -> Table:
    """A platform's other HBM capacities."""
    steps = plateaus(row["steps"])
    groups: dict[tuple[float, ...], list[str]] = {}
    for work in steps[0]["yields"]:
        groups.setdefault(tuple(round(s["yields"][work], 3) for s in steps), []).append(work)
    moved = {yields: works for yields, works in groups.items() if any(y != 1.0 for y in yields)}
    heads = ["HBM, GB", *map(named, moved.values()), "Worth per accelerator", "per GB", "Cost"]
    rows: list[list[Any]] = [
        [f"{s['gb']:,.0f}", *(_signed(yields[i] - 1) for yields in moved), _dollars(s["usd_per_accelerator"]),
         _dollars(s["usd_per_gb"]), _dollars(s["cost_usd_per_accelerator"])]
        for i, s in enumerate(steps)
    ]  # fmt: skip
    still = [work for yields, works in groups.items() if yields not in moved for work in works]
    note = (
        f"What each yields over today's {row['today']:,.0f} GB, everything else alike, at its best layout and batch, and the least "
        f"capacity for it between {row['steps'][0]['gb']:,.0f} and {row['steps'][-1]['gb']:,.0f} GB"
        + (f"; {named(still)} would feel none of them" if still else "")
        + ". At today's prices of what the works yield, so a large change is as a rule worth somewhat less."
    )
    return Table(f"Other HBM capacities of {label(row['system'])}", heads, rows, note=note)


def _signed(change: float) -> str:
    """A change with its sign, a true minus among figures; none for no change."""
    return "–" if abs(change) < 5e-4 else percent(change, 1, sign=True).replace("-", "−")


def _dollars(value: float | None) -> str:
    """Whole dollars; empty where not known, without a sign where none are left."""
    if value is None:
        return ""
    return f"{'−' if value <= -0.5 else ''}${abs(value):,.0f}"


def _return(row: Mapping[str, Any]) -> float:
    cost = row["cost_usd_per_accelerator"] or 0.0
    return float(row["usd_per_accelerator"]) / cost if cost > 0 and row["parameter"] != "power_drawn_w" else 0.0


def _nearest(answer: Mapping[str, Any]) -> float:
    """Joules of the cheapest design of the front."""
    return float(min(answer["pareto"], key=lambda p: p["relative_cost"])["relative_joules"])


def _next_words(answer: Mapping[str, Any], label: Callable[[str], str]) -> list[str]:
    general, system = answer["general"], answer["reference"].get("system")
    today = f"today's main platform{f', {label(system)}' if system else ''}"
    low, high = (100 * end for end in general["relative_cost_interval"])
    out = [
        (
            f"In {answer['technology']}, the plan asks for {general['words']}. It does the plan's work at "
            f"{100 * general['relative_cost']:.0f} % of what it costs on {today} ({low:.0f} to {high:.0f} % as the cost model's "
            "figures range)."
        )
    ]
    out.append(limit_words(general["at_limit"]))
    out.append(power_words(general.get("at_power_limit")))
    out.append(domain_words(general.get("nvlink_domains") or [], general["design"]["nvlink_domain"]))
    for name, one in answer["special"].items():
        if one["design"] != general["design"] and one.get("at_limit"):
            out.append(
                f"For {name} alone: {limit_words(one['at_limit'])[0].lower()}{limit_words(one['at_limit'])[1:]}"
            )
    return [line for line in out if line]


def _special_words(answer: Mapping[str, Any]) -> str:
    if not answer["special"]:
        return ""
    saved, noise = 100 * answer["saved"], 100 * answer["noise"]
    words = f"A design for each phase would save {saved:.1f} % of the work's cost over the general one"
    told = (
        "so little that it cannot be told from the search's own noise"
        if saved <= noise
        else "and the search's own noise is"
    )
    return f"{words}; {told} ({noise:.1f} %)." if saved <= noise else f"{words}; {told} {noise:.1f} %."


def _design_table(answer: Mapping[str, Any]) -> Table:
    heads = [
        "Design",
        "PFLOP/s bf16",
        "HBM, GB",
        "HBM, TB/s",
        "NVLink, GB/s",
        "Domain",
        "Scale-out, GB/s",
        "W",
        "W, all at once",
        "PFLOP/s then",
        "Cost",
    ]
    named = [("Reference", answer["reference"] | {"relative_cost": 1.0}), ("General", answer["general"])]
    named += [(f"For {name}", one) for name, one in answer["special"].items()]
    rows: list[list[Any]] = []
    for name, one in named:
        d = one["design"]
        share = f"{100 * one['relative_cost']:.0f} %"
        rows.append(
            [name, f"{d['bf16_flop_s'] / 1e15:.2f}", f"{d['hbm_bytes'] / 1e9:,.0f}",
             f"{d['hbm_bandwidth_bytes_s'] / 1e12:.1f}", f"{d['scale_up_bytes_s'] / 1e9:,.0f}", f"{d['nvlink_domain']:.0f}",
             f"{d['scale_out_bytes_s'] / 1e9:,.0f}", f"{d['power_w']:,.0f}",
             *_all_at_once(one.get("at_power_limit")), share]
        )  # fmt: skip
    note = (
        "Cost of the design's own work over that of the same work on the reference. All at once: what all units would draw without "
        "the limit, and what the clock that keeps the limit leaves of the bf16 rate."
    )
    return Table("Designs for this plan's work at its prices", heads, rows, note=note)


def _all_at_once(found: Mapping[str, float] | None) -> list[str]:
    if found is None:
        return ["", ""]
    return [f"{found['full_power_w']:,.0f}", f"{found['bf16_flop_s'] / 1e15:.2f}"]


def _domain_table(answer: Mapping[str, Any]) -> Table:
    """Every design over the other NVLink domains."""
    heads = [
        "Design",
        "NVLink domain",
        "Cost of its work",
        "Time it takes",
        "Share of system, USD",
        "Share of system, W",
    ]
    rows: list[list[Any]] = []
    for name, one in {"General": answer["general"], **{f"For {n}": s for n, s in answer["special"].items()}}.items():
        for r in one.get("nvlink_domains") or []:
            chosen = " (chosen)" if r["nvlink_domain"] == one["design"]["nvlink_domain"] else ""
            shares = (r[k] for k in ("cost", "seconds", "system_usd", "system_w"))
            rows.append(
                [
                    name,
                    f"{r['nvlink_domain']:.0f}{chosen}",
                    *("–" if v is None else f"{100 * v:.1f} %" for v in shares),
                ]
            )
    note = "Over the chosen domain's, the accelerator itself unchanged; – where it cannot do all of the work."
    return Table("The same designs over other NVLink domains", heads, rows, note=note)


def model_parts(roadmaps: Mapping[str, Any]) -> Parts:
    """What stands under "The next model"; empty where nothing was asked."""
    found = roadmaps.get("models") or {}
    choices, curves = found.get("choices") or {}, found.get("curves") or {}
    lead, points, figures = [], [f"{w[0].upper()}{w[1:]}." for w in found.get("warnings") or []], []
    tables = []
    for run, c in choices.items():
        lead += [words for words in (model_question(run, c), model_answer(c), context_sentence(c)) if words]
        points += [f"{run}: {w}." for w in c["warnings"]]
        if curves.get(run):
            figures.append(
                Figure(f"iso-loss-{run}", f"Models as good as {run}'s", "", iso_loss(c, curves[run]),
                       numbers(curves[run], _CURVE),
                       "Each point is a model of that size trained until it reaches the same loss by the law; cost by the "
                       "performance model at the plan's prices, with the tokens that it serves over its life.")
            )  # fmt: skip
        if len(c.get("expansions") or []) > 1:
            tables.append(_expansion_table(run, c))
        if by_context := context_table(run, c):
            tables.append(by_context)
    return lead, points, figures, tables


def model_question(run: str, choice: Mapping[str, Any]) -> str:
    """What the model of a run is for, and what the one named costs over its life."""
    own, life = choice.get("named") or {}, choice.get("life") or {}
    served = " and ".join(f"{counted(t)} tokens of {w}" for w, t in (life.get("workloads") or {}).items())
    use = (
        f"serves {served} from {life['first']} to {life['last']}" if served else "serves no workload of the scenario"
    )
    size = ""
    if own:
        context = f", a context of {own['context']:,}" if own.get("context") else ""
        size = f" ({counted(own['active'])} of {counted(own['total'])} parameters, {counted(own['tokens'])} tokens{context})"
    if not own or own["usd"] is None:
        return f"{run}{size} {use}; it cannot be run as asked." if own else f"{run} {use}."
    parts = (
        f": {money(own['train_usd'])} of training, {money(own['serve_usd'])} of serving" if served else " of training"
    )
    return f"{run}{size} {use} and costs {money(own['usd'])}{parts}."


def model_answer(choice: Mapping[str, Any]) -> str:
    """The model of least cost at the same loss, and that of least loss at the same cost."""
    parts = ""
    if choice["serve_tokens"]:
        parts = f" ({money(choice['train_usd'])} of training, {money(choice['serve_usd'])} of serving)"
    words = f"As low a loss by {choice['law']} costs least with {model_words(choice)}: {money(choice['usd'])}{parts}."
    if same := choice.get("at_named_usd"):
        words += f" For as much as the one named the loss could be {same['loss']:.3f} instead of {choice['loss']:.3f}: {model_words(same)}."
    return words


def counted(value: float) -> str:
    """A count for people: "405B"."""
    return format_quantity(value, "count")


def _expansion_table(run: str, choice: Mapping[str, Any]) -> Table:
    heads = ["Model", "Active", "In all", "Training tokens", "Training", "Serving", "Both"]
    rows: list[list[Any]] = [
        ["dense" if r["experts"] == 1 else f"{r['experts']} x experts", counted(r["active"]), counted(r["total"]),
         counted(r["tokens"]), money(r["train_usd"]), money(r["serve_usd"]), money(r["usd"])]
        for r in choice["expansions"]
    ]  # fmt: skip
    own = choice.get("named")
    if own and own["usd"] is not None:
        rows.append(
            ["the one named", counted(own["active"]), counted(own["total"]), counted(own["tokens"]),
             money(own["train_usd"]), money(own["serve_usd"]), money(own["usd"])]
        )  # fmt: skip
    note = "The cheapest of each kind at the same loss. Training counts the run's experiments; dollars are those of the run's window."
    if choice["experts"] == 1 and choice["serve_tokens"]:
        note += (
            " A mixture needs fewer active parameters for the loss, but each costs more to serve, as the serving model has it: the "
            "weights of all experts are read, and tokens cross the network twice in every layer."
        )
    return Table(f"As good as {run}'s, by kind", heads, rows, note=note)
