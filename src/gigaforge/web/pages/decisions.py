"""Addresses where people decide: tranches claimed, approved, rejected and paid; terms agreed; events disputed and settled."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.errors import GigaforgeError
from gigaforge.ledger import Draft, Ledger, State, Terms, actions
from gigaforge.ledger.access import Identity
from gigaforge.ledger.investment import terms_of
from gigaforge.report.ledger_words import EventLine, event_line
from gigaforge.report.report_tables import Cell, Table
from gigaforge.report.story import money, power
from gigaforge.web.pages.asking import Approver, Reader, or_404
from gigaforge.web.pages.render import render
from gigaforge.web.pages.tranches import TrancheLine, shares, tranche_lines
from gigaforge.web.pages.workplace import Workplace
from gigaforge.web.problems import ProblemError
from gigaforge.web.security import identity

__all__ = ["decision_pages"]

_AHEAD = 40
"""Tranches ahead that are listed."""
_ACT = {"release": "record a payment"}
_NEEDED = {"claim": "claim", "approve": "approve", "reject": "approve", "release": "approve"}
_DONE = {"claim": "claimed", "approve": "approved", "reject": "rejected", "release": "recorded as paid"}
Number = Annotated[int, Form(ge=0, lt=2**53)]
Text = Annotated[str, Form(max_length=2000)]
Key = Annotated[str, Form(pattern=r"^[\x21-\x7e]{0,128}$")]


def decision_pages(work: Workplace, ledger: Ledger) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/tranches")
    def tranches(request: Request, who: Reader, done: str = "", tranche: int = 0) -> str:
        said = f"Tranche {tranche} is {_DONE[done]}." if done in _DONE else ""
        return _tranches(work, ledger, request, who, said, "good" if said else "")

    @router.post("/tranches/{act}")
    def decide(
        request: Request, act: str, tranche: Number, claim: Number = 0, text: Text = "", key: Key = ""
    ) -> Response:  # fmt: skip
        who = identity(request)
        if act not in _NEEDED:
            raise HTTPException(404, "there is nothing to do at this address")
        if not who.may(_NEEDED[act]):
            raise ProblemError(403, "role", f"the role {who.role!r} may not {_ACT.get(act, act)}")
        try:
            if not key or ledger.find_key(who.actor.party, key) is None:  # else: sent twice, recorded once
                ledger.append(_draft(ledger, who, act, tranche, claim, text.strip(), key))
        except GigaforgeError as problem:
            return HTMLResponse(_tranches(work, ledger, request, who, f"Not recorded: {problem}", "bad"), 409)
        return RedirectResponse(f"/tranches?{urlencode({'done': act, 'tranche': tranche})}", 303)

    @router.post("/events/{seq}/{act}")
    def agree(
        who: Approver, seq: int, act: Literal["approve", "reject", "dispute", "settle"], text: Text = "", key: Key = ""
    ) -> Response:  # fmt: skip
        if not key or ledger.find_key(who.actor.party, key) is None:
            or_404(lambda: ledger.event(min(seq, 2**53)))
            ledger.append(_about(ledger, who, act, seq, text.strip(), key))
        return RedirectResponse(f"/events/{seq}", 303)

    return router


def _about(ledger: Ledger, who: Identity, act: str, seq: int, text: str, key: str) -> Draft:
    """A decision on terms, or an objection to any event and its end."""
    if act in ("approve", "reject"):
        return actions.approval(ledger, who.actor, seq, act, note=text, key=key)
    return actions.dispute(who.actor, seq, text, "opened" if act == "dispute" else "settled", key=key)


def _draft(ledger: Ledger, who: Identity, act: str, tranche: int, claim: int, text: str, key: str) -> Draft:
    if act == "claim":
        return actions.claim(ledger, who.actor, tranche, key=key)
    if act == "release":
        return actions.release(ledger, who.actor, claim, text, key=key)
    return actions.approval(ledger, who.actor, claim, act, note=text, key=key)


def _tranches(work: Workplace, ledger: Ledger, request: Request, who: Identity, message: str, kind: Any) -> str:
    state = ledger.state()
    try:
        terms = terms_of(state)
    except GigaforgeError as problem:
        frame = work.frame(request, "tranches", "No tranches yet", state=state)
        return render("message.html.j2", page=frame, text=str(problem), reasons=[], status=200)
    released = (state.released_cents + terms.upfront_cents) / 100
    span = f"{money(terms.amount_cents / 100)} for each {power(terms.per_w)} accepted, {terms.approvals} approvals of different parties"
    frame = work.frame(request, "tranches", f"{money(released)} of {money(terms.ceiling_cents / 100)} released", span=span, state=state,
                       message=message, message_kind=kind)  # fmt: skip
    lines = tranche_lines(state, terms, who)
    return render("tranches.html.j2", page=frame, lines=[line for line in lines if line.claim or line.acts], signed=state.asked_signatures(),
                  bar=shares(state, terms), left=_left(terms), ahead=_ahead(work, [line for line in lines if not line.claim and not line.acts]),
                  rejected=_rejected(ledger, state), may_read=who.may("read-evidence"))  # fmt: skip


def _rejected(ledger: Ledger, state: State) -> list[EventLine]:
    """Claims that somebody said no to, and who; their racks are free again. The latest come first."""
    found = [c for c in state.claims.values() if c["status"] == "rejected"]
    numbers = [seq for claim in reversed(found[-_AHEAD:]) for seq in (claim["seq"], claim["rejected"]["seq"])]
    return [event_line(ledger.event(seq), state) for seq in numbers]


def _left(terms: Terms) -> str:
    """What of the ceiling no tranche reaches."""
    cents = terms.ceiling_cents - terms.upfront_cents - terms.tranches * terms.amount_cents
    return (
        f"{money(cents / 100)} of the ceiling is less than a tranche, and these terms never release it."
        if cents
        else ""
    )


def _ahead(work: Workplace, lines: list[TrancheLine]) -> Table:
    """Tranches that nobody has claimed: what each needs and pays, and when the plan has it."""
    planned = {}
    if work.shelf is not None:
        table = work.shelf.current().view.table("tranches", "index", "released")
        planned = dict(zip(table["index"], table["released"], strict=True))
    rows: list[list[Cell]] = [
        [str(line.index), line.threshold, line.amount, line.lacking, str(planned.get(line.index) or "–")]
        for line in lines[:_AHEAD]
    ]
    if not planned:
        rows = [row[:-1] for row in rows]
    heads = ["Tranche", "Accepted power", "Pays", "Still to be accepted", "Planned for"]
    more = f"And {len(lines) - _AHEAD:,} more, the last at {lines[-1].threshold}." if len(lines) > _AHEAD else ""
    return Table("Ahead", heads[: len(rows[0]) if rows else 5], rows, note=more)
