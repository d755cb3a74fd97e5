"""Addresses of the pages about the record: overview, deployments, events, racks, evidence, tranches."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.errors import GigaforgeError
from gigaforge.ledger import Actor, Event, Evidence, Ledger, State, UnknownError, actions
from gigaforge.ledger.investment import terms_of
from gigaforge.quarters import Quarter
from gigaforge.report.story import money, power
from gigaforge.units import format_quantity
from gigaforge.web.pages.overview import overview
from gigaforge.web.pages.pictures import draw_picture
from gigaforge.web.pages.record import (
    KIND_WORDS,
    event_fields,
    event_line,
    racks_table,
    shown_evidence,
    standing_table,
)
from gigaforge.web.pages.render import render
from gigaforge.web.pages.tranches import tranche_lines
from gigaforge.web.pages.workplace import Workplace

__all__ = ["ledger_pages"]

_PAGE = 50


def ledger_pages(work: Workplace, ledger: Ledger) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/")
    def first(request: Request) -> str:
        state = ledger.state()
        terms = state.in_force()
        latest = [event_line(e, state) for e in ledger.events(limit=8, newest=True)]
        if terms is None:
            text = "No terms are in force yet: record a commitment and have every approver agree."
            return render(
                "message.html.j2",
                page=work.frame(request, "overview", "Nothing is promised yet", state=state),
                text=text,
            )
        day = work.today()
        now = Quarter.parse(f"{day.year}-Q{(day.month + 2) // 3}")
        view = overview(state, terms, now, work.shelf.current().view if work.shelf else None)
        frame = work.frame(request, "overview", view.headline, name=state.title, state=state)
        return render("overview.html.j2", page=frame, view=view, drawn=draw_picture(view.figure), latest=latest)

    @router.get("/deployments")
    def deployments(request: Request) -> str:
        state = ledger.state()
        tests = [event_line(e, state) for e in ledger.events(limit=12, kind="acceptance", newest=True)]
        frame = work.frame(request, "deployments", f"{power(state.accepted_w)} accepted", state=state)
        return render("deployments.html.j2", page=frame, table=standing_table(state, state.in_force()), tests=tests)

    @router.get("/events")
    def events(request: Request, kind: str = "", party: str = "", before: int = 0) -> str:
        state = ledger.state()
        kind = kind if kind in KIND_WORDS else ""
        found = ledger.events(
            after=max(before, 0), limit=_PAGE + 1, kind=kind or None, party=party or None, newest=True
        )
        lines = [event_line(e, state) for e in found[:_PAGE]]
        frame = work.frame(request, "deployments", KIND_WORDS[kind] + "s" if kind else "All events", state=state)
        parties = [(name, str(p.get("label") or name)) for name, p in state.parties.items()]
        more = found[_PAGE - 1].seq if len(found) > _PAGE else 0
        return render(
            "events.html.j2",
            page=frame,
            lines=lines,
            kinds=KIND_WORDS,
            kind=kind,
            party=party,
            parties=parties,
            before=more,
        )

    @router.get("/events/{seq}")
    def event(request: Request, seq: int) -> str:
        state = ledger.state()
        found = _or_404(lambda: ledger.event(seq))
        line = event_line(found, state)
        named = {found.data.get(k) for k in ("subject", "claim", "corrects")} | {state.voided.get(str(seq))}
        related = [event_line(ledger.event(n), state) for n in sorted(n for n in named if isinstance(n, int))]
        frame = work.frame(request, "deployments", line.what, state=state)
        return render("event.html.j2", page=frame, line=line, fields=event_fields(found), event_hash=found.hash,
                      previous=found.previous, recorded_at=found.recorded_at[:19].replace("T", " ") + " UTC", related=related)  # fmt: skip

    @router.get("/racks")
    def racks(
        request: Request, site: str = "", system: str = "", status: str = "", claim: int = 0, after: str = ""
    ) -> str:
        state = ledger.state()
        found = ledger.racks(site=site or None, system=system or None, status=status or None, claim=claim or None, after=after,
                             limit=_PAGE + 1)  # fmt: skip
        headline = " ".join(
            filter(
                None,
                [status.capitalize(), "racks", f"at {site}" if site else "", f"of claim {claim}" if claim else ""],
            )
        )
        frame = work.frame(request, "deployments", headline[:1].upper() + headline[1:], state=state)
        query = urlencode({"site": site, "system": system, "status": status, "claim": claim})
        more = found[_PAGE - 1].rack if len(found) > _PAGE else ""
        return render("racks.html.j2", page=frame, table=racks_table(found[:_PAGE]), query=query, after=more)

    @router.get("/racks/{name}")
    def rack(request: Request, name: str) -> str:
        state = ledger.state()
        found = _or_404(lambda: ledger.rack(name))
        lines = [event_line(ledger.event(step[0]), state) for step in found.history]
        frame = work.frame(request, "deployments", f"{found.rack}: {found.status}", state=state)
        return render("rack.html.j2", page=frame, table=racks_table([found]), lines=lines[::-1])

    @router.get("/events/{seq}/evidence/{digest}")
    def evidence(request: Request, seq: int, digest: str) -> str:
        state = ledger.state()
        item, content = _evidence(ledger, seq, digest)
        frame = work.frame(request, "deployments", item.name, state=state)
        return render("evidence.html.j2", page=frame, seq=seq, digest=digest, size=format_quantity(len(content), "data"),
                      text=shown_evidence(content, item.media_type))  # fmt: skip

    @router.get("/events/{seq}/evidence/{digest}/file")
    def evidence_file(seq: int, digest: str) -> Response:
        item, content = _evidence(ledger, seq, digest)
        safe = (
            "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in item.name)[:120] or digest[:16]
        )
        headers = {"Content-Disposition": f'attachment; filename="{safe}"', "X-Content-Type-Options": "nosniff"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    @router.get("/tranches")
    def tranches(request: Request, said: str = "") -> str:
        return _tranches(work, ledger, request, said, "good" if said else "")

    @router.post("/tranches/{act}")
    def decide(
        request: Request,
        act: str,
        tranche: Annotated[int, Form()],
        claim: Annotated[int, Form()] = 0,
        text: Annotated[str, Form(max_length=2000)] = "",
        key: Annotated[str, Form(max_length=128)] = "",
    ) -> Response:
        visitor = work.visitor(request)
        if not visitor.signed_in:
            return RedirectResponse("/login", 303)
        try:
            actor = Actor(visitor.party, visitor.person)
            draft = {
                "claim": lambda: actions.claim(ledger, actor, tranche, key=key),
                "approve": lambda: actions.approval(ledger, actor, claim, "approve", note=text, key=key),
                "reject": lambda: actions.approval(ledger, actor, claim, "reject", note=text, key=key),
                "release": lambda: actions.release(ledger, actor, claim, text, key=key),
            }.get(act)
            if draft is None:
                raise HTTPException(404)
            ledger.append(draft())
        except GigaforgeError as problem:
            return HTMLResponse(_tranches(work, ledger, request, f"Not recorded: {problem}", "bad"), 409)
        words = {"claim": "claimed", "approve": "approved", "reject": "rejected", "release": "paid"}[act]
        return RedirectResponse(f"/tranches?{urlencode({'said': f'Tranche {tranche} {words}.'})}", 303)

    return router


def _or_404(read: Any) -> Any:
    try:
        return read()
    except (UnknownError, GigaforgeError) as problem:
        raise HTTPException(404, str(problem)) from None


def _evidence(ledger: Ledger, seq: int, digest: str) -> tuple[Evidence, bytes]:
    """A file as an event names it, with its content, which is hashed again on the way."""
    event: Event = _or_404(lambda: ledger.event(seq))
    item = next((Evidence(**e) for e in event.parts.get("evidence", []) if e["sha256"] == digest), None)
    if item is None:
        raise HTTPException(404, f"event {seq} has no such evidence")
    return item, _or_404(lambda: ledger.evidence(digest))


def _tranches(work: Workplace, ledger: Ledger, request: Request, message: str, kind: Any) -> str:
    state: State = ledger.state()
    try:
        terms = terms_of(state)
    except GigaforgeError as problem:
        return render(
            "message.html.j2", page=work.frame(request, "tranches", "No tranches yet", state=state), text=str(problem)
        )
    visitor = work.visitor(request)
    lines = tranche_lines(state, terms, visitor.party, visitor.person, visitor.roles)
    released = (state.released_cents + terms.upfront_cents) / 100
    span = f"{money(terms.amount_cents / 100)} for each {power(terms.per_w)} accepted, {terms.approvals} approvals of different parties"
    frame = work.frame(request, "tranches", f"{money(released)} of {money(terms.ceiling_cents / 100)} released", span=span, state=state,
                       message=message, message_kind=kind)  # fmt: skip
    return render("tranches.html.j2", page=frame, lines=lines, signed=terms.signed)
