"""The first page: what stands against the promise and the plan, what comes next, what is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gigaforge.ledger.attention import Notice, notices
from gigaforge.ledger.investment import claim_words, held_back, nothing_claimed, to_claim
from gigaforge.ledger.racks import ACCEPTED, DELIVERED, DOUBTFUL, ENERGISED, FAILED, INSTALLED
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import MilestoneTerm, Terms
from gigaforge.quarters import Quarter, quarter_range
from gigaforge.report.figures import Figure
from gigaforge.report.progress_figures import against_plan, progress_figure
from gigaforge.report.story import money, power
from gigaforge.report.view import PlanView
from gigaforge.units import format_at_least

__all__ = ["Overview", "Tile", "accepted_by_quarter", "accepted_by_site", "overview", "waiting_claims"]

_ON_THE_WAY = (ENERGISED, INSTALLED, DELIVERED, DOUBTFUL, FAILED)
_WORDS = {
    ENERGISED: "under power, not yet tested", INSTALLED: "installed, without power", DELIVERED: "delivered, not installed",
    DOUBTFUL: "with a doubtful test", FAILED: "with a failed test",
}  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """A figure that leads to what is behind it."""

    name: str
    value: str
    note: str
    address: str


@dataclass(frozen=True)
class Overview:
    """The overview's content.

    Attributes
    ----------
    headline : str
    tiles : list of Tile
    share, planned_share : float
        Of the commitment: accepted, and planned by now. [fraction]
    figure : Figure
    next_step : str
        What the next milestone still lacks.
    lacks : list of (str, str)
        Racks on the way there, by how far they are, and the address of each list.
    waiting : list of (str, str)
        What waits for somebody, and the address where it can be done.
    look : list of (str, str)
        What in the record deserves a look, and the address of what it rests on.

    """

    headline: str
    tiles: list[Tile]
    share: float
    planned_share: float | None
    figure: Figure
    next_step: str = ""
    lacks: list[tuple[str, str]] = field(default_factory=list)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    look: list[tuple[str, str]] = field(default_factory=list)


def accepted_by_quarter(state: State, until: Quarter) -> dict[str, float]:
    """Accepted power to date at the end of each quarter, from the first event to `until`. [W]"""
    if not state.cells:
        return {}
    first = min(Quarter.parse(q) for q in state.cells)
    total, out = 0.0, {}
    for quarter in quarter_range(first, max(until, first)):
        sites = state.cells.get(str(quarter), {})
        total += sum(cell.get("accepted_w", 0) for systems in sites.values() for cell in systems.values())
        out[str(quarter)] = total
    return out


def accepted_by_site(state: State) -> dict[str, float]:
    """Accepted power to date of each site. [W]"""
    out: dict[str, float] = {}
    for sites in state.cells.values():
        for site, systems in sites.items():
            out[site] = out.get(site, 0.0) + sum(cell.get("accepted_w", 0) for cell in systems.values())
    return out


def overview(
    state: State, terms: Terms, now: Quarter, plan: PlanView | None, replanned_w: Mapping[str, float] | None = None
) -> Overview:
    """What a board asks first.

    Parameters
    ----------
    state : State
        At the ledger's head.
    terms : Terms
        In force.
    now : Quarter
        Today's.
    plan : PlanView, optional
    replanned_w : mapping, optional
        Quarter to power deployed by then, as planned anew from what was recorded. [W]

    """
    accepted = accepted_by_quarter(state, now)
    planned = _deployed(plan)
    quarters = plan.quarters if plan is not None else list(accepted) or [str(now)]
    quarters = sorted({*quarters, *accepted, *(replanned_w or {})}, key=Quarter.parse)
    figure = progress_figure(quarters, accepted, planned, float(terms.commitment_w), replanned_w)
    share = state.accepted_w / terms.commitment_w
    target = planned.get(str(now))
    return Overview(
        headline=f"{power(state.accepted_w)} of {power(terms.commitment_w)} accepted",
        tiles=[_accepted_tile(state, now, target), _milestone_tile(state, terms), *_money_tiles(state, terms)],
        share=share,
        planned_share=None if target is None else target / terms.commitment_w,
        figure=figure,
        next_step=_next_step(state, terms),
        lacks=_lacks(state, terms),
        waiting=_waiting(state, terms),
        look=[(n.words[:1].upper() + n.words[1:], _behind(n)) for n in notices(state)],
    )


def _behind(notice: Notice) -> str:
    """The address of what a notice rests on."""
    if notice.claim:
        return f"/tranches#claim-{notice.claim}"
    return f"/events/{notice.events[0]}" if notice.events else f"/racks?site={notice.site}&status={ACCEPTED}"


def _deployed(plan: PlanView | None) -> dict[str, float]:
    return {} if plan is None else dict(zip(plan.quarters, map(float, plan.series("deployed_w")), strict=True))


def _accepted_tile(state: State, now: Quarter, target: float | None) -> Tile:
    note = "from acceptance tests"
    if target is not None:
        note = f"{against_plan(state.accepted_w, target)} for {now}"
    return Tile("Accepted", power(state.accepted_w), note, "/events?kind=acceptance")


def _milestone_tile(state: State, terms: Terms) -> Tile:
    mark = _next_milestone(state, terms)
    if mark is None:
        return Tile("Next milestone", "all reached", "", "/deployments")
    lacking = format_at_least(mark.power_w - state.accepted_w, "power")
    return Tile("Next milestone", power(mark.power_w), f"by {mark.by}; {lacking} to go", "/deployments")


def _next_milestone(state: State, terms: Terms) -> MilestoneTerm | None:
    ahead = [m for m in terms.milestones if m.power_w > state.accepted_w]
    return min(ahead, key=lambda m: (m.power_w, m.by)) if ahead else None


def _next_step(state: State, terms: Terms) -> str:
    mark = _next_milestone(state, terms)
    said = "Every milestone of the terms is reached."
    if mark is not None:
        lacking = format_at_least(mark.power_w - state.accepted_w, "power")
        said = f"{lacking} more must be accepted by {mark.by} for the milestone of {power(mark.power_w)}."
    number = next((n for n in range(1, terms.tranches + 1) if state.live_claim(n) is None), None)
    if number is None:
        return f"{said} Every tranche is claimed."
    if why := nothing_claimed(state):
        return f"{said} {why[:1].upper()}{why[1:]}."
    short = to_claim(state, terms, number) - max(state.accepted_w - state.claimed_w, 0)
    amount = money(terms.amount_cents / 100)
    return said + (
        f" {claim_words(short).replace('one', 'One')} more lets tranche {number}, {amount}, be claimed."
        if short > 0
        else f" Tranche {number}, {amount}, can be claimed {'with racks that nobody disputes' if state.disputes else 'now'}."
    )


def _money_tiles(state: State, terms: Terms) -> list[Tile]:
    released, ceiling = (state.released_cents + terms.upfront_cents) / 100, terms.ceiling_cents / 100
    approved = [c for c in state.claims.values() if c["status"] == "approved"]
    due = [c for c in approved if not held_back(state, terms, c)]
    pending, held = waiting_claims(state), len(approved) - len(due)
    note = f"{_count(len(due), 'tranche')} approved" if due else "nothing is approved and unpaid"
    if held:
        note = f"{_count(held, 'approved tranche')} held back" + (
            f"; {_count(len(due), 'tranche')} payable" if due else ""
        )
    if pending:
        note += f"; {_count(len(pending), 'claim')} waiting for approval"
    return [
        Tile("Released", money(released), f"of {money(ceiling)}", "/tranches"),
        Tile("Due", money(sum(c["amount_cents"] for c in due) / 100), note, "/tranches"),
    ]


def waiting_claims(state: State) -> list[dict[str, Any]]:
    """Claims on which somebody must still decide."""
    return [c for c in state.claims.values() if c["status"] == "pending"]


def _lacks(state: State, terms: Terms) -> list[tuple[str, str]]:
    """What stands between now and the next power: racks on the way, by how far they are."""
    out = []
    for status in _ON_THE_WAY:
        count, watts = 0, 0
        for site, systems in state.standing.items():
            for system, by_status in systems.items():
                racks = by_status.get(status, 0)
                count += racks
                watts += racks * _counted(terms, site, system)
        if count:
            out.append((f"{_count(count, 'rack')} {_WORDS[status]}: {power(watts)}", f"/racks?status={status}"))
    return out


def _counted(terms: Terms, site: str, system: str) -> int:
    found = terms.sites.get(site)
    return 0 if found is None else found.counted_w.get(system, 0)


def _waiting(state: State, terms: Terms) -> list[tuple[str, str]]:
    claims = [(_undecided(state, terms, c), c["seq"]) for c in waiting_claims(state)]
    claims += [
        (f"Tranche {c['tranche']} is approved and " + (f"held back: {why}" if (why := held_back(state, terms, c)) else
         f"waits for {_party(state, terms.investor)} to pay {money(c['amount_cents'] / 100)}"), c["seq"])
        for c in state.claims.values() if c["status"] == "approved"
    ]  # fmt: skip
    events = [
        (f"Terms of version {c['version']} wait for agreement", c["seq"])
        for c in state.commitments.values() if c["status"] == "pending"
    ]  # fmt: skip
    events += [
        (f"{_party(state, d['by']['party'])} disputes event {d['subject']}: {d['reason']}", int(number))
        for number, d in state.disputes.items()
    ]
    return [(text, f"/tranches#claim-{n}") for text, n in claims] + [(text, f"/events/{n}") for text, n in events]


def _undecided(state: State, terms: Terms, claim: Mapping[str, Any]) -> str:
    given = {a["party"] for a in claim["approvals"]}
    missing = " or ".join(_party(state, name) for name in terms.approvers if name not in given)
    more = _count(terms.approvals - len(given), "more approval")
    return f"Tranche {claim['tranche']}, {money(claim['amount_cents'] / 100)}, needs {more} ({missing})"


def _party(state: State, name: str) -> str:
    parties: Mapping[str, Mapping[str, Any]] = state.parties
    return str(parties.get(name, {}).get("label") or name)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
