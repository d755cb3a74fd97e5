"""An event: what happened, who says so, when, and by what evidence; chained to the one before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, Final, Self

from gigaforge.errors import InputError
from gigaforge.ledger.canonical import canonical, parse_canonical, sha256

__all__ = ["Actor", "Draft", "Event", "Evidence", "timestamp"]

_PARTY: Final = re.compile(r"^[a-z0-9][a-z0-9.\-]{0,62}\Z")
_PERSON: Final = re.compile(r"^[a-z0-9][a-z0-9._@+\-]{0,126}\Z")
_HASH: Final = re.compile(r"^[0-9a-f]{64}\Z")
_KEY: Final = re.compile(r"^[\x21-\x7e]{1,128}\Z")
_PARTS: Final = frozenset({
    "ledger", "kind", "actor", "data", "happened_on", "evidence", "key", "signature", "seq", "previous", "recorded_at",
})  # fmt: skip


def timestamp(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds, which sorts as text."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _is_timestamp(text: str) -> bool:
    return text.endswith("Z") and timestamp(datetime.fromisoformat(text)) == text


@dataclass(frozen=True, slots=True)
class Actor:
    """Who records: a person of a party.

    Person names are lower case ASCII, so that no two spellings are the same person.
    """

    party: str
    person: str

    def __post_init__(self) -> None:
        if not isinstance(self.party, str) or not _PARTY.match(self.party):
            raise InputError(
                f"{self.party!r} is not a party's name; use lower case letters, digits, '-' and '.'", "actor"
            )
        if not isinstance(self.person, str) or not _PERSON.match(self.person):
            raise InputError(
                f"{self.person!r} is not a person's name; use lower case letters, digits and . _ @ + -, e.g. ann.lee",
                "actor",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``"openai/ann"``."""
        party, slash, person = text.partition("/")
        if not slash:
            raise InputError(f"{text!r} does not say who; write party/person, e.g. openai/ann", "--as")
        return cls(party, person)

    def __str__(self) -> str:
        return f"{self.party}/{self.person}"


@lru_cache(maxsize=4096)
def _actor(party: str, person: str) -> Actor:
    return Actor(party, person)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored file that an event rests on."""

    sha256: str
    name: str
    media_type: str
    size_bytes: int

    def __post_init__(self) -> None:
        if not _HASH.match(self.sha256):
            raise InputError(f"{self.sha256!r} is not a SHA-256 in lower case hexadecimal", "evidence.sha256")
        for name, text in (("name", self.name), ("media_type", self.media_type)):
            if not isinstance(text, str) or not 0 < len(text) <= 200 or not text.isprintable():
                raise InputError(f"{str(text)[:60]!r} must be 1 to 200 printable characters", f"evidence.{name}")

    def row(self) -> dict[str, Any]:
        """As the event's body holds it."""
        return {
            "sha256": self.sha256,
            "name": self.name,
            "media_type": self.media_type,
            "size_bytes": self.size_bytes,
        }


@dataclass(frozen=True)
class Draft:
    """An event as its author writes it; the ledger adds number, time and the hash of the one before.

    Parameters
    ----------
    kind : str
        A key of `gigaforge.ledger.kinds.KINDS`.
    actor : Actor
        Who says so.
    data : mapping
        What the kind needs.
    happened_on : date, optional
        When it happened; default the day of recording.
    evidence : sequence of Evidence
        Files stored before.
    key : str
        Idempotency key, unique to the party: the same draft sent twice is recorded once.
    signature : mapping
        ``{"key": fingerprint, "value": base64}`` over `signed_bytes`, by the party's key.

    """

    kind: str
    actor: Actor
    data: Mapping[str, Any]
    happened_on: date | None = None
    evidence: tuple[Evidence, ...] = ()
    key: str = ""
    signature: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.key and not _KEY.match(self.key):
            raise InputError("an idempotency key has 1 to 128 printable ASCII characters without spaces", "key")

    def content(self, ledger: str) -> dict[str, Any]:
        """What the author vouches for."""
        out: dict[str, Any] = {
            "ledger": ledger,
            "kind": self.kind,
            "actor": {"party": self.actor.party, "person": self.actor.person},
            "data": dict(self.data),
        }
        if self.happened_on is not None:
            out["happened_on"] = self.happened_on.isoformat()
        if self.evidence:
            out["evidence"] = [e.row() for e in self.evidence]
        if self.key:
            out["key"] = self.key
        return out

    def signed_bytes(self, ledger: str) -> bytes:
        """What a party's key signs."""
        return canonical(self.content(ledger))


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event: its body (the canonical bytes that were hashed) and the body's parts.

    Parameters
    ----------
    seq : int
        1 for the first.
    hash : str
        SHA-256 of `body`.
    body : bytes
        Canonical JSON.

    """

    seq: int
    hash: str
    body: bytes
    parts: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, seq: int, previous: str, recorded_at: str, content: Mapping[str, Any]) -> Self:
        """Chain content to the event before."""
        parts = {**content, "seq": seq, "previous": previous, "recorded_at": recorded_at}
        try:
            body = canonical(parts)
        except ValueError as problem:
            raise InputError(str(problem), f"{content.get('kind')}") from None
        return cls(seq, sha256(body), body, parts)

    @classmethod
    def read(cls, seq: int, body: bytes) -> Self:
        """From stored bytes, without checks (see `gigaforge.ledger.verify`)."""
        return cls(seq, sha256(body), body, parse_canonical(body))

    @property
    def kind(self) -> str:
        """What kind of event."""
        return str(self.parts["kind"])

    @property
    def actor(self) -> Actor:
        """Who recorded it."""
        return _actor(self.parts["actor"]["party"], self.parts["actor"]["person"])

    @property
    def data(self) -> dict[str, Any]:
        """The kind's own fields."""
        return self.parts["data"]  # type: ignore[no-any-return]

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The files that it rests on."""
        return tuple(Evidence(**item) for item in self.parts.get("evidence") or ())

    @property
    def previous(self) -> str:
        """Hash of the event before."""
        return str(self.parts["previous"])

    @property
    def recorded_at(self) -> str:
        """When it was recorded."""
        return str(self.parts["recorded_at"])

    @property
    def happened_on(self) -> str:
        """The day it happened, ISO."""
        return str(self.parts.get("happened_on") or self.recorded_at[:10])

    def check_shape(self) -> None:
        """Refuse parts that no event has, and days and times that are none; `InputError` says which."""
        unknown = set(self.parts) - _PARTS
        if unknown:
            raise InputError(f"has the unknown part {min(unknown)!r}", f"event {self.seq}")
        day = date.fromisoformat(self.happened_on)
        if day.isoformat() != self.happened_on or not _is_timestamp(self.recorded_at):
            raise InputError("has a day or time that is not written as one", f"event {self.seq}")
        if len({item.sha256 for item in self.evidence}) != len(self.parts.get("evidence") or ()):
            raise InputError("names an evidence file twice", f"event {self.seq}")

    def row(self) -> dict[str, Any]:
        """As JSON output shows it."""
        return {**self.parts, "hash": self.hash}
