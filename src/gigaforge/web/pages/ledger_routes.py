"""Addresses of the pages about the record: overview, deployments, events, racks, evidence."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from gigaforge.ledger import Event, Evidence, Ledger, State, Terms
from gigaforge.ledger.access import Identity, log_read
from gigaforge.report.figures import Figure
from gigaforge.report.ledger_words import KIND_WORDS, event_facts, event_line
from gigaforge.report.story import power
from gigaforge.units import format_quantity
from gigaforge.web.jobs import Jobs
from gigaforge.web.pages.asking import EvidenceReader, Reader, or_404
from gigaforge.web.pages.decisions import decision_pages
from gigaforge.web.pages.disputes import dispute_act, objections
from gigaforge.web.pages.overview import Overview, overview
from gigaforge.web.pages.pictures import Picture
from gigaforge.web.pages.record import racks_table, shown_evidence, standing_table
from gigaforge.web.pages.render import render
from gigaforge.web.pages.sites import Sites
from gigaforge.web.pages.statements import statement_pages
from gigaforge.web.pages.study_routes import REPLAN
from gigaforge.web.pages.tranches import agreement_acts
from gigaforge.web.pages.workplace import Workplace

__all__ = ["ledger_pages", "overview_parts"]

_PAGE = 50
_NUMBER = 2**53


def ledger_pages(work: Workplace, ledger: Ledger, jobs: Jobs) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    router.include_router(decision_pages(work, ledger))
    router.include_router(statement_pages(work, ledger))

    @router.get("/")
    def first(request: Request, who: Reader) -> str:
        return _overview_page(work, ledger, jobs, request, who)

    @router.get("/deployments")
    def deployments(request: Request, who: Reader) -> str:
        del who
        state = ledger.state()
        tests = [event_line(e, state) for e in ledger.events(limit=12, kind="acceptance", newest=True)]
        frame = work.frame(request, "deployments", f"{power(state.accepted_w)} accepted to date", state=state)
        return render("deployments.html.j2", page=frame, table=standing_table(state, state.in_force()), tests=tests)

    @router.get("/events")
    def events(request: Request, who: Reader, kind: str = "", party: str = "", before: str = "") -> str:
        del who
        state = ledger.state()
        kind = kind if kind in KIND_WORDS else ""
        party = party if party in state.parties else ""
        number = min(int(before), _NUMBER) if before.isascii() and before.isdigit() and len(before) < 20 else 0
        found = ledger.events(after=number, limit=_PAGE + 1, kind=kind or None, party=party or None, newest=True)
        lines = [event_line(e, state) for e in found[:_PAGE]]
        frame = work.frame(request, "deployments", _title(kind), state=state)
        parties = [(name, str(p.get("label") or name)) for name, p in state.parties.items()]
        more = urlencode({"kind": kind, "party": party, "before": found[_PAGE - 1].seq}) if len(found) > _PAGE else ""
        return render("events.html.j2", page=frame, lines=lines, kinds=KIND_WORDS, kind=kind, party=party, parties=parties,
                      more=more)  # fmt: skip

    @router.get("/events/{seq}")
    def event(request: Request, who: Reader, seq: int) -> str:
        state = ledger.state()
        found: Event = or_404(lambda: ledger.event(min(seq, _NUMBER)))
        line = event_line(found, state)
        named = {found.data.get(k) for k in ("subject", "claim", "corrects")} | {state.voided.get(str(seq))}
        related = [event_line(ledger.event(n), state) for n in sorted(n for n in named if isinstance(n, int))]
        pending = state.commitments.get(str(seq), {})
        acts = agreement_acts(pending, state, who) if pending.get("status") == "pending" else []
        frame = work.frame(request, "deployments", line.what, state=state)
        system = ledger.rack(found.data["racks"][0]).system if found.kind == "acceptance" else ""
        return render("event.html.j2", page=frame, line=line, fields=event_facts(found, state, system), event_hash=found.hash, acts=acts,
                      objections=objections(found, state, who), dispute=dispute_act(found, state, who), previous=found.previous, recorded_at=found.recorded_at[:19].replace("T", " ") + " UTC", related=related,
                      may_read=who.may("read-evidence"))  # fmt: skip

    @router.get("/racks")
    def racks(
        request: Request, who: Reader, site: str = "", system: str = "", status: str = "", claim: str = "", after: str = ""
    ) -> str:  # fmt: skip
        del who
        state = ledger.state()
        number = int(claim) if claim.isascii() and claim.isdigit() and len(claim) < 16 else 0
        asked = {"site": site, "system": system, "status": status}
        if any("\x00" in text or len(text) > 100 for text in (*asked.values(), after)):
            raise HTTPException(422, "a name is too long or holds a zero byte")
        found = ledger.racks(
            **{k: v or None for k, v in asked.items()}, claim=number or None, after=after, limit=_PAGE + 1
        )
        words = [status.capitalize(), "racks", f"at {site}" if site else "", f"of claim {number}" if number else ""]
        headline = " ".join(filter(None, words))
        frame = work.frame(request, "deployments", headline[:1].upper() + headline[1:], state=state)
        shown = found[:_PAGE]
        latest = {seq: ledger.event(seq) for seq in sorted({r.last for r in shown if r.last})}
        more = urlencode({**asked, "claim": number or "", "after": shown[-1].rack}) if len(found) > _PAGE else ""
        return render("racks.html.j2", page=frame, table=racks_table(shown, latest), more=more)

    @router.get("/racks/{name:path}")
    def rack(request: Request, who: Reader, name: str) -> str:
        del who
        state = ledger.state()
        found = or_404(lambda: ledger.rack(name.replace("\x00", "")[:100]))
        steps = {seq: ledger.event(seq) for seq in found.events}
        frame = work.frame(request, "deployments", f"{found.rack}: {found.status}", state=state)
        lines = [event_line(e, state) for e in steps.values()][::-1]
        return render("rack.html.j2", page=frame, table=racks_table([found], steps), lines=lines)

    @router.get("/events/{seq}/evidence/{digest}")
    def evidence(request: Request, who: EvidenceReader, seq: int, digest: str) -> str:
        state = ledger.state()
        item, content = _evidence(ledger, who, seq, digest)
        frame = work.frame(request, "deployments", item.name, state=state)
        return render("evidence.html.j2", page=frame, seq=seq, digest=item.sha256, size=format_quantity(len(content), "data"),
                      line=event_line(ledger.event(seq), state), text=shown_evidence(content, item.media_type))  # fmt: skip

    @router.get("/events/{seq}/evidence/{digest}/file")
    def evidence_file(who: EvidenceReader, seq: int, digest: str) -> Response:
        item, content = _evidence(ledger, who, seq, digest)
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in item.name)[:120]
        # Never shown by the browser as a page: it is a stranger's file.
        headers = {
            "Content-Disposition": f'attachment; filename="{safe or digest[:16]}"',
            "Content-Security-Policy": "sandbox",
        }
        return Response(content, media_type="application/octet-stream", headers=headers)

    return router


def _title(kind: str) -> str:
    return "All events" if not kind else KIND_WORDS[kind] + ("" if KIND_WORDS[kind].endswith("s") else "s")


def _overview_page(work: Workplace, ledger: Ledger, jobs: Jobs, request: Request, who: Identity) -> str:
    state = ledger.state()
    terms = state.in_force()
    latest = [event_line(e, state) for e in ledger.events(limit=8, newest=True)]
    if terms is None:
        frame = work.frame(request, "overview", "Nothing is promised yet", name=state.title, state=state)
        waiting = [
            (f"Terms of version {c['version']} wait for agreement", f"/events/{c['seq']}")
            for c in state.commitments.values()
            if c["status"] == "pending"
        ]
        return render("beginning.html.j2", page=frame, waiting=waiting, latest=latest)
    anew = next((j for j in jobs.all(who.actor.party) if j.kind == REPLAN and j.result), None)
    view, where, drawn = overview_parts(
        work, state, terms, anew.result["deployed_w"] if anew and anew.result else None
    )
    frame = work.frame(request, "overview", view.headline, name=state.title, state=state)
    return render("overview.html.j2", page=frame, view=view, where=where, drawn=drawn, latest=latest, replanned=anew.id if anew else "",
                  can_replan=work.scenario is not None and who.may("compute"))  # fmt: skip


def overview_parts(
    work: Workplace, state: State, terms: Terms, replanned_w: dict[str, float] | None
) -> tuple[Overview, Figure | None, dict[str, Picture]]:
    """The overview's content, its map, and both drawings; made once for each head of the ledger."""
    shelved = work.shelf.current() if work.shelf else None

    def make() -> tuple[Overview, Figure | None, dict[str, Picture]]:
        view = overview(state, terms, work.now, shelved.view if shelved else None, replanned_w)
        where = Sites(shelved, state, terms).map()
        drawn = {f.name: work.picture(f, terms.commitment_w) for f in (view.figure, where) if f is not None}
        return view, where, drawn

    parts: tuple[Overview, Figure | None, dict[str, Picture]] = work.kept(
        ("overview", state.head, str(work.now), id(shelved), id(replanned_w)), make
    )
    return parts


def _evidence(ledger: Ledger, who: Identity, seq: int, digest: str) -> tuple[Evidence, bytes]:
    """A file as an event names it, with its content, which is hashed again on the way; the read is noted."""
    event: Event = or_404(lambda: ledger.event(min(seq, _NUMBER)))
    item = next((Evidence(**e) for e in event.parts.get("evidence", []) if e["sha256"] == digest), None)
    if item is None:
        raise HTTPException(404, f"event {seq} has no such evidence")
    content: bytes = or_404(lambda: ledger.evidence(digest))
    log_read(ledger.engine, who.actor, f"evidence {digest}")
    return item, content
