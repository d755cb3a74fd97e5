"""Addresses of the events, one by one and in lists, and of the evidence behind them."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from gigaforge.ledger import Event, Evidence, Ledger
from gigaforge.ledger.access import Identity, log_read
from gigaforge.report.ledger_words import KIND_WORDS, event_facts, event_line
from gigaforge.units import format_quantity
from gigaforge.web.pages.asking import EvidenceReader, Reader, or_404
from gigaforge.web.pages.disputes import dispute_act, objections
from gigaforge.web.pages.record import shown_evidence
from gigaforge.web.pages.render import render
from gigaforge.web.pages.tranches import agreement_acts
from gigaforge.web.pages.workplace import Workplace

__all__ = ["event_pages"]

_PAGE = 50
_NUMBER = 2**53


def event_pages(work: Workplace, ledger: Ledger) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

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


def _evidence(ledger: Ledger, who: Identity, seq: int, digest: str) -> tuple[Evidence, bytes]:
    """A file as an event names it, with its content, which is hashed again on the way; the read is noted."""
    event: Event = or_404(lambda: ledger.event(min(seq, _NUMBER)))
    item = next((Evidence(**e) for e in event.parts.get("evidence", []) if e["sha256"] == digest), None)
    if item is None:
        raise HTTPException(404, f"event {seq} has no such evidence")
    content: bytes = or_404(lambda: ledger.evidence(digest))
    log_read(ledger.engine, who.actor, f"evidence {digest}")
    return item, content
