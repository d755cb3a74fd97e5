"""Addresses of a milestone's statement: what it says, its files to keep and to sign, and a signed one held against the ledger."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from fastapi.responses import HTMLResponse, Response

from gigaforge.errors import InputError
from gigaforge.ledger import Ledger
from gigaforge.ledger.access import Identity, log_read
from gigaforge.ledger.attention import shortfall_words
from gigaforge.ledger.investment import lacks_since_paid
from gigaforge.ledger.statement import places_of, statement, unsigned
from gigaforge.ledger.statement import render as render_statement
from gigaforge.ledger.statement_signing import StatementCheck, check_statement
from gigaforge.report.report_tables import Cell, Link, Table
from gigaforge.report.story import money, power
from gigaforge.web.pages.asking import EvidenceReader, or_404
from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Workplace

__all__ = ["statement_pages"]


def statement_pages(work: Workplace, ledger: Ledger) -> APIRouter:
    """The routes, for one ledger."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/tranches/{tranche}/statement")
    def shown(request: Request, who: EvidenceReader, tranche: int) -> str:
        return _page(work, ledger, request, who, tranche)

    @router.get("/tranches/{tranche}/statement.json")
    def file(who: EvidenceReader, tranche: int) -> Response:
        text = json.dumps(unsigned(_read(ledger, who, tranche)), indent=1, ensure_ascii=False) + "\n"
        return _download(text, f"statement-{tranche}.json", "application/json")

    @router.get("/tranches/{tranche}/statement.html")
    def page(who: EvidenceReader, tranche: int) -> Response:
        text = render_statement(unsigned(_read(ledger, who, tranche)))
        return _download(text, f"statement-{tranche}.html", "text/html")

    @router.post("/tranches/{tranche}/statement/upload")
    def check(request: Request, who: EvidenceReader, tranche: int, file: Annotated[UploadFile, File()]) -> Response:
        name = "".join(c if c.isprintable() else "?" for c in file.filename or "file")[:100]
        try:
            told = check_statement(file.file.read(), name, ledger)
        except InputError as problem:
            return HTMLResponse(_page(work, ledger, request, who, tranche, wrong=f"{name} {problem.problem}"), 422)
        return HTMLResponse(_page(work, ledger, request, who, tranche, told=told, file=name))

    return router


def _read(ledger: Ledger, who: Identity, tranche: int) -> dict[str, Any]:
    """What the ledger says; the read is noted."""
    content: dict[str, Any] = or_404(lambda: statement(ledger, tranche))
    log_read(ledger.engine, who.actor, f"statement of tranche {tranche}")
    return content


def _download(text: str, name: str, kind: str) -> Response:
    return Response(text, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def _page(
    work: Workplace, ledger: Ledger, request: Request, who: Identity, tranche: int, *, told: StatementCheck | None = None, file: str = "",
    wrong: str = "",
) -> str:  # fmt: skip
    content = _read(ledger, who, tranche)
    claim, state = content["claim"], ledger.state()
    terms = state.in_force()
    labels = {n: p.get("label") or n for n, p in state.parties.items()}

    def person(by: dict[str, Any]) -> str:
        return f"{by['person']} ({labels.get(by['party'], by['party'])})"

    facts: list[tuple[str, Cell]] = [
        ("Claimed", Link(f"{person(claim['by'])} on {claim['happened_on']}", f"/events/{claim['seq']}"))
    ]
    facts += [("Approved", Link(person(a), f"/events/{a['seq']}")) for a in claim["approvals"]]
    if claim["status"] == "released":
        paid = f"{money(claim['amount_usd'])} on {claim['released_on']} by {person(claim['released_by'])}, {claim['reference']}"
        facts.append(("Paid", Link(paid, f"/events/{claim['release']}")))
    facts += [
        (
            "Disputed",
            Link(
                f"event {n}" + ("" if claim["status"] == "released" else "; nothing is paid while that stands"),
                f"/events/{n}",
            ),
        )
        for n in claim["disputes"]
    ]
    facts.append(
        (
            "Carried by",
            Link(f"{claim['racks']:,} racks, {power(claim['live_w'])} accepted", f"/racks?claim={claim['seq']}"),
        )
    )
    short = lacks_since_paid(state).get(claim["seq"])
    if short is not None:
        facts.append(("Falls short", Link(shortfall_words(short), f"/events/{[*short.events, claim['seq']][0]}")))
    rows: list[list[Cell]] = [
        [_site(terms, p["site"]), _system(terms, p["system"]), f"{p['racks']:,}", power(p["counted_w"])] for p in places_of(content)
    ]  # fmt: skip
    heads = ["Site", "System", "Racks", "Counts"]
    span = (
        f"{content['title']}. As of event {content['events']:,}, {content['recorded_at'][:16].replace('T', ' ')} UTC"
    )
    frame = work.frame(request, "tranches", f"Tranche {tranche}: {money(claim['amount_usd'])}, {claim['status']}", name="Statement of a milestone",
                       span=span, state=state)  # fmt: skip
    return render("statement_page.html.j2", page=frame, tranche=tranche, facts=facts, places=Table("What carries it", heads, rows, wide=(0, 1)),
                  who=str(who.actor), key=f"{who.actor.party}.key", told=told, file=file, wrong=wrong, head=content["head"])  # fmt: skip


def _site(terms: Any, name: str) -> str:
    found = terms.sites.get(name) if terms else None
    return (found.label if found else "").split(" (")[0] or name


def _system(terms: Any, name: str) -> str:
    found = terms.systems.get(name) if terms else None
    return (found.label if found else "") or name
