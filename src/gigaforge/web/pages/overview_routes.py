"""Address of the first page: what stands against promise and plan."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from gigaforge.ledger import Ledger, State, Terms
from gigaforge.ledger.access import Identity
from gigaforge.report.figures import Figure
from gigaforge.report.ledger_words import event_line
from gigaforge.web.jobs import Jobs
from gigaforge.web.pages.asking import Reader
from gigaforge.web.pages.kept import Drawings
from gigaforge.web.pages.overview import Overview, overview
from gigaforge.web.pages.render import flowing, render
from gigaforge.web.pages.sites import Sites
from gigaforge.web.pages.study_routes import REPLAN
from gigaforge.web.pages.workplace import Workplace

__all__ = ["overview_pages", "overview_parts"]


def overview_pages(work: Workplace, ledger: Ledger, jobs: Jobs) -> APIRouter:
    """The route, for one ledger."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def first(request: Request, who: Reader) -> Response:
        return _overview_page(work, ledger, jobs, request, who)

    return router


def _overview_page(work: Workplace, ledger: Ledger, jobs: Jobs, request: Request, who: Identity) -> Response:
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
        return HTMLResponse(render("beginning.html.j2", page=frame, waiting=waiting, latest=latest))
    anew = next((j for j in jobs.all(who.actor.party) if j.kind == REPLAN and j.result), None)
    view, where, drawn = overview_parts(
        work, state, terms, anew.result["deployed_w"] if anew and anew.result else None
    )
    frame = work.frame(request, "overview", view.headline, name=state.title, state=state)
    return flowing("overview.html.j2", drawn, page=frame, view=view, where=where, latest=latest, replanned=anew.id if anew else "",
                  can_replan=work.scenario is not None and who.may("compute"))  # fmt: skip


def overview_parts(
    work: Workplace, state: State, terms: Terms, replanned_w: dict[str, float] | None
) -> tuple[Overview, Figure | None, Drawings]:
    """The overview's content and its map, made once for each head of the ledger, and their drawings."""
    shelved = work.shelf.current() if work.shelf else None

    def make() -> tuple[Overview, Figure | None]:
        view = overview(state, terms, work.now, shelved.view if shelved else None, replanned_w)
        return view, Sites(shelved, state, terms).map()

    parts: tuple[Overview, Figure | None] = work.kept(
        ("overview", state.head, str(work.now), id(shelved), id(replanned_w)), make
    )
    view, where = parts
    figures = [view.figure, *([where] if where is not None else [])]
    ready = all(work.drawn(f, terms.commitment_w) for f in figures)
    return view, where, Drawings({f.name: partial(work.picture, f, terms.commitment_w) for f in figures}, ready=ready)
