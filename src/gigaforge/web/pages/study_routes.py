"""Addresses of what takes a while: what-ifs, planning anew from the record, the fleet's simulation."""

from __future__ import annotations

from typing import Annotated, Any, Final

import pandas as pd
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.errors import GigaforgeError
from gigaforge.ledger import UnknownError
from gigaforge.ledger.access import Identity
from gigaforge.quarters import Quarter
from gigaforge.report.html import Page
from gigaforge.report.progress_figures import progress_figure
from gigaforge.report.report_tables import Cell, Table
from gigaforge.report.risk_figures import risk_page
from gigaforge.report.story import Headline, headlines
from gigaforge.units import format_at_most, format_quantity, percent
from gigaforge.web.jobs import Job, Jobs
from gigaforge.web.pages import studies
from gigaforge.web.pages.asking import Computer, Reader
from gigaforge.web.pages.fleet import FleetForm, fleet_tables, fleet_tiles
from gigaforge.web.pages.overview import accepted_by_quarter
from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Workplace

__all__ = ["REPLAN", "study_pages"]

REPLAN: Final = "replan"
"""Kind of the jobs that plan anew from the record."""
_WHAT_IF, _RISK, _FLEET = "what-if", "risk", "fleet"
_PLANS: Final = (_WHAT_IF, _RISK, REPLAN)
_FUTURES: Final = (16, 64, 256)
"""Futures of a risk study that the page offers."""
_MEASURES: Final = {
    "npv_usd": ("Net present value", "money"), "capex_usd": ("Capital expenditure", "money"), "opex_usd": ("Running costs", "money"),
    "revenue_usd": ("Revenue", "money"), "deployed_w": ("Power deployed", "power"), "tokens_served": ("Tokens served", "tokens"),
}  # fmt: skip
_OBJECTIVES: Final = [("", "the scenario's"), ("npv", "net present value"), ("tokens", "tokens served"), ("cost", "least cost"),
                      ("earliest", "earliest deployment")]  # fmt: skip


