"""Addresses of what takes a while: what-ifs, planning anew from the record, the fleet's simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import pandas as pd
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.errors import GigaforgeError
from gigaforge.ledger import Actor, UnknownError
from gigaforge.quarters import Quarter
from gigaforge.report.progress_figures import progress_figure
from gigaforge.report.report_tables import Table
from gigaforge.report.story import Headline
from gigaforge.units import format_quantity
from gigaforge.web.jobs import Job, Jobs
from gigaforge.web.pages import studies
from gigaforge.web.pages.overview import accepted_by_quarter
from gigaforge.web.pages.pictures import draw_picture
from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Visitor, Workplace

__all__ = ["study_pages"]

_OBJECTIVES: Final = [("", "the scenario's"), ("npv", "net present value"), ("tokens", "tokens served"), ("cost", "least cost"),
                      ("earliest", "earliest deployment")]  # fmt: skip
_WHAT_IF, _REPLAN, _FLEET = "what-if", "replan", "fleet"


@dataclass(frozen=True)
class _FleetForm:
    years: str = "1"
    first: str = ""
    seed: str = "0"


def study_pages(work: Workplace, jobs: Jobs) -> APIRouter:
    """The routes, for one workplace."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/what-if")
    def ask(request: Request) -> Response:
        return HTMLResponse(_what_if_page(work, jobs, request))

    @router.post("/what-if")
    def start(
        request: Request,
        settings: Annotated[str, Form(max_length=8000)] = "",
        objective: Annotated[str, Form(max_length=20)] = "",
    ) -> Response:
        visitor = work.visitor(request)
        if not _may_compute(visitor):
            return RedirectResponse("/login", 303)
        lines = [line.strip() for line in settings.splitlines() if line.strip()]
        asked = _request(work, lines, objective)
        try:
            studies.check(asked)
            job = jobs.submit(_WHAT_IF, Actor(visitor.party, visitor.person), studies.what_if, asked)
        except GigaforgeError as problem:
            return HTMLResponse(
                _what_if_page(work, jobs, request, settings=settings, objective=objective, wrong=str(problem)), 422
            )
        return RedirectResponse(f"/what-if/{job.id}", 303)

    @router.post("/what-if/replan")
    def anew(request: Request) -> Response:
        visitor = work.visitor(request)
        if not _may_compute(visitor) or work.ledger is None:
            return RedirectResponse("/login", 303)
        day = work.today()
        last = Quarter.parse(f"{day.year}-Q{(day.month + 2) // 3}") + -1
        asked = _request(work, [], "") | {"ledger": work.ledger_address, "until": str(last)}
        try:
            job = jobs.submit(_REPLAN, Actor(visitor.party, visitor.person), studies.replan, asked)
        except GigaforgeError as problem:
            return HTMLResponse(_what_if_page(work, jobs, request, wrong=str(problem)), 409)
        return RedirectResponse(f"/what-if/{job.id}", 303)

    @router.get("/what-if/{identifier}")
    def shown(request: Request, identifier: str) -> Response:
        job = _job(jobs, identifier, work.visitor(request))
        if job is None or job.kind not in (_WHAT_IF, _REPLAN):
            return RedirectResponse("/what-if", 303)
        return HTMLResponse(_what_if_page(work, jobs, request, job))

    @router.get("/fleet")
    def fleet(request: Request) -> Response:
        visitor = work.visitor(request)
        done = next((j for j in jobs.all(visitor.party) if j.kind == _FLEET), None) if visitor.signed_in else None
        return HTMLResponse(_fleet_page(work, request, done))

    @router.post("/fleet")
    def operate(
        request: Request,
        years: Annotated[str, Form(max_length=20)] = "1",
        first: Annotated[str, Form(max_length=10)] = "",
        seed: Annotated[str, Form(max_length=20)] = "0",
    ) -> Response:
        visitor = work.visitor(request)
        if not _may_compute(visitor) or work.shelf is None:
            return RedirectResponse("/login", 303)
        form = _FleetForm(years.strip(), first.strip(), seed.strip())
        try:
            asked = _fleet_request(work, form)
            job = jobs.submit(_FLEET, Actor(visitor.party, visitor.person), studies.operate, asked)
        except GigaforgeError as problem:
            return HTMLResponse(_fleet_page(work, request, None, form, str(problem)), 422)
        return RedirectResponse(f"/fleet?job={job.id}", 303)

    @router.post("/{room}/{identifier}/stop")
    def stop(request: Request, room: str, identifier: str) -> Response:
        visitor = work.visitor(request)
        if visitor.signed_in and _job(jobs, identifier, visitor) is not None:
            jobs.cancel(identifier, visitor.party)
        return RedirectResponse("/fleet" if room == "fleet" else "/what-if", 303)

    return router


