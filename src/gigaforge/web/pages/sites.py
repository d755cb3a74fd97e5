"""The sites of the plan: all on one map, and each by itself."""

from __future__ import annotations

from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.sections import Section
from gigaforge.web.pages.shelf import Shelved

__all__ = ["site_section", "sites_section"]

_GW = 1e9


def sites_section(shelved: Shelved) -> Section:
    """Map and table of all sites."""
    view = shelved.view
    deployed = view.deployed_by("site")
    limits = view.table("sites", "quarter", "site", "energised_w").pivot_table(
        index="quarter", columns="site", values="energised_w"
    )
    rows: list[list[Cell]] = []
    for name in view.sites:
        first = list(deployed.index[deployed[name] > 0]) if name in deployed else []
        energised = float(limits[name].iloc[-1]) if name in limits else 0.0
        racks = view.deployed[(view.deployed["site"] == name) & (view.deployed["quarter"] == view.quarters[-1])]
        rows.append([
            Link(view.label(name), f"/sites/{name}"), str(first[0]) if len(first) else "–",
            f"{energised / _GW:.2f}", f"{float(deployed[name].iloc[-1]) / _GW:.2f}" if name in deployed else "–",
            f"{int(racks['racks_online'].sum()):,}",
        ])  # fmt: skip
    heads = [
        "Site",
        "First deployment",
        f"Energised in {view.quarters[-1]} [GW]",
        "Deployed to date [GW]",
        "Racks online then",
    ]
    figures = [shelved.figures[n] for n in ("site-map", "deployment-by-site") if n in shelved.figures]
    return Section("sites", "All sites", figures=figures, tables=[Table("Sites of the plan", heads, rows)])


def site_section(shelved: Shelved, name: str) -> list[Section]:
    """One site, quarter by quarter: power energised and deployed, racks by system."""
    view = shelved.view
    mine = view.deployed[view.deployed["site"] == name]
    limits = view.table("sites", "quarter", "site", "energised_w", "pue")
    limits = limits[limits["site"] == name].set_index("quarter")
    systems = [s for s in view.systems if s in set(mine["system"])]
    online = mine.pivot_table(index="quarter", columns="system", values="racks_online", aggfunc="sum")
    deployed = view.deployed_by("site")
    rows: list[list[Cell]] = []
    for quarter in view.quarters:
        energised = float(limits["energised_w"].get(quarter, 0.0))
        if not energised and not (name in deployed and deployed[name][quarter]):
            continue
        racks = [f"{int(online[s].get(quarter, 0) or 0):,}" for s in systems]
        done = f"{deployed[name][quarter] / _GW:.3f}" if name in deployed else "–"
        rows.append([quarter, f"{energised / _GW:.3f}", done, *racks])
    heads = ["Quarter", "Energised [GW]", "Deployed to date [GW]", *(f"{view.label(s)} online" for s in systems)]
    words = [f"The plan uses {len(systems)} kinds of systems here." if systems else "The plan deploys nothing here."]
    return [Section(name, "Quarter by quarter", words, tables=[Table("Power and racks", heads, rows)])]
