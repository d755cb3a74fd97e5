"""What there is to sign: a party that holds its key elsewhere asks here, signs there, and records with `POST /events`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, JsonValue

from gigaforge.ledger import Draft, Ledger
from gigaforge.ledger.access import Identity
from gigaforge.ledger.to_sign import to_sign
from gigaforge.web.api.events import NEEDED, EvidenceFiles, day_of, files_of, may_record
from gigaforge.web.api.shapes import IdempotencyKey, Input
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.security import book, identity

__all__ = ["router"]

router = APIRouter(tags=["events"], route_class=StrictRoute)


class DraftIn(Input):
    """An event that somebody means to record.

    `data` may leave out what the ledger knows: the racks of a claim, the hash of what is decided, paid or corrected, the amount
    of a payment, the head of a checkpoint; of kind `key` it names the new public key.
    """

    kind: Annotated[str, Field(max_length=32, description=f"one of {', '.join(NEEDED)}")]
    data: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
    happened_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    evidence: EvidenceFiles


class ToSign(BaseModel):
    """What is signed.

    `content` is all that the signature vouches for, and `bytes` the very bytes to sign, in base64. `gigaforge ledger sign`
    reads this file.
    """

    format: str
    content: dict[str, Any]
    bytes: str


@router.post("/drafts", summary="Ask what there is to sign", response_model=ToSign)
def draft(
    sent: DraftIn,
    who: Annotated[Identity, Depends(identity)],
    ledger: Annotated[Ledger, Depends(book)],
    key: IdempotencyKey,
) -> dict[str, Any]:
    """Ask what there is to sign to record an event with this `Idempotency-Key`, which is signed too. Nothing is recorded."""
    may_record(who, sent.kind)
    wish = Draft(sent.kind, who.actor, sent.data, day_of(sent.happened_on), files_of(sent.evidence), key)
    return to_sign(ledger, wish)
