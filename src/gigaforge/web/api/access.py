"""Tokens of one's own party, and who read what."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import Field

from gigaforge.ledger import Actor, Ledger
from gigaforge.ledger.access import Identity, issue, list_tokens, read_log, revoke
from gigaforge.web.api.shapes import After, Input, Limit
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.security import book, require

__all__ = ["router"]

router = APIRouter(tags=["access"], route_class=StrictRoute)
Book = Annotated[Ledger, Depends(book)]
Admin = Annotated[Identity, Depends(require("administer"))]
Auditor = Annotated[Identity, Depends(require("audit"))]


class TokenIn(Input):
    """A token for a person of your party."""

    person: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@+\-]{0,126}$")]
    role: Literal["viewer", "recorder", "approver", "auditor", "admin"]
    days: Annotated[int, Field(ge=1, le=366)] = 90
    label: Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""


@router.post("/tokens", summary="Make a token", status_code=201)
def make(sent: TokenIn, who: Admin, ledger: Book) -> dict[str, str]:
    """Make a token; it is shown this once."""
    actor = Actor(who.actor.party, sent.person)
    identifier, secret = issue(ledger.engine, actor, sent.role, timedelta(days=sent.days), sent.label)
    return {"id": identifier, "token": secret, "party": actor.party, "person": actor.person, "role": sent.role}


@router.get("/tokens", summary="List tokens of your party")
def tokens(who: Admin, ledger: Book) -> dict[str, Any]:
    """Tokens of your party, and its browsers that are logged in without one, without their secrets."""
    return {"tokens": list_tokens(ledger.engine, who.actor.party)}


@router.delete("/tokens/{identifier}", summary="Revoke a token", status_code=204)
def end(identifier: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")], who: Admin, ledger: Book) -> None:
    """Revoke a token of your party, it and its sessions end at once; or end one browser's session, as the list names it."""
    revoke(ledger.engine, identifier, who.actor.party)


@router.get("/reads", summary="List who read sensitive figures")
def reads(who: Auditor, ledger: Book, after: After = 0, limit: Limit = 100) -> dict[str, Any]:
    """Who read sensitive figures, and when."""
    del who
    found = read_log(ledger.engine, after, limit)
    return {"reads": found, "next": found[-1]["id"] if len(found) == limit else None}
