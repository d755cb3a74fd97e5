"""Who may see and do what on the pages: the same permissions as the API's."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, HTTPException

from gigaforge.errors import InputError
from gigaforge.ledger import UnknownError
from gigaforge.ledger.access import Identity
from gigaforge.web.security import require

__all__ = ["Approver", "Computer", "EvidenceReader", "Reader", "or_404"]

Reader = Annotated[Identity, Depends(require("read"))]
EvidenceReader = Annotated[Identity, Depends(require("read-evidence"))]
Approver = Annotated[Identity, Depends(require("approve"))]
Computer = Annotated[Identity, Depends(require("compute"))]


def or_404(read: Any) -> Any:
    """What a function returns; a page that is not there where it finds nothing."""
    try:
        return read()
    except (UnknownError, InputError) as problem:
        raise HTTPException(404, str(problem)) from None
    except OverflowError:
        raise HTTPException(404, "there is no such number") from None
