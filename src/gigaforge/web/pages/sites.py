"""The sites: all on one map, and each by itself; what the plan wants there and what the record says stands."""

from __future__ import annotations

from dataclasses import dataclass

from gigaforge.ledger.attention import energised_w, notices
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.report.figures import Figure
from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.sections import Section
from gigaforge.report.site_map import accepted_map
from gigaforge.report.story import power
from gigaforge.report.view import PlanView
from gigaforge.units import power_unit
from gigaforge.web.pages.overview import accepted_by_site
from gigaforge.web.pages.shelf import Shelved

__all__ = ["Sites"]


@dataclass(frozen=True)
class Sites:
    """The sites of a plan, of a record, or of both.

    Attributes
    ----------
    shelved : Shelved, optional
        The plan.
    state, terms : State, Terms, optional
        The record, and its terms in force.

    """

    shelved: Shelved | None = None
    state: State | None = None
    terms: Terms | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """What all of it depends on."""
        return "sites", id(self.shelved), self.state.head if self.state else ""

    @property
    def names(self) -> list[str]:
        """Sites of the plan in its order, then those that only the record knows."""
        planned = list(self.shelved.view.sites) if self.shelved else []
        recorded = [*(self.terms.sites if self.terms else {}), *(self.state.standing if self.state else {})]
        return list(dict.fromkeys([*planned, *recorded]))

    def label(self, name: str) -> str:
        """A site for people."""
        if self.shelved is not None and name in self.shelved.view.sites:
            return self.shelved.view.label(name)
        found = self.terms.sites.get(name) if self.terms else None
        return (found.label if found else "").split(" (")[0] or name

    def headline(self) -> str:
        """How many carry what."""
        accepted = {s: w for s, w in self._accepted().items() if w > 0}
        if self.state is not None:
            return f"{power(sum(accepted.values()))} accepted to date at {len(accepted)} {'site' if len(accepted) == 1 else 'sites'}"
        assert self.shelved is not None
        return f"{len(self.shelved.view.used_sites)} sites carry the plan"

    def map(self) -> Figure | None:
        """What stands where, beside what is to come; the plan's own map without a record."""
        if self.state is None:
            return self.shelved.figures.get("site-map") if self.shelved else None
        if self.shelved is not None:
            view = self.shelved.view
            around, words = _last_deployed(view), f"Planned by {view.quarters[-1]}"
        else:
            around = {s: float(max((w for _, _, w in steps), default=0)) for s, steps in self.state.energised.items()}
            words = "Energised"
        drawn = accepted_map(self._places(), self._accepted(), around, words)
        if drawn is None:
            return None
        takeaway = f"Discs: power accepted. Rings: {words[:1].lower()}{words[1:]}."
        return Figure("site-map", "What stands where", takeaway, drawn[0], drawn[1])

    def _accepted(self) -> dict[str, float]:
        return accepted_by_site(self.state) if self.state is not None else {}

    def _places(self) -> dict[str, tuple[str, float, float]]:
        out = {}
        known = (self.shelved.view.summary.get("places") or {}) if self.shelved else {}
        for name in self.names:
            found = self.terms.sites.get(name) if self.terms else None
            if name in known:
                out[name] = self.label(name), float(known[name]["longitude"]), float(known[name]["latitude"])
            elif found is not None and found.longitude is not None and found.latitude is not None:
                out[name] = self.label(name), found.longitude, found.latitude
        return out

    def overall(self) -> Section:
        """Map and table of all sites."""
        figures = [f for f in [self.map()] if f is not None]
        if self.shelved is not None and "deployment-by-site" in self.shelved.figures:
            figures.append(self.shelved.figures["deployment-by-site"])
        heads = ["Site"]
        heads += (
            ["Accepted to date", "Racks accepted and in place", "Recorded as energised"]
            if self.state is not None
            else []
        )
        heads += _plan_heads(self.shelved.view) if self.shelved else []
        rows: list[list[Cell]] = []
        for name in self.names:
            row: list[Cell] = [Link(self.label(name), f"/sites/{name}")]
            if self.state is not None:
                row += _stands(self.state, name, self._accepted().get(name, 0.0))
            if self.shelved is not None:
                row += _plan_cells(self.shelved.view, name)
            rows.append(row)
        return Section("sites", "All sites", figures=figures, tables=[Table("Sites", heads, rows)])

    def one(self, name: str) -> list[Section]:
        """One site: what stands there, and the plan quarter by quarter."""
        out = []
        if self.state is not None:
            out.append(self._recorded(name))
        if self.shelved is not None and name in self.shelved.view.sites:
            out.append(_planned(self.shelved.view, name))
        return out

    def _recorded(self, name: str) -> Section:
        assert self.state is not None
        rows: list[list[Cell]] = [
            [self._system(system), status, Link(f"{count:,}", f"/racks?site={name}&system={system}&status={status}")]
            for system, by_status in sorted(self.state.standing.get(name, {}).items())
            for status, count in by_status.items() if count
        ]  # fmt: skip
        accepted = self._accepted().get(name, 0.0)
        words = [f"{power(accepted)} accepted here to date." if accepted > 0 else "Nothing is accepted here yet."]
        limit = energised_w(self.state).get(name)
        if limit is not None:
            words.append(f"{power(limit[0])} of facility power is recorded as energised (event {limit[1]}).")
        words += [f"{n.words}." for n in notices(self.state) if n.site == name]
        heads = ["System", "Status", "Racks"]
        tables = [Table("Racks here, by how far they are", heads, rows, wide=(0, 1))] if rows else []
        return Section("record", "What stands", words, tables=tables)

    def _system(self, name: str) -> str:
        found = self.terms.systems.get(name) if self.terms else None
        return (found.label if found else "") or name


