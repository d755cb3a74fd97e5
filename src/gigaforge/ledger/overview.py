"""The state in people's terms: what stands, what is due, what the next tranche lacks. For terminal, API and page alike."""

from __future__ import annotations

from typing import Any, Final

from gigaforge.ledger.attention import agreed_words, energised_w, notices, shortfall_words
from gigaforge.ledger.investment import (
    Disputed,
    Shortfall,
    carried_w,
    claim_words,
    held_back,
    lacks_since_paid,
    needed_for,
    nothing_claimed,
    to_claim,
)
from gigaforge.ledger.objections import held_claims, objections, objections_to_all
from gigaforge.ledger.racks import IN_PLACE, Rack
from gigaforge.ledger.state import State
from gigaforge.ledger.terms import Terms
from gigaforge.quarters import Quarter
from gigaforge.units import format_at_most, format_quantity

__all__ = ["dispute_words", "overview", "rack_row", "standing_rows"]

_MEASURES: Final = ("delivered", "online", "accepted", "retired", "accepted_w")


def overview(state: State, disputed: Disputed | None = None) -> dict[str, Any]:
    """Everything that a page or a terminal shows about where things stand.

    Parameters
    ----------
    state : State
    disputed : Disputed, optional
        What the next claim cannot use because of disputes (`Ledger.disputed`).

    Returns
    -------
    dict
        ``ledger, title, events, head, recorded_at, terms, commitment_w, accepted_w, claimed_w, ceiling_usd, released_usd,
        due_usd, held_usd, next{tranche, needed_w, free_w, disputed_w, missing_w, words}, claims[], notices[], commitments[], disputes[],
        standing[], quarters[], energised_w{}, tests{}, parties{}, checkpoints{}, kinds{}``. Powers in W, money in USD.

    """
    terms = state.in_force()
    short = lacks_since_paid(state)
    claims = [
        _claim_row(state, c, terms, short.get(c["seq"]))
        for c in sorted(state.claims.values(), key=lambda c: c["seq"])
    ]
    return {
        "ledger": state.ledger,
        "title": state.title,
        "events": state.seq,
        "head": state.head,
        "recorded_at": state.recorded_at,
        "terms": None
        if terms is None
        else {
            "event": state.terms_seq,
            "version": terms.version,
            "scenario": terms.scenario,
            "agreed": agreed_words(state, state.terms_seq),
            "signed": state.asked_signatures(),
        },
        "basis": terms.basis if terms else None,
        "commitment_w": terms.commitment_w if terms else 0,
        "milestones": [m.model_dump() for m in terms.milestones] if terms else [],
        "accepted_w": state.accepted_w,
        "claimed_w": state.claimed_w,
        "ceiling_usd": terms.ceiling_cents / 100 if terms else 0.0,
        "released_usd": state.released_cents / 100,
        "due_usd": sum(c["amount_usd"] for c in claims if c["status"] == "approved" and not c["held_back"]),
        "held_usd": sum(c["amount_usd"] for c in claims if c["status"] == "approved" and c["held_back"]),
        "next": _next(state, terms, disputed or Disputed()),
        "claims": claims,
        "notices": [notice.__dict__ for notice in notices(state)],
        "commitments": [{n: v for n, v in c.items() if n != "terms"} for c in state.commitments.values()],
        "disputes": [
            {"seq": int(n), **d, "claims": held_claims(state, int(n)), "words": dispute_words(int(n), state)}
            for n, d in state.disputes.items()
        ],
        "standing": standing_rows(state),
        "quarters": _quarters(state),
        "energised_w": {site: watts for site, (watts, _) in energised_w(state).items()},
        "tests": {name: state.tests.get(name, 0) for name in ("pass", "doubtful", "fail")},
        "parties": {n: {"label": p["label"], "role": p["role"], "keys": p["keys"]} for n, p in state.parties.items()},
        "checkpoints": state.checkpoints,
        "kinds": state.kinds,
    }


