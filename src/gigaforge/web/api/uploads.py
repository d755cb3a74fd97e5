"""Evidence files and bulk imports in."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from gigaforge.errors import InputError
from gigaforge.ledger import Ledger
from gigaforge.ledger.access import Identity
from gigaforge.ledger.canonical import sha256 as digest
from gigaforge.ledger.importing import import_rows
from gigaforge.web.security import book, require

__all__ = ["body", "router"]

router = APIRouter(tags=["uploads"])
_BINARY = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}}  # fmt: skip

_UNKNOWN = "application/octet-stream"
_FORM = "application/x-www-form-urlencoded"
"""What curl says of any data that it is not told the kind of."""


async def body(request: Request) -> bytes:
    """The request's raw body."""
    return await request.body()


@router.put("/evidence/{sha256}", summary="Store a file of evidence", openapi_extra=_BINARY)
def store(
    sha256: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
    who: Annotated[Identity, Depends(require("attach"))],
    ledger: Annotated[Ledger, Depends(book)],
    content: Annotated[bytes, Depends(body)],
    name: Annotated[str, Query(min_length=1, max_length=200)] = "evidence",
    media_type: Annotated[str | None, Query(max_length=100, description="instead of Content-Type")] = None,
    content_type: Annotated[str, Header(max_length=100, include_in_schema=False)] = _UNKNOWN,
) -> dict[str, Any]:
    """Store a file under its SHA-256, which must be right; the answer goes into the `evidence` of an event, a claim, a decision or a release.

    What kind of file it is, `Content-Type` says or `media_type`.
    """
    del who
    if digest(content) != sha256:
        raise InputError(f"the body hashes to {digest(content)}", "sha256")
    kind = media_type or (_UNKNOWN if content_type == _FORM else content_type)
    return ledger.put_evidence(content, name, kind).row()


@router.post(
    "/imports/{kind}",
    summary="Import deliveries or acceptance tests",
    openapi_extra=_BINARY,
    responses={200: {"description": "what became of every row; nothing was recorded if `kept` is false"}},
)
def import_file(
    kind: Literal["delivery", "deliveries", "acceptance"],
    who: Annotated[Identity, Depends(require("record"))],
    ledger: Annotated[Ledger, Depends(book)],
    content: Annotated[bytes, Depends(body)],
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=200)] = "import.csv",
    resume: Annotated[bool, Query(description="record the good rows and report the others")] = False,
    check: Annotated[bool, Query(description="record nothing, only report")] = False,
) -> dict[str, Any]:
    """Record deliveries or acceptance tests from CSV or Parquet: all rows or, if one is wrong, none.

    A row's own content is its idempotency key: a file sent again records only what is new, and `recorded` counts that. Each of
    `errors` names its row, and holds it as `given`, to be mended and sent again.
    """
    report = import_rows(
        ledger,
        who.actor,
        "acceptance" if kind == "acceptance" else "delivery",
        content,
        name,
        resume=resume,
        check=check,
    )
    response.status_code = 200 if report.kept or check else 422
    return report.to_dict()