def _may_compute(visitor: Visitor) -> bool:
    return visitor.signed_in


def _job(jobs: Jobs, identifier: str, visitor: Visitor) -> Job | None:
    try:
        return jobs.get(identifier, visitor.party)
    except UnknownError:
        return None


def _request(work: Workplace, settings: list[str], objective: str) -> dict[str, Any]:
    return {
        "scenario": str(work.scenario), "settings": settings, "objective": objective,
        "plan": str(work.shelf.folder) if work.shelf else "", "catalog": [str(c) for c in work.overlays],
    }  # fmt: skip


def _fleet_request(work: Workplace, form: _FleetForm) -> dict[str, Any]:
    assert work.shelf is not None
    try:
        years = float(form.years) if form.years else None
        seed = int(form.seed or 0)
    except ValueError:
        raise GigaforgeError("years and seed must be numbers, such as 1.5 and 0") from None
    if years is not None and not 0 < years <= 20:
        raise GigaforgeError(f"{form.years} years; more than 0 and at most 20 are expected")
    if not 0 <= seed < 2**63:
        raise GigaforgeError(f"{form.seed!r} is not a seed; give a whole number of at least 0")
    if form.first and form.first not in work.shelf.current().view.quarters:
        raise GigaforgeError(f"{form.first!r} is not a quarter of the plan")
    return {"plan": str(work.shelf.folder), "years": years, "first": form.first, "seed": seed}


def _what_if_page(
    work: Workplace, jobs: Jobs, request: Request, job: Job | None = None, *, settings: str = "", objective: str = "", wrong: str = ""
) -> str:  # fmt: skip
    visitor = work.visitor(request)
    row = job.row() if job else None
    result = row["result"] if row else None
    headline = "What if the scenario were different?"
    values: dict[str, Any] = {"figure": None, "drawn": None, "tiles": [], "table": None}
    if job is not None:
        settings = "\n".join(job.request["settings"])
        objective = job.request["objective"]
        headline = result["headline"] if result else _title(job)
    if result is not None:
        values = _what_if_values(work, result)
    asked = [
        {"id": j.id, "title": _title(j), "status": j.status}
        for j in jobs.all(visitor.party)
        if j.kind in (_WHAT_IF, _REPLAN)
    ]
    frame = work.frame(request, "what-if", headline, name="What if", span=_title(job) if result and job else "")
    return render("what_if.html.j2", page=frame, job=row, result=result, settings=settings, objective=objective, wrong=wrong,
                  objectives=_OBJECTIVES, can_replan=work.ledger is not None, jobs=asked, **values)  # fmt: skip


def _title(job: Job) -> str:
    if job.kind == _REPLAN:
        return f"Planned anew from the record up to {job.request['until']}"
    said = ", ".join(job.request["settings"]) or "the scenario as it is"
    return said + (f" (for {dict(_OBJECTIVES)[job.request['objective']]})" if job.request["objective"] else "")


