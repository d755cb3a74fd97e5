"""Parameters and answers that several routes share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gigaforge.ledger import Event
from gigaforge.web.problems import ProblemError

__all__ = [
    "After", "EventOut", "IdempotencyKey", "IfMatch", "Input", "Limit", "Seq", "event_out", "expected_head",
]  # fmt: skip

_BIG = 2**53
Seq = Annotated[int, Path(ge=1, lt=_BIG, description="number of the event")]
After = Annotated[int, Query(ge=0, lt=_BIG, description="only what comes after this number")]
Limit = Annotated[int, Query(ge=1, le=1000)]
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="sent twice, recorded once: the same event comes back",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='the head that you saw, "HASH": refused if the ledger has moved on',
        max_length=80,
    ),
]


class Input(BaseModel):
    """A request's body: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class EventOut(BaseModel):
    """A recorded event."""

    seq: int
    hash: str
    previous: str
    recorded_at: str
    happened_on: str | None = None
    ledger: str
    kind: str
    actor: dict[str, str]
    data: dict[str, Any]
    evidence: list[dict[str, Any]] = Field(default_factory=list)
    key: str | None = None
    signature: dict[str, str] | None = None


def event_out(event: Event, response: Response | None = None) -> dict[str, Any]:
    """An event as the API answers it; the new head goes into ETag."""
    if response is not None:
        response.headers["etag"] = f'"{event.hash}"'
        response.headers["location"] = f"/api/v1/events/{event.seq}"
    return event.row()


def expected_head(given: str | None) -> str | None:
    """The hash in If-Match."""
    if given is None or given.strip() == "*":
        return None
    text = given.strip().removeprefix("W/")
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ProblemError(400, "if-match", 'If-Match takes the head in quotes, as ETag gave it: "HASH"')
    return text[1:-1]
