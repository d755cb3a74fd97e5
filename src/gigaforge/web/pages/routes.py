"""Addresses of the pages that need no ledger: the plan, its sites, the performance explorer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from gigaforge.report.sections import Section
from gigaforge.web.pages.asking import Reader
from gigaforge.web.pages.explorer import Question, answered, choices
from gigaforge.web.pages.kept import Drawings
from gigaforge.web.pages.pictures import Picture
from gigaforge.web.pages.render import STATIC, asset, flowing, render
from gigaforge.web.pages.sites import Sites
from gigaforge.web.pages.workplace import Workplace

__all__ = ["all_sites", "pages"]

_KEEP_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css", "js": "text/javascript"}
_NO_PLAN = "No plan is shown here. Make one with `gigaforge plan SCENARIO --out FOLDER` and start the page with --plan FOLDER."


def pages(work: Workplace) -> APIRouter:
    """The routes, for one workplace."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            raise HTTPException(404, "there is no such file")
        kind = _TYPES[name.rpartition(".")[2]]
        return PlainTextResponse(asset(name)[0], media_type=kind, headers={"Cache-Control": _KEEP_FOREVER})

    if work.ledger is None:

        @router.get("/")
        def first(who: Reader) -> Response:
            del who
            return RedirectResponse(work.first, 303)

    @router.get("/plan")
    def plan(request: Request, who: Reader) -> Response:
        del who
        if work.shelf is None:
            raise HTTPException(404, _NO_PLAN)
        shelved = work.shelf.current()
        made = shelved.page
        frame = work.frame(request, "plan", made.headline, name=made.name, span=made.span, source=made.footer)
        shown = [s for s in made.sections if not s.empty]
        figures = [f for s in shown for f in s.figures]
        drawn = Drawings(
            {f.name: partial(shelved.picture, f) for f in figures}, ready=all(map(shelved.drawn, figures))
        )
        return flowing("sections.html.j2", drawn, page=frame, tiles=made.tiles, sections=shown)

    @router.get("/sites")
    def sites(request: Request, who: Reader) -> Response:
        del who
        found, overall = all_sites(work)
        return _site_page(work, request, found, found.headline(), [overall])

    @router.get("/sites/{name}")
    def site(request: Request, who: Reader, name: str) -> Response:
        del who
        found = _sites(work)
        if name not in found.names:
            raise HTTPException(404, f"neither plan nor record has a site {name[:80]!r}")
        return _site_page(work, request, found, found.label(name), found.one(name))

    @router.get("/performance")
    def performance(request: Request, who: Reader) -> str:
        del who
        question = Question.read(request.query_params)
        told = answered(question, work.catalog)
        frame = work.frame(request, "performance", told.headline, name="Performance", span=told.note)
        drawn = {f.name: work.picture(f, question) for f in told.figures}
        return render("performance.html.j2", page=frame, form=question, wrong=told.wrong, answer=None if told.wrong else told,
                      drawn=drawn, **choices(work.catalog))  # fmt: skip

    return router


def all_sites(work: Workplace) -> tuple[Sites, Section]:
    """The sites and what their page shows, made once for each plan and head of the ledger."""
    found = _sites(work)
    overall: Section = work.kept((*found.key, "all"), found.overall)
    return found, overall


def _sites(work: Workplace) -> Sites:
    state = work.ledger.state() if work.ledger is not None else None
    if work.shelf is None and state is None:
        raise HTTPException(404, _NO_PLAN)
    return Sites(work.shelf.current() if work.shelf else None, state, state.in_force() if state else None)


def _site_page(work: Workplace, request: Request, found: Sites, headline: str, sections: list[Section]) -> Response:
    frame = work.frame(request, "sites", headline, name="Sites", state=found.state)
    planned = found.shelved.figures if found.shelved else {}
    about = found.terms.commitment_w if found.terms else 0
    draw: dict[str, Callable[[], Picture]] = {}
    ready = True
    for figure in [f for section in sections for f in section.figures]:
        if found.shelved is not None and figure is planned.get(figure.name):
            draw[figure.name] = partial(found.shelved.picture, figure)
            ready = ready and found.shelved.drawn(figure)
        else:
            draw[figure.name] = partial(work.picture, figure, about)
            ready = ready and work.drawn(figure, about)
    return flowing("sections.html.j2", Drawings(draw, ready=ready), page=frame, tiles=[], sections=sections)
