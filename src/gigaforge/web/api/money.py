"""Claims, approvals, releases: the events that move money, with what they refer to looked up."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import Field

from gigaforge.ledger import Draft, Ledger, actions
from gigaforge.ledger.access import Identity
from gigaforge.web.api.events import EvidenceFiles, SignatureIn, files_of
from gigaforge.web.api.shapes import EventOut, IdempotencyKey, IfMatch, Input, Seq, event_out, expected_head
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.security import book, require

__all__ = ["router"]

router = APIRouter(tags=["money"], route_class=StrictRoute)
Book = Annotated[Ledger, Depends(book)]
Claimer = Annotated[Identity, Depends(require("claim"))]
Approver = Annotated[Identity, Depends(require("approve"))]
Note = Annotated[str, Field(max_length=2000)]


class ClaimIn(Input):
    """Which tranche; default the next."""

    tranche: Annotated[int, Field(ge=1, le=10_000)] | None = None
    note: Note = ""
    evidence: EvidenceFiles


class DecisionIn(Input):
    """A yes or no to a claim or terms, with the files that it rests on."""

    decision: Literal["approve", "reject"] = "approve"
    note: Note = ""
    evidence: EvidenceFiles
    signature: SignatureIn | None = None


class ReleaseIn(Input):
    """How a tranche was paid, with the files that show it."""

    reference: Annotated[str, Field(min_length=1, max_length=2000)]
    evidence: EvidenceFiles
    signature: SignatureIn | None = None


def _record(
    ledger: Ledger, draft: Draft, sent: ClaimIn | DecisionIn | ReleaseIn, match: str | None, response: Response
) -> dict[str, Any]:
    draft = replace(draft, evidence=files_of(sent.evidence))
    if not isinstance(sent, ClaimIn) and sent.signature is not None:
        draft = replace(draft, signature=sent.signature.model_dump())
    return event_out(ledger.append(draft, expected_head(match)), response)


@router.post(
    "/claims", summary="Claim a tranche", status_code=201, response_model=EventOut, response_model_exclude_none=True
)
def claim(
    sent: ClaimIn, who: Claimer, ledger: Book, response: Response, key: IdempotencyKey, match: IfMatch = None
) -> dict[str, Any]:
    """Claim a tranche on the earliest accepted racks that carry none."""
    draft = actions.claim(ledger, who.actor, sent.tranche, note=sent.note, key=key)
    return _record(ledger, draft, sent, match, response)


@router.post(
    "/events/{seq}/decisions",
    summary="Approve or reject a claim or terms",
    status_code=201,
    response_model=EventOut,
    response_model_exclude_none=True,
)
def decide(
    seq: Seq,
    sent: DecisionIn,
    who: Approver,
    ledger: Book,
    response: Response,
    key: IdempotencyKey,
    match: IfMatch = None,
) -> dict[str, Any]:
    """Approve or reject a claim or terms."""
    draft = actions.approval(ledger, who.actor, seq, sent.decision, note=sent.note, key=key)
    return _record(ledger, draft, sent, match, response)


@router.post(
    "/claims/{seq}/release",
    summary="Record that a tranche was paid",
    status_code=201,
    response_model=EventOut,
    response_model_exclude_none=True,
)
def release(
    seq: Seq,
    sent: ReleaseIn,
    who: Approver,
    ledger: Book,
    response: Response,
    key: IdempotencyKey,
    match: IfMatch = None,
) -> dict[str, Any]:
    """Record that an approved claim's tranche was paid."""
    draft = actions.release(ledger, who.actor, seq, sent.reference, key=key)
    return _record(ledger, draft, sent, match, response)