def _what_if_values(work: Workplace, result: dict[str, Any]) -> dict[str, Any]:
    shelved = work.shelf.current() if work.shelf else None
    planned = (
        dict(zip(shelved.view.quarters, map(float, shelved.view.series("deployed_w")), strict=True))
        if shelved
        else {}
    )
    day = work.today()
    now = Quarter.parse(f"{day.year}-Q{(day.month + 2) // 3}")
    accepted = accepted_by_quarter(work.ledger.state(), now) if work.ledger else {}
    quarters = sorted({*planned, *result["deployed_w"]}, key=Quarter.parse)
    goal = shelved.view.commitment_w if shelved else 0.0
    figure = progress_figure(
        quarters, {q: w for q, w in accepted.items() if q in quarters}, planned, goal, result["deployed_w"]
    )
    rows = pd.DataFrame(result.get("headlines") or [])
    table = None
    if len(rows):
        heads = ["", *(str(c) for c in rows.columns[1:])]
        table = Table(
            "In figures", [h.capitalize() for h in heads], [[str(v) for v in r] for r in rows.itertuples(index=False)]
        )
    return {
        "figure": figure,
        "drawn": draw_picture(figure),
        "tiles": [Headline(*t) for t in result["tiles"]],
        "table": table,
    }


def _fleet_page(
    work: Workplace, request: Request, job: Job | None, form: _FleetForm | None = None, wrong: str = ""
) -> str:
    row = job.row() if job else None
    result = row["result"] if row else None
    if form is None:
        asked: dict[str, Any] = job.request if job else {"years": 1, "first": "", "seed": 0}
        form = _FleetForm("" if asked["years"] is None else f"{asked['years']:g}", asked["first"], str(asked["seed"]))
    headline, tiles, tables = "What will the fleet really deliver?", [], []
    if result is not None:
        s = result["summary"]
        headline = f"{s['goodput']:.1%} goodput, {s['availability']:.2%} available"
        tiles, tables = _fleet_tiles(s), _fleet_tables(s)
    quarters = work.shelf.current().view.quarters if work.shelf else []
    frame = work.frame(
        request,
        "fleet",
        headline,
        name="Fleet",
        span="The planned fleet operated: failures, repairs, restarts, power, demand.",
    )
    return render(
        "fleet.html.j2",
        page=frame,
        job=row,
        result=result,
        form=form,
        quarters=quarters,
        tiles=tiles,
        tables=tables,
        wrong=wrong,
    )


def _fleet_tiles(s: dict[str, Any]) -> list[Headline]:
    served = s["tokens_served"] / s["tokens_demanded"] if s["tokens_demanded"] else 1.0
    years = s["simulated_s"] / (365.25 * 86400.0)
    return [
        Headline("Goodput of training", f"{s['goodput']:.1%}", f"{s['events']:,} failures in {years:.2g} years"),
        Headline("Availability", f"{s['availability']:.2%}", f"{s['racks']:,} racks, {s['accelerators']:,} accelerators"),
        Headline("Peak power", format_quantity(s["peak_power_w"], "power"), f"PUE {s['pue']:.3f}"),
        Headline("Energy", format_quantity(s["energy_j"], "energy"), f"{format_quantity(s['cost_usd'], 'money')}, {s['carbon_kg'] / 1e6:,.0f} kt CO2"),
        Headline("Tokens served", format_quantity(s["tokens_served"], "tokens").replace(" tokens", ""), f"{served:.1%} of demand"),
        Headline("Missed targets", f"{s['slo_violations']:.2%}", "of demanded tokens: shed or late"),
    ]  # fmt: skip


def _fleet_tables(s: dict[str, Any]) -> list[Table]:
    runs = sorted(s["training"], key=lambda r: -r["racks"])[:20]
    rows: list[list[Any]] = [
        [r["name"], f"{r['racks']:,}", f"{r['goodput']:.1%}", f"{r['interruptions']:,}", f"{r['checkpoint_interval_s']:.0f} s",
         f"{r['best_checkpoint_interval_s']:.0f} s", f"{r['spares']:,}", f"{r['best_spares']:,}"]
        for r in runs
    ]  # fmt: skip
    heads = ["Run", "Racks", "Goodput", "Stops", "Saves every", "Best", "Spare racks", "Best"]
    sites: list[list[Any]] = [
        [name, format_quantity(v["peak_power_w"], "power"), f"{v['pue']:.3f}", format_quantity(v["energy_j"], "energy"),
         format_quantity(v["cost_usd"], "money")]
        for name, v in s["sites"].items()
    ]  # fmt: skip
    out = [Table("Training runs", heads, rows)] if rows else []
    return [*out, Table("Sites", ["Site", "Peak power", "PUE", "Energy", "Energy cost"], sites)]