def study_pages(work: Workplace, jobs: Jobs) -> APIRouter:
    """The routes, for one workplace."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    if work.scenario is not None:
        _what_if_routes(router, work, jobs)
    if work.shelf is not None:
        _fleet_routes(router, work, jobs)
    return router


def _what_if_routes(router: APIRouter, work: Workplace, jobs: Jobs) -> None:
    @router.get("/what-if")
    def ask(request: Request, who: Reader) -> str:
        return _what_if_page(work, jobs, request, who)

    @router.post("/what-if")
    def start(
        request: Request, who: Computer, settings: Annotated[str, Form(max_length=8000)] = "",
        objective: Annotated[str, Form(max_length=20)] = "", futures: Annotated[str, Form(max_length=5)] = "",
    ) -> Response:  # fmt: skip
        asked = _request(work, [line.strip() for line in settings.splitlines() if line.strip()], objective)
        samples = next((n for n in _FUTURES if str(n) == futures), 0)
        try:
            studies.check(asked)
            kind, study = (_RISK, studies.risk) if samples else (_WHAT_IF, studies.what_if)
            job = jobs.submit(kind, who.actor, study, asked | {"samples": samples})
        except GigaforgeError as problem:
            page = _what_if_page(work, jobs, request, who, settings=settings, objective=objective, wrong=str(problem))
            return HTMLResponse(page, 422)
        return RedirectResponse(f"/what-if/{job.id}", 303)

    @router.post("/what-if/replan")
    def anew(request: Request, who: Computer) -> Response:
        if work.ledger is None:
            raise HTTPException(404, "there is no record to plan from")
        asked = _request(work, [], "") | {"ledger": work.ledger_address, "until": str(work.now + -1)}
        try:
            job = jobs.submit(REPLAN, who.actor, studies.replan, asked)
        except GigaforgeError as problem:
            return HTMLResponse(_what_if_page(work, jobs, request, who, wrong=str(problem)), 409)
        return RedirectResponse(f"/what-if/{job.id}", 303)

    @router.get("/what-if/{identifier}")
    def shown(request: Request, who: Computer, identifier: str) -> str:
        job = _job(jobs, identifier, who, _PLANS)
        if job.kind == _RISK and job.result is not None:
            return _risk_page(work, request, job)
        return _what_if_page(work, jobs, request, who, job)

    @router.post("/what-if/{identifier}/stop")
    def stop(who: Computer, identifier: str) -> Response:
        jobs.cancel(_job(jobs, identifier, who, _PLANS).id, who.actor.party)
        return RedirectResponse(f"/what-if/{identifier}", 303)


def _fleet_routes(router: APIRouter, work: Workplace, jobs: Jobs) -> None:
    @router.get("/fleet")
    def fleet(request: Request, who: Reader) -> str:
        last = next((j for j in jobs.all(who.actor.party) if j.kind == _FLEET), None) if who.may("compute") else None
        return _fleet_page(work, request, who, last)

    @router.post("/fleet")
    def operate(
        request: Request, who: Computer, years: Annotated[str, Form(max_length=20)] = "1",
        first: Annotated[str, Form(max_length=10)] = "", seed: Annotated[str, Form(max_length=20)] = "0",
    ) -> Response:  # fmt: skip
        assert work.shelf is not None
        form = FleetForm(years.strip(), first.strip(), seed.strip())
        try:
            asked = form.request(work.shelf.folder, work.shelf.current().view.quarters)
            jobs.submit(_FLEET, who.actor, studies.operate, asked)
        except GigaforgeError as problem:
            return HTMLResponse(_fleet_page(work, request, who, None, form, str(problem)), 422)
        return RedirectResponse("/fleet", 303)

    @router.post("/fleet/{identifier}/stop")
    def stop(who: Computer, identifier: str) -> Response:
        jobs.cancel(_job(jobs, identifier, who, (_FLEET,)).id, who.actor.party)
        return RedirectResponse("/fleet", 303)


def _job(jobs: Jobs, identifier: str, who: Identity, kinds: tuple[str, ...]) -> Job:
    try:
        job = jobs.get(identifier, who.actor.party)
    except UnknownError as problem:
        raise HTTPException(404, f"{problem}; the server forgets them when it stops") from None
    if job.kind not in kinds:
        raise HTTPException(404, "there is no such job here")
    return job


def _request(work: Workplace, settings: list[str], objective: str) -> dict[str, Any]:
    return {
        "scenario": str(work.scenario), "settings": settings, "objective": objective,
        "plan": str(work.shelf.folder) if work.shelf else "", "catalog": [str(c) for c in work.overlays],
    }  # fmt: skip


def _what_if_page(
    work: Workplace, jobs: Jobs, request: Request, who: Identity, job: Job | None = None, *, settings: str = "", objective: str = "",
    wrong: str = "",
) -> str:  # fmt: skip
    row = job.row() if job else None
    result = row["result"] if row else None
    headline = "What if the scenario were different?"
    values: dict[str, Any] = {"figure": None, "drawn": None, "tiles": [], "table": None}
    if job is not None:
        settings = "\n".join(job.request["settings"])
        objective = job.request["objective"]
        headline = result["headline"] if result else _title(job)
    if job is not None and result is not None:
        values = _what_if_values(work, result)
    may = who.may("compute")
    asked = [
        {"id": j.id, "title": _title(j), "status": j.status}
        for j in (jobs.all(who.actor.party) if may else []) if j.kind in _PLANS
    ]  # fmt: skip
    span = _title(job) if result and job else ""
    frame = work.frame(request, "what-if", headline, name="What if", span=span)
    return render("what_if.html.j2", page=frame, job=row, result=result, settings=settings, objective=objective, wrong=wrong, may=may,
                  role=who.role, objectives=_OBJECTIVES, futures=_FUTURES, samples=job.request.get("samples", 0) if job else 0, can_replan=work.ledger is not None and may, jobs=asked, **values)  # fmt: skip


def _risk_page(work: Workplace, request: Request, job: Job) -> str:
    """A finished risk study, in the sections and figures of its report."""
    assert job.result is not None
    told = job.result
    made: Page = work.kept(("risk", job.id), lambda: risk_page(told["summary"], pd.DataFrame(told["samples"])))
    shown = [s for s in made.sections if not s.empty]
    drawn = {f.name: work.picture(f, job.id) for s in shown for f in s.figures}
    frame = work.frame(request, "what-if", made.headline, name=_title(job), span=made.span)
    return render("sections.html.j2", page=frame, tiles=made.tiles, sections=shown, drawn=drawn)


def _title(job: Job) -> str:
    if job.kind == REPLAN:
        return f"Planned anew from the record up to {job.request['until']}"
    said = ", ".join(job.request["settings"]) or "the scenario as it is"
    if job.kind == _RISK:
        said = f"What may go wrong, {job.request['samples']} futures: {said}"
    return said + (f" (for {dict(_OBJECTIVES)[job.request['objective']]})" if job.request["objective"] else "")


def _what_if_values(work: Workplace, result: dict[str, Any]) -> dict[str, Any]:
    view = work.shelf.current().view if work.shelf else None
    planned = dict(zip(view.quarters, map(float, view.series("deployed_w")), strict=True)) if view else {}
    state = work.ledger.state() if work.ledger else None
    accepted = accepted_by_quarter(state, work.now) if state else {}
    quarters = sorted({*planned, *result["deployed_w"]}, key=Quarter.parse)
    accepted = {q: w for q, w in accepted.items() if q in quarters}
    figure = progress_figure(quarters, accepted, planned, result["commitment_w"], result["deployed_w"])
    table = _compared(result.get("headlines") or [])
    drawn = work.picture(figure, result["commitment_w"])
    return {"figure": figure, "drawn": drawn, "tiles": [Headline(*t) for t in result["tiles"]], "table": table}


def _compared(rows: list[dict[str, Any]]) -> Table | None:
    """Headline numbers of both plans, each in its unit."""
    cells: list[list[Cell]] = []
    for row in rows:
        words, dimension = _MEASURES.get(str(row["figure"]), (str(row["figure"]).replace("_", " "), ""))
        cells.append([words, *(_amount(row[name], dimension) for name in ("first", "second"))])
    return Table("In figures", ["Measure", "The plan", "This one"], cells) if cells else None


def _amount(value: Any, dimension: str) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN: not known to one of them)
        return "–"
    return (
        (format_at_most if dimension == "power" else format_quantity)(float(value), dimension)
        if dimension
        else f"{value:,.4g}"
        if isinstance(value, float)
        else str(value)
    )


def _fleet_page(
    work: Workplace, request: Request, who: Identity, job: Job | None, form: FleetForm | None = None, wrong: str = ""
) -> str:  # fmt: skip
    assert work.shelf is not None
    row = job.row() if job else None
    result = row["result"] if row else None
    view = work.shelf.current().view
    headline, tiles, tables = "What will the fleet really deliver?", headlines(view), []
    if result is not None:
        s = result["summary"]
        goodput = f"{percent(s['goodput'], 1)} goodput, " if s["goodput"] is not None else ""
        headline = f"{goodput}{percent(s['availability'], 2)} available"
        tiles, tables = fleet_tiles(s), fleet_tables(s)
    span = "The planned fleet operated: failures, repairs, restarts, power, demand."
    frame = work.frame(request, "fleet", headline, name="Fleet", span=span)
    return render("fleet.html.j2", page=frame, job=row, result=result, form=form or FleetForm.of(job.request if job else None),
                  quarters=work.shelf.current().view.quarters, tiles=tiles, tables=tables, wrong=wrong, may=who.may("compute"),
                  role=who.role)  # fmt: skip
