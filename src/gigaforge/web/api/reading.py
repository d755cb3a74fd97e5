"""Routes that only read: state, events, racks, evidence, copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from gigaforge.ledger import Ledger
from gigaforge.ledger.access import Identity, log_read
from gigaforge.ledger.kinds import KINDS
from gigaforge.ledger.overview import overview, rack_row
from gigaforge.ledger.statement import statement, unsigned
from gigaforge.web.api.shapes import After, EventOut, Limit, Seq
from gigaforge.web.problems import ProblemError
from gigaforge.web.security import book, require

__all__ = ["router"]

router = APIRouter(tags=["reading"])
Book = Annotated[Ledger, Depends(book)]
Reader = Annotated[Identity, Depends(require("read"))]
EvidenceReader = Annotated[Identity, Depends(require("read-evidence"))]
Auditor = Annotated[Identity, Depends(require("audit"))]
Word = Annotated[str | None, Query(max_length=64)]


@router.get("/health", summary="Ask whether the server answers")
def health() -> dict[str, str]:
    """Whether the server answers; needs no token."""
    return {"status": "ok"}


@router.get("/me", summary="Ask who you are")
def me(who: Reader) -> dict[str, str]:
    """Who you are to the ledger."""
    return {"party": who.actor.party, "person": who.actor.person, "role": who.role}


@router.get("/state", summary="Read where things stand")
def state(who: Reader, ledger: Book, request: Request, response: Response) -> Any:
    """Where things stand; ETag is the head, to send back as If-Match when you decide on it."""
    del who
    found = ledger.state()
    tag = f'"{found.head}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    response.headers["etag"] = tag
    return overview(found, ledger.disputed() if found.disputes else None)


@router.get("/events", summary="List events")
def events(
    who: Reader,
    ledger: Book,
    response: Response,
    after: After = 0,
    limit: Limit = 100,
    kind: Word = None,
    party: Word = None,
    newest: Annotated[bool, Query(description="last first, before the number")] = False,
) -> dict[str, Any]:
    """Events in order, a page at a time; `next` is the `after` of the following page."""
    del who
    if kind is not None and kind not in KINDS:
        raise ProblemError(422, "input", f"{kind!r} is not a kind of event; known: {', '.join(KINDS)}")
    if party is not None and "\x00" in party:
        raise ProblemError(422, "input", "party: not a name")
    found = ledger.events(after, limit, kind, party, newest)
    following = found[-1].seq if len(found) == limit else None
    if following is not None:
        response.headers["link"] = f'</api/v1/events?after={following}&limit={limit}>; rel="next"'
    return {"events": [event.row() for event in found], "next": following}


@router.get("/events/{seq}", summary="Read one event", response_model=EventOut, response_model_exclude_none=True)
def event(seq: Seq, who: Reader, ledger: Book) -> dict[str, Any]:
    """One event."""
    del who
    return ledger.event(seq).row()


@router.get("/racks", summary="List racks")
def racks(
    who: Reader,
    ledger: Book,
    site: Word = None,
    system: Word = None,
    status: Word = None,
    claim: Annotated[int | None, Query(ge=0, lt=2**53)] = None,
    after: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 100,
) -> dict[str, Any]:
    """Racks by serial, a page at a time."""
    del who
    if any("\x00" in (text or "") for text in (site, system, status, after)):
        raise ProblemError(422, "input", "a name has no zero bytes")
    state = ledger.state()
    found = ledger.racks(site=site, system=system, status=status, claim=claim, after=after, limit=limit)
    return {
        "racks": [rack_row(rack, state) for rack in found],
        "next": found[-1].rack if len(found) == limit else None,
    }


@router.get("/racks/{rack:path}", summary="Read one rack's life")
def rack(rack: Annotated[str, Path(max_length=64)], who: Reader, ledger: Book) -> dict[str, Any]:
    """One rack's life: where it stands, every event about it, and which of them were taken back."""
    del who
    return rack_row(ledger.rack(rack), ledger.state())


@router.get(
    "/evidence/{sha256}",
    summary="Read a file of evidence",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def evidence(sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")], who: EvidenceReader, ledger: Book) -> Response:
    """The content of an evidence file; the read is noted."""
    content = ledger.evidence(sha256)
    log_read(ledger.engine, who.actor, f"evidence {sha256}")
    # Never shown by the browser as a page: it is a stranger's file.
    headers = {"content-disposition": f'attachment; filename="{sha256[:16]}"', "content-security-policy": "sandbox"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.get("/actuals", summary="Read what stood at the end of each quarter")
def actuals(
    who: Reader, ledger: Book, through: Annotated[str | None, Query(pattern=r"^\d{4}-Q[1-4]$")] = None
) -> dict[str, Any]:
    """What stood at the end of every quarter that is over, as `gigaforge plan --actuals` reads it."""
    from gigaforge.ledger.actuals import named_rows  # noqa: PLC0415 (brings the planner with it: half of the server's start)

    del who
    rows, names = named_rows(ledger, through)
    return {"actuals": rows, "row_names": names}


@router.get("/measured-runs", summary="Read acceptance tests as measured runs")
def measured(who: EvidenceReader, ledger: Book) -> dict[str, Any]:
    """Acceptance tests as measured runs, as `gigaforge calibrate --from` reads them. The read is noted."""
    from gigaforge.ledger.actuals import measured_runs  # noqa: PLC0415

    log_read(ledger.engine, who.actor, "measured runs")
    return measured_runs(ledger)


@router.get("/statements/{tranche}", summary="Read the statement of a tranche")
def statement_of(tranche: Annotated[int, Path(ge=1, le=10_000)], who: EvidenceReader, ledger: Book) -> dict[str, Any]:
    """What the ledger says about a tranche, as the file that its parties sign. The read is noted."""
    log_read(ledger.engine, who.actor, f"statement of tranche {tranche}")
    return unsigned(statement(ledger, tranche))


@router.get(
    "/export",
    summary="Export every event",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {}}}},
)
def export(who: Auditor, ledger: Book) -> StreamingResponse:
    """Every event, byte for byte, one a line: your own copy. The read is noted."""
    log_read(ledger.engine, who.actor, "export of all events")

    def lines() -> Iterator[bytes]:
        for found in ledger.all_events():
            yield found.body + b"\n"

    return StreamingResponse(lines(), media_type="application/jsonl")
