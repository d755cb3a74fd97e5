"""Record events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ConfigDict, Field, JsonValue

from gigaforge.errors import InputError
from gigaforge.ledger import Draft, Evidence, Ledger
from gigaforge.ledger import kinds as k
from gigaforge.ledger.access import Identity
from gigaforge.web.api.shapes import EventOut, IdempotencyKey, IfMatch, Input, event_out, expected_head
from gigaforge.web.api.strict import StrictRoute
from gigaforge.web.problems import ProblemError
from gigaforge.web.security import book, identity

__all__ = [
    "NEEDED", "EvidenceFiles", "EvidenceIn", "SignatureIn", "day_of", "drafted", "files_of", "may_record", "router",
]  # fmt: skip

router = APIRouter(tags=["events"], route_class=StrictRoute)

NEEDED: Final = {
    **dict.fromkeys(("order", "delivery", "installation", "energisation", "acceptance", "meter", "decommissioning",
                     "correction"), "record"),
    "claim": "claim", "commitment": "approve", "approval": "approve", "release": "approve", "dispute": "approve",
    "party": "administer", "key": "administer", "checkpoint": "administer",
}  # fmt: skip
"""What a role needs to record each kind."""


class EvidenceIn(Input):
    """A file stored before."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    media_type: Annotated[str, Field(max_length=100)] = "application/octet-stream"
    size_bytes: Annotated[int, Field(ge=0, lt=2**40)]


EvidenceFiles = Annotated[list[EvidenceIn], Field(default_factory=list, max_length=100)]


class SignatureIn(Input):
    """A party's signature, by its current key, over the canonical content of the event, as `POST /drafts` gives it.

    `key` is the first 16 hexadecimal digits of the SHA-256 of the public key; `value` the Ed25519 signature in base64. The bytes
    are described in docs/signing.md: the ledger, the kind, the actor, the data as sent, and the day, evidence and
    Idempotency-Key where they are given.
    """

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    value: Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]


def _by_kind(schema: dict[str, Any]) -> None:
    """One alternative a kind in the OpenAPI document, its data described by the very model that checks it.

    ``kind`` tells them apart. The models themselves read the data (`check_data`), so that the command line, imports and
    the API answer a wrong field in the same words.
    """
    shared = {name: part for name, part in schema.pop("properties").items() if name not in ("kind", "data")}
    required = schema.pop("required")
    words = schema.pop("description")
    schema.pop("additionalProperties")
    schema.pop("type")
    schema["description"] = words
    schema["oneOf"] = [
        {
            "type": "object",
            "title": kind,
            "description": (k.KINDS[kind].__doc__ or kind).split("\n")[0],
            "additionalProperties": False,
            "required": required,
            "properties": {"kind": {"const": kind, "type": "string"}, "data": _data_schema(kind), **shared},
        }
        for kind in NEEDED
    ]


def _data_schema(kind: str) -> dict[str, Any]:
    """What a kind's data must be, with the parts that it refers to written out in place."""
    schema = k.KINDS[kind].model_json_schema(mode="validation")
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return whole(
                {**parts[value["$ref"].rsplit("/", 1)[1]], **{n: v for n, v in value.items() if n != "$ref"}}
            )
        return {name: whole(item) for name, item in value.items()}

    return dict(whole(schema))


class EventIn(Input):
    """An event to record; the actor is who the token belongs to."""

    model_config = ConfigDict(json_schema_extra=_by_kind)

    kind: Annotated[str, Field(max_length=32)]
    data: dict[str, JsonValue]
    happened_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    evidence: EvidenceFiles
    signature: SignatureIn | None = None


def files_of(sent: Sequence[EvidenceIn]) -> tuple[Evidence, ...]:
    """The files that a request names."""
    return tuple(Evidence(e.sha256, e.name, e.media_type, e.size_bytes) for e in sent)


def day_of(text: str | None) -> date | None:
    """The day that a request names."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InputError(f"{text!r} is not a day", "happened_on") from None


def may_record(who: Identity, kind: str) -> None:
    """Refuse a kind that there is not, or that the role may not record."""
    needed = NEEDED.get(kind)
    if needed is None:
        raise InputError(f"{kind!r} is not a kind of event to record; known: {', '.join(NEEDED)}", "kind")
    if not who.may(needed):
        raise ProblemError(403, "role", f"the role {who.role!r} may not record events of kind {kind}")


def drafted(sent: EventIn, who: Identity, key: str) -> Draft:
    """The draft that a request describes."""
    data = k.check_data(sent.kind, sent.data)
    day = day_of(sent.happened_on)
    signature = sent.signature.model_dump() if sent.signature else None
    content = dict(sent.data) if signature else k.stored(data)
    return Draft(sent.kind, who.actor, content, day, files_of(sent.evidence), key, signature)


@router.post(
    "/events", summary="Record an event", status_code=201, response_model=EventOut, response_model_exclude_none=True
)
def record(
    sent: EventIn,
    request: Request,
    response: Response,
    who: Annotated[Identity, Depends(identity)],
    ledger: Annotated[Ledger, Depends(book)],
    key: IdempotencyKey,
    match: IfMatch = None,
) -> dict[str, Any]:
    """Record an event; answers once it is on disk."""
    del request
    may_record(who, sent.kind)
    return event_out(ledger.append(drafted(sent, who, key), expected_head(match)), response)