def _claim_row(state: State, claim: dict[str, Any], terms: Terms | None, short: Shortfall | None) -> dict[str, Any]:
    by = ", ".join(f"{a['party']}/{a['person']}" for a in claim["approvals"])
    needed = terms.approvals if terms else 2
    disputes = objections(state, claim)
    words = {
        "pending": f"claimed, {len(claim['approvals'])} of {needed} approvals" + (f" ({by})" if by else ""),
        "approved": f"approved by {by}, waits to be released",
        "released": f"released on {claim.get('released_on', '')}",
        "rejected": "rejected",
    }[claim["status"]]
    held = held_back(state, terms, claim) if terms is not None and claim["status"] in ("pending", "approved") else ""
    if held and claim["status"] == "approved":
        words = words.replace("waits to be released", f"held back: {held}")
    elif disputes:
        words += f"; disputed (event {', '.join(map(str, disputes))})"
    if short is not None:
        words += f"; {shortfall_words(short)}"
    amount = format_quantity(claim["amount_cents"] / 100, "money")
    words = f"{amount} on {claim['racks']:,} rack{'' if claim['racks'] == 1 else 's'}, {format_at_most(carried_w(claim), 'power')}: {words}"
    return {
        **claim, "live_w": carried_w(claim), "disputes": disputes, "amount_usd": claim["amount_cents"] / 100, "words": words, "held_back": held,
        "lacks_w": 0 if short is None else short.watts,
    }  # fmt: skip


def dispute_words(seq: int, state: State) -> str:
    """Who disputes what by which event, why, and what that holds back."""
    dispute = state.disputes[str(seq)]
    by, claims = dispute["by"], held_claims(state, seq)
    held = ""
    if seq in objections_to_all(state):
        held = "; holds back every tranche that is not paid"
    elif claims and claims != [dispute["subject"]]:
        held = f"; holds back the claim of event {', '.join(map(str, claims))}"
    return (
        f"{by['party']}/{by['person']} disputes event {dispute['subject']} (event {seq}): {dispute['reason']}{held}"
    )


def _next(state: State, terms: Terms | None, disputed: Disputed) -> dict[str, Any] | None:
    """The next tranche to claim and what it lacks."""
    if terms is None:
        return None
    number = next((n for n in range(1, terms.tranches + 1) if state.live_claim(n) is None), None)
    if number is None:
        return None
    needed = needed_for(state, terms, number)
    free = max(state.accepted_w - state.claimed_w - disputed.watts, 0)
    missing = max(to_claim(state, terms, number) - free, 0)
    said = f"{claim_words(missing)} more to be accepted" if missing else "can be claimed"
    if missing and disputed.racks:
        said = f"{claim_words(missing)} more to be accepted or settled; {disputed.words()}"
    said = nothing_claimed(state) or said
    return {
        "tranche": number, "needed_w": needed, "free_w": free, "disputed_w": disputed.watts, "missing_w": missing,
        "words": f"tranche {number}, {format_quantity(terms.amount_cents / 100, 'money')}: {said}",
    }  # fmt: skip


def standing_rows(state: State) -> list[dict[str, Any]]:
    """Racks by site, system and status, with what they count."""
    rows = []
    for site, systems in sorted(state.standing.items()):
        for system, by_status in sorted(systems.items()):
            counted = sum(cells.get(site, {}).get(system, {}).get("accepted_w", 0) for cells in state.cells.values())
            rows.append(
                {
                    "site": site, "system": system, "accepted_w": counted,
                    "in_place": sum(by_status.get(s, 0) for s in IN_PLACE),
                    **{s: by_status.get(s, 0) for s in (*IN_PLACE, "retired")},
                }
            )  # fmt: skip
    return rows


def _quarters(state: State) -> list[dict[str, Any]]:
    """Sums by quarter, with accepted power accumulated."""
    rows, total = [], 0
    for quarter in sorted(state.cells):
        row: dict[str, Any] = {"quarter": quarter, **dict.fromkeys(_MEASURES, 0)}
        for systems in state.cells[quarter].values():
            for cell in systems.values():
                for measure in _MEASURES:
                    row[measure] += cell.get(measure, 0)
        total += row["accepted_w"]
        rows.append({**row, "deployed_w": total})
    return rows


def rack_row(rack: Rack, state: State) -> dict[str, Any]:
    """One rack as JSON output shows it, with all events about it and those that were taken back: event → its correction."""

    def quarter(index: int) -> str | None:
        return str(Quarter(index)) if index >= 0 else None

    return {
        "rack": rack.rack, "system": rack.system, "site": rack.site, "status": rack.status,
        "delivered": quarter(rack.delivered), "online": quarter(rack.online), "accepted": quarter(rack.accepted),
        "retired": quarter(rack.retired), "counted_w": rack.counted_w, "claim": rack.claim or None,
        "disputes": list(rack.disputes), "events": rack.events,
        "taken_back": {str(n): state.voided[str(n)] for n in rack.events if str(n) in state.voided},
    }  # fmt: skip