def _last_deployed(view: PlanView) -> dict[str, float]:
    deployed = view.deployed_by("site")
    return {str(s): float(deployed[s].iloc[-1]) for s in deployed.columns} if len(deployed) else {}


def _stands(state: State, name: str, accepted_w: float) -> list[Cell]:
    count = sum(by_status.get("accepted", 0) for by_status in state.standing.get(name, {}).values())
    racks: Cell = Link(f"{count:,}", f"/racks?site={name}&status=accepted") if count else "–"
    limit = energised_w(state).get(name)
    recorded: Cell = Link(power(limit[0]), f"/events/{limit[1]}") if limit is not None else "–"
    return [power(accepted_w) if accepted_w else "–", racks, recorded]


def _plan_heads(view: PlanView) -> list[str]:
    last = view.quarters[-1]
    return ["Planned from", f"To be energised in {last}", f"Deployed by {last}", "Racks online then"]


def _plan_cells(view: PlanView, name: str) -> list[Cell]:
    deployed = view.deployed_by("site")
    if name not in view.sites:
        return ["–"] * 4
    limits = view.table("sites", "quarter", "site", "energised_w")
    mine = limits[limits["site"] == name]["energised_w"]
    first = list(deployed.index[deployed[name] > 0]) if name in deployed else []
    racks = view.deployed[(view.deployed["site"] == name) & (view.deployed["quarter"] == view.quarters[-1])]
    return [
        str(first[0]) if first else "–", power(float(mine.iloc[-1])) if len(mine) else "–",
        power(float(deployed[name].iloc[-1])) if name in deployed else "–", f"{int(racks['racks_online'].sum()):,}",
    ]  # fmt: skip


def _planned(view: PlanView, name: str) -> Section:
    """Quarter by quarter: power energised and deployed, racks by system."""
    mine = view.deployed[view.deployed["site"] == name]
    limits = view.table("sites", "quarter", "site", "energised_w", "pue")
    limits = limits[limits["site"] == name].set_index("quarter")
    systems = [s for s in view.systems if s in set(mine["system"])]
    online = mine.pivot_table(index="quarter", columns="system", values="racks_online", aggfunc="sum")
    deployed = view.deployed_by("site")
    unit = power_unit(float(limits["energised_w"].max()) if len(limits) else view.commitment_w)
    rows: list[list[Cell]] = []
    for quarter in view.quarters:
        energised = float(limits["energised_w"].get(quarter, 0.0))
        if not energised and not (name in deployed and deployed[name][quarter]):
            continue
        racks = [f"{int(online[s].get(quarter, 0) or 0):,}" for s in systems]
        done = unit.text(float(deployed[name][quarter])) if name in deployed else "–"
        rows.append([quarter, unit.text(energised), done, *racks])
    heads = [
        "Quarter",
        f"Energised [{unit.name}]",
        f"Deployed to date [{unit.name}]",
        *(f"{view.label(s)} online" for s in systems),
    ]
    count = len(systems)
    words = [
        f"The plan uses {count} {'kind' if count == 1 else 'kinds'} of system here."
        if count
        else "The plan deploys nothing here."
    ]
    return Section("plan", "The plan, quarter by quarter", words, tables=[Table("Power and racks", heads, rows)])
