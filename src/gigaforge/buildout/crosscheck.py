"""Is the plan credible? Its headline figures beside published ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from gigaforge.buildout.annual import annual_summary
from gigaforge.buildout.decisions import Decisions
from gigaforge.buildout.problem import Problem
from gigaforge.scenario import interpolate
from gigaforge.units import format_at_most, format_quantity

__all__ = ["cross_checks"]

# What was published, with its source (read 2026-11).
COST_PER_GW = (23e9, 60e9, "https://ng.investing.com/news/stock-market-news/how-much-does-a-gw-of-data-center-capacity-actually-cost-2169144")  # fmt: skip
COST_PER_GW_YEAR = (7e9, 12e9, "https://epoch.ai/data-insights/ai-datacenter-cost-breakdown")
GPUS_FOR_10_GW = (4e6, 5e6, "https://epium.com/openai-and-nvidias-artificial-intelligence-plan-will-require-power-equal-to-10-nuclear-reactors")  # fmt: skip
MESSAGES_PER_WEEK = (17.5e9, 18.4e9, "https://siliconcanals.com/m-by-july-2025-chatgpt-had-reached-roughly-10-of-the-worlds-adults-and-700-million-weekly-users-sending-about-18-billion-messages-a-week-but-the-bigger-shift-was-that-most-of-it-wasnt-wor/")  # fmt: skip


def cross_checks(problem: Problem, decisions: Decisions) -> list[dict[str, Any]]:
    """Cost per gigawatt, GPUs per 10 GW and messages a week against what was published.

    Returns
    -------
    list of dict
        ``what, value, published_low, published_high, unit, source, inside, note``.

    """
    rows = [
        *_cost(problem, decisions),
        *_yearly(problem, decisions),
        *_accelerators(problem, decisions),
        *_messages(problem),
    ]
    return [r | {"inside": bool(r["published_low"] <= r["value"] <= r["published_high"])} for r in rows]


def _row(what: str, value: float, published: tuple[float, float, str], unit: str, note: str) -> dict[str, Any]:
    low, high, source = published
    return {
        "what": what,
        "value": float(value),
        "published_low": low,
        "published_high": high,
        "unit": unit,
        "source": source,
        "note": note,
    }


def _cost(p: Problem, d: Decisions) -> list[dict[str, Any]]:
    """Systems, networks and facilities per gigawatt of facility power, leased facilities at a typical building cost."""
    own = np.array([t != "cloud" for t in p.tenures], dtype=float)
    watts = np.einsum("skt,sk,s->", d.added, np.outer(p.pue_peak, p.rack_it_w), own)
    if watts <= 0:
        return []
    systems = np.einsum("skt,kt,s->", d.added, p.rack_price_usd, own)
    built = p.facility_usd_per_w[p.facility_usd_per_w > 0]
    facility = built.mean() if built.size else 13.0
    note = (
        f"systems and networks ${systems / watts:.1f}B per GW bought, plus ${facility:.1f}B per GW of facility "
        f"(leased buildings counted at the same cost)"
    )
    return [_row("capital cost per gigawatt", (systems / watts + facility) * 1e9, COST_PER_GW, "USD per GW", note)]


def _yearly(p: Problem, d: Decisions) -> list[dict[str, Any]]:
    """What a gigawatt of IT power costs a year to own and run, where all of it is owned."""
    made = annual_summary(p, d)
    watts = float(np.einsum("skt,k->t", d.online, p.rack_it_w).max(initial=0.0))
    if made is None or watts < 1e8 or any(d.added[s].any() for s, t in enumerate(p.tenures) if t != "owned"):
        return []
    note = (
        f"systems over {made['system_life_years']:g} years, buildings over {made['facility_life_years']:g} at "
        f"{100 * made['cost_of_capital']:.1f} %; published for GB200 NVL72: 8.5 at 5 and 14 years, 12 and 7 at 3 and 7 years"
    )
    value = made["usd_per_year"] / watts * 1e9
    return [_row("yearly cost of a gigawatt of IT, owned", value, COST_PER_GW_YEAR, "USD per GW-year", note)]


def _accelerators(p: Problem, d: Decisions) -> list[dict[str, Any]]:
    deployed = float(d.deployed_w(p)[-1])
    if deployed < 1e8:
        return []
    packages = float(np.einsum("skt,sk,k->", d.added, p.counts, p.accelerators))
    each = deployed / packages
    note = (
        f"{format_quantity(packages, 'count')} packages in {format_at_most(deployed, 'power')}, {each / 1e3:.2f} kW each all-in. The announced "
        "4-5 million imply 2.0-2.5 kW each, as GB200 and GB300 draw (2.1 kW), or count dies: a Vera Rubin rack, "
        "190-230 kW, was sold as 144 dies and holds 72 packages (2.6-3.3 kW each before cooling), and a Rubin Ultra "
        "package holds four, so fewer packages make the same gigawatts"
    )
    return [_row("GPU packages per 10 GW", packages / deployed * 10e9, GPUS_FOR_10_GW, "GPUs", note)]


def _messages(p: Problem) -> list[dict[str, Any]]:
    serving = p.scenario.serving
    if not serving:
        return []
    people = [s for s in serving if interpolate(s.weekly_users, p.quarters)[0] >= 1e8]
    if not people:
        return []
    users = sum(interpolate(s.weekly_users, p.quarters)[0] for s in people)
    rate = sum(
        interpolate(s.weekly_users, p.quarters)[0] * interpolate(s.messages_per_user_week, p.quarters)[0]
        for s in people
    )
    scaled = rate / users * 700e6
    note = f"{rate / 1e9:.1f}B a week from {users / 1e6:.0f}M users in {p.quarters[0]}, scaled to 700M users"
    return [_row("messages a week per 700M users", scaled, MESSAGES_PER_WEEK, "messages", note)]
