"""The report's sections on the next accelerator and the next model, from what co-design found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gigaforge.report.codesign_sections import numbers
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Table
from gigaforge.report.roadmap_figures import design_pareto, hardware_sensitivity, iso_loss, specialised_designs
from gigaforge.report.story import model_words, money

__all__ = ["hardware_parts", "model_parts"]

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
        take = ""
        if best is not None:
            words = (
                f"One {best['unit']} more of {_WHAT[best['parameter']]} in every {label(best['system'])} accelerator"
            )
            take = (
                f"{words} is worth ${best['usd_per_accelerator']:,.0f} to this plan and costs "
                f"${best['cost_usd_per_accelerator']:,.0f}."
            )
            lead.append(take)
        note = (
            "By the plan's prices and the performance model: the response of each workload's best layout and batch, times the "
            "price of what it yields. Intervals carry the yields' own error; costs are the cost model's, at today's mark-up."
        )
        figures.append(
            Figure("hardware-sensitivity", "What each number of an accelerator is worth", take,
                   hardware_sensitivity(rows, names),
                   numbers([r | {"system": label(r["system"]), "parameter": _WHAT[r["parameter"]]} for r in rows], _BARS), note)
        )  # fmt: skip
    if answer:
        lead += _next_words(answer)
        tables.append(_design_table(answer))
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
_CURVE = {"experts": "Expansion", "active": "Active parameters", "tokens": "Training tokens", "loss": "Loss", "train_usd": "Training, USD",
          "serve_usd": "Serving, USD", "usd": "Both, USD"}  # fmt: skip
_WHAT = {
    "bf16_flop_s": "arithmetic", "hbm_bytes": "HBM", "hbm_bandwidth_bytes_s": "HBM bandwidth", "scale_up_bytes_s": "NVLink",
    "scale_out_bytes_s": "scale-out", "power_limit_w": "power limit", "power_drawn_w": "power saved",
}  # fmt: skip


def _return(row: Mapping[str, Any]) -> float:
    cost = row["cost_usd_per_accelerator"] or 0.0
    return float(row["usd_per_accelerator"]) / cost if cost > 0 and row["parameter"] != "power_drawn_w" else 0.0


def _nearest(answer: Mapping[str, Any]) -> float:
    """Joules of the cheapest design of the front."""
    return float(min(answer["pareto"], key=lambda p: p["relative_cost"])["relative_joules"])


def _next_words(answer: Mapping[str, Any]) -> list[str]:
    general = answer["general"]
    low, high = (100 * end for end in general["relative_cost_interval"])
    out = [
        (
            f"In {answer['technology']}, the plan asks for {general['words']}. It does the plan's work at "
            f"{100 * general['relative_cost']:.0f} % of what it costs on today's main platform ({low:.0f} to {high:.0f} % as the cost model's "
            "figures range)."
        )
    ]
    if general["at_limit"]:
        out.append(f"It stands at its limit in: {', '.join(general['at_limit'])}.")
    return out


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
             f"{d['scale_out_bytes_s'] / 1e9:,.0f}", f"{d['power_w']:,.0f}", share]
        )  # fmt: skip
    note = "Cost of the design's own work over that of the same work on the reference."
    return Table("Designs for this plan's work at its prices", heads, rows, note=note)


def model_parts(roadmaps: Mapping[str, Any]) -> Parts:
    """What stands under "The next model"; empty where nothing was asked."""
    found = roadmaps.get("models") or {}
    choices, curves = found.get("choices") or {}, found.get("curves") or {}
    lead, points, figures = [], [f"{w[0].upper()}{w[1:]}." for w in found.get("warnings") or []], []
    for run, c in choices.items():
        own = c.get("named_usd")
        than = f", against {money(own)} for the one named" if own and own < float("inf") else ""
        cost = "training and serving" if c["serve_tokens"] else "training (no workload of the scenario serves it)"
        words = f"{run}: as low a loss costs least with {model_words(c)}: {money(c['usd'])} of {cost}{than}."
        if same := c.get("at_named_usd"):
            words += f" For as much as the one named the loss could be {same['loss']:.3f} instead of {c['loss']:.3f}: {model_words(same)}."
        lead.append(words)
        points += [f"{run}: {w}." for w in c["warnings"]]
        if curves.get(run):
            figures.append(
                Figure(f"iso-loss-{run}", f"Models as good as {run}'s", "", iso_loss(c, curves[run]),
                       numbers(curves[run], _CURVE),
                       "Each point is a model of that size trained until it reaches the same loss by the law; cost by the "
                       "performance model at the plan's prices, with the tokens that workloads of the scenario ask of it.")
            )  # fmt: skip
    return lead, points, figures, []
