"""Evidence files in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from gigaforge.errors import InputError
from gigaforge.ledger import Ledger
from gigaforge.ledger.access import Identity
from gigaforge.ledger.canonical import sha256 as digest
from gigaforge.web.security import book, require

__all__ = ["body", "router"]

router = APIRouter(tags=["uploads"])
_BINARY = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip


async def body(request: Request) -> bytes:
    """The request's raw body."""
    return await request.body()


@router.put("/evidence/{sha256}", openapi_extra=_BINARY)
def store(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
    who: Annotated[Identity, Depends(require("record"))],
    ledger: Annotated[Ledger, Depends(book)],
    content: Annotated[bytes, Depends(body)],
    name: Annotated[str, Query(min_length=1, max_length=200)] = "evidence",
    media_type: Annotated[str, Query(max_length=100)] = "application/octet-stream",
) -> dict[str, Any]:
    """Store a file under its SHA-256, which must be right; the answer goes into an event's `evidence`."""
    del who
    if digest(content) != sha256:
        raise InputError(f"the body hashes to {digest(content)}", "sha256")
    return ledger.put_evidence(content, name, media_type).row()
