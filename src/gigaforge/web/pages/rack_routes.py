"""Addresses of the deployments: how many racks are how far, lists of them, and each one's history."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from gigaforge.ledger import Ledger
from gigaforge.report.ledger_words import event_line
from gigaforge.report.story import power
from gigaforge.web.pages.asking import Reader, or_404
from gigaforge.web.pages.record import racks_table, standing_table
from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Workplace

__all__ = ["rack_pages"]

_PAGE = 50


def rack_pages(work: Workplace, ledger: Ledger) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/deployments")
    def deployments(request: Request, who: Reader) -> str:
        del who
        state = ledger.state()
        tests = [event_line(e, state) for e in ledger.events(limit=12, kind="acceptance", newest=True)]
        frame = work.frame(request, "deployments", f"{power(state.accepted_w)} accepted to date", state=state)
        return render("deployments.html.j2", page=frame, table=standing_table(state, state.in_force()), tests=tests)

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
            site=site or None, system=system or None, status=status or None, claim=number or None, after=after,
            limit=_PAGE + 1,
        )  # fmt: skip
        words = [status.capitalize(), "racks", f"at {site}" if site else "", f"of claim {number}" if number else ""]
        headline = " ".join(filter(None, words))
        frame = work.frame(request, "deployments", headline[:1].upper() + headline[1:], state=state)
        shown = found[:_PAGE]
        latest = {seq: ledger.event(seq) for seq in sorted({r.last for r in shown if r.last})}
        more = urlencode({**asked, "claim": number or "", "after": shown[-1].rack}) if len(found) > _PAGE else ""
        return render("racks.html.j2", page=frame, table=racks_table(shown, latest, state.in_force()), more=more)

    @router.get("/racks/{name:path}")
    def rack(request: Request, who: Reader, name: str) -> str:
        del who
        state = ledger.state()
        found = or_404(lambda: ledger.rack(name.replace("\x00", "")[:100]))
        steps = {seq: ledger.event(seq) for seq in found.events}
        frame = work.frame(request, "deployments", f"{found.rack}: {found.status}", state=state)
        lines = [event_line(e, state) for e in steps.values()][::-1]
        return render("rack.html.j2", page=frame, table=racks_table([found], steps, state.in_force()), lines=lines)

    return router
