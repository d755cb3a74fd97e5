"""Long work: start it, ask for it, watch it as server-sent events, stop it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field, JsonValue

from gigaforge.ledger.access import Identity
from gigaforge.scenario import parse_scenario, with_objective
from gigaforge.web import work
from gigaforge.web.api.shapes import Input
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.jobs import Job, Jobs
from gigaforge.web.security import book, require, settings_of
from gigaforge.web.settings import Settings

__all__ = ["router", "stream"]

router = APIRouter(tags=["work"], route_class=StrictRoute)
Computer = Annotated[Identity, Depends(require("compute"))]
Identifier = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


def jobs_of(request: Request) -> Jobs:
    """The server's jobs."""
    found: Jobs = request.app.state.jobs
    return found


class JobIn(Input):
    """What to work out; `scenario` as a scenario file would hold it, for plans and risk studies."""

    kind: Literal["plan", "risk", "verify"]
    scenario: dict[str, JsonValue] | None = None
    objective: Literal["npv", "tokens", "cost", "earliest"] | None = None
    gap: Annotated[float, Field(gt=0, lt=1)] = 0.01
    time_limit_s: Annotated[float, Field(gt=0, le=600)] = 120.0
    samples: Annotated[int, Field(ge=8, le=4096)] = 256


@router.post("/jobs", summary="Start a plan, a risk study or a verification", status_code=202)
def start(
    sent: JobIn,
    asked: Request,
    who: Computer,
    jobs: Annotated[Jobs, Depends(jobs_of)],
    settings: Annotated[Settings, Depends(settings_of)],
    response: Response,
) -> dict[str, Any]:
    """Start a plan, a risk study or a verification."""
    if sent.kind == "verify":
        book(asked)  # refused where no ledger is served
    else:
        scenario = parse_scenario(sent.scenario, "scenario")
        if sent.objective:
            with_objective(scenario, sent.objective)
    request = {**sent.model_dump(), "catalog": list(settings.catalog), "ledger": settings.ledger}
    job = jobs.submit(sent.kind, who.actor, work.WORK[sent.kind], request)
    response.headers["location"] = f"/api/v1/jobs/{job.id}"
    return job.row()


@router.get("/jobs", summary="List your party's jobs")
def every(who: Computer, jobs: Annotated[Jobs, Depends(jobs_of)]) -> dict[str, Any]:
    """Your party's jobs, newest first."""
    return {"jobs": [{n: v for n, v in job.row().items() if n != "result"} for job in jobs.all(who.actor.party)]}


@router.get("/jobs/{identifier}", summary="Ask for a job and its result")
def one(identifier: Identifier, who: Computer, jobs: Annotated[Jobs, Depends(jobs_of)]) -> dict[str, Any]:
    """One job, with its result once it is done."""
    return jobs.get(identifier, who.actor.party).row()


@router.delete("/jobs/{identifier}", summary="Stop a job")
def stop(identifier: Identifier, who: Computer, jobs: Annotated[Jobs, Depends(jobs_of)]) -> dict[str, Any]:
    """Stop a job."""
    return jobs.cancel(identifier, who.actor.party).row()


@router.get(
    "/jobs/{identifier}/progress",
    summary="Watch a job's progress",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def progress(
    identifier: Identifier,
    who: Computer,
    jobs: Annotated[Jobs, Depends(jobs_of)],
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> StreamingResponse:
    """Watch a job as server-sent events: `progress` as it comes, then `end` with the job; resumes after Last-Event-ID."""
    job = jobs.get(identifier, who.actor.party)
    after = int(last) + 1 if last and last.isascii() and last.isdigit() else 0
    return StreamingResponse(stream(jobs, job, after), media_type="text/event-stream")


def stream(jobs: Jobs, job: Job, after: int) -> Iterator[str]:
    """Server-sent events of a job."""
    for step in jobs.watch(job, after):
        if step is None:
            yield ": still at work\n\n"
        else:
            yield f"id: {step['number']}\nevent: progress\ndata: {json.dumps(step)}\n\n"
    yield f"event: end\ndata: {json.dumps(job.row())}\n\n"
