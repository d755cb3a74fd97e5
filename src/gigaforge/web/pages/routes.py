"""Addresses of the pages that need no ledger: the plan, its sites, the performance explorer, the fleet."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from gigaforge.report.html import plan_page
from gigaforge.web.pages.explorer import Question, answer, choices
from gigaforge.web.pages.pictures import draw_picture
from gigaforge.web.pages.render import STATIC, asset, render
from gigaforge.web.pages.sites import site_section, sites_section
from gigaforge.web.pages.workplace import Workplace

__all__ = ["pages"]

_KEEP_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {"css": "text/css", "js": "text/javascript"}


def pages(work: Workplace) -> APIRouter:
    """The routes, for one workplace."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in STATIC:
            return PlainTextResponse("not found", 404)
        kind = _TYPES[name.rpartition(".")[2]]
        return PlainTextResponse(asset(name)[0], media_type=kind, headers={"Cache-Control": _KEEP_FOREVER})

    @router.get("/plan")
    def plan(request: Request) -> str:
        if work.shelf is None:
            return _nothing(
                work, request, "plan", "No plan yet", "Make one with: gigaforge plan scenarios/alliance-10gw.yaml"
            )
        shelved = work.shelf.current()
        made = plan_page(shelved.view)
        frame = work.frame(request, "plan", made.headline, name=made.name, span=made.span, source=made.footer)
        return render("sections.html.j2", page=frame, tiles=made.tiles, **_drawn(work, made.sections))

    @router.get("/sites")
    def sites(request: Request) -> str:
        if work.shelf is None:
            return _nothing(
                work, request, "sites", "No plan yet", "Make one with: gigaforge plan scenarios/alliance-10gw.yaml"
            )
        shelved = work.shelf.current()
        sections = [sites_section(shelved)]
        frame = work.frame(request, "sites", f"{len(shelved.view.used_sites)} sites carry the plan", name="Sites")
        return render("sections.html.j2", page=frame, tiles=[], **_drawn(work, sections))

    @router.get("/sites/{name}")
    def site(request: Request, name: str) -> Response:
        if work.shelf is None or name not in work.shelf.current().view.sites:
            return HTMLResponse(
                _nothing(work, request, "sites", "No such site", f"The plan has no site {name!r}."), 404
            )
        shelved = work.shelf.current()
        frame = work.frame(request, "sites", shelved.view.label(name), name="Sites")
        sections = site_section(shelved, name)
        return HTMLResponse(render("sections.html.j2", page=frame, tiles=[], **_drawn(work, sections)))

    @router.get("/performance")
    def performance(request: Request) -> str:
        question = Question.read(request.query_params)
        told = answer(question, work.catalog)
        frame = work.frame(request, "performance", told.headline, name="Performance", span=told.note)
        drawn = {f.name: draw_picture(f) for f in told.figures}
        return render("performance.html.j2", page=frame, form=question, wrong=told.wrong, answer=None if told.wrong else told,
                      drawn=drawn, **choices(work.catalog))  # fmt: skip

    return router


def _drawn(work: Workplace, sections: Any) -> dict[str, Any]:
    shown = [s for s in sections if not s.empty]
    assert work.shelf is not None
    current = work.shelf.current()
    return {"sections": shown, "drawn": {f.name: current.picture(f) for s in shown for f in s.figures}}


def _nothing(work: Workplace, request: Request, room: str, headline: str, text: str) -> str:
    return render("message.html.j2", page=work.frame(request, room, headline), text=text)
