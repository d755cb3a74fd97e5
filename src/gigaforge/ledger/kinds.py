"""What each kind of event must say."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gigaforge.errors import InputError
from gigaforge.ledger.terms import Cents, Name, Part, Signable, Terms, Watts

__all__ = [
    "KINDS",
    "Acceptance",
    "Approval",
    "Checkpoint",
    "Claim",
    "Commitment",
    "Correction",
    "Decommissioning",
    "Delivery",
    "Dispute",
    "Energisation",
    "Installation",
    "KeyRotation",
    "Meter",
    "Opened",
    "Order",
    "Part",
    "Party",
    "PartyJoined",
    "Release",
    "check_data",
    "rack_name",
    "stored",
]

_SHOWN: Final = 8
"""Problems told at once."""
MAX_RACKS: Final = 100_000
"""Racks of one event."""


def rack_name(value: Any) -> str:
    """A rack's serial in its one spelling, upper case: two spellings must not count twice."""
    text = value.strip().upper() if isinstance(value, str) else ""
    if not _RACK.match(text):
        raise ValueError(f"{value!r} is not a rack's serial: 1 to 64 letters, digits and . _ : / -")
    return text


_RACK: Final = re.compile(r"^[A-Z0-9._:/-]{1,64}\Z")


def _distinct(racks: list[str]) -> list[str]:
    if len(set(racks)) != len(racks):
        double = Counter(racks).most_common(1)[0][0]
        raise ValueError(f"rack {double} appears twice")
    return racks


def _printable(value: str) -> str:
    """Text that shows as what it is: no control characters, no direction overrides, no lone surrogates."""
    bad = next((c for c in value if unicodedata.category(c) in {"Cc", "Cf", "Cs"} and c not in "\n\t"), None)
    if bad is not None:
        raise ValueError(f"contains the character U+{ord(bad):04X}")
    return value


def _day(value: str) -> str:
    if date.fromisoformat(value).isoformat() != value:
        raise ValueError(f"{value!r} is not a day; write it like 2026-10-31")
    return value


Rack = Annotated[str, BeforeValidator(rack_name)]
Racks = Annotated[list[Rack], Field(min_length=1, max_length=MAX_RACKS), AfterValidator(_distinct)]
Words = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]
Seq = Annotated[int, Field(ge=1, lt=2**53)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{43}=$")]
Signature = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]{86}==$")]
Day = Annotated[str, AfterValidator(_day)]
Quarter = Annotated[str, Field(pattern=r"^\d{4}-Q[1-4]$")]
Positive = Annotated[float, Field(gt=0, le=1e15)]


class Party(Part):
    """Someone who takes part, with the public half of its key."""

    name: Name
    label: Words
    role: Literal["investor", "operator", "supplier", "developer", "cloud", "lender", "auditor"]
    public_key: Key


class Opened(Part):
    """The first event: which ledger this is, who takes part, and what must be signed from the first terms on."""

    title: Words
    ledger: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    parties: Annotated[list[Party], Field(min_length=2, max_length=100)]
    signed: Annotated[list[Signable], Field(default_factory=list)]

    @model_validator(mode="after")
    def _check(self) -> Opened:
        names = [p.name for p in self.parties]
        if len(set(names)) != len(names):
            raise ValueError("parties: a name appears twice")
        if len({p.public_key for p in self.parties}) != len(names):
            raise ValueError("parties: two parties have the same key")
        return self


class PartyJoined(Party):
    """A party that takes part from now on."""


class KeyRotation(Part):
    """A party's new key, vouched for by its old one and by itself."""

    public_key: Key
    old_signature: Signature
    new_signature: Signature


class Commitment(Part):
    """Terms put forward; in force once every approver's party has approved."""

    terms: Terms


class Order(Part):
    """Systems ordered from a supplier."""

    order: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$")]
    supplier: Name
    system: Name
    racks: Annotated[int, Field(gt=0, le=10**7)]
    site: Name | None = None
    quarter: Quarter | None = None
    amount_cents: Cents | None = None


class Delivery(Part):
    """Racks that arrived at a site."""

    racks: Racks
    system: Name
    site: Name
    order: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$")] | None = None
    file_row: Annotated[int, Field(ge=1)] | None = None


class Installation(Part):
    """Racks that stand in their row, cabled and cooled."""

    racks: Racks


class Energisation(Part):
    """Facility power that a site can draw from now on (all of it, not an increase) [W], and racks under power."""

    site: Name
    power_w: Watts | None = None
    racks: Racks | None = None

    @model_validator(mode="after")
    def _check(self) -> Energisation:
        if self.power_w is None and self.racks is None:
            raise ValueError("say power_w, racks or both")
        return self


class Acceptance(Part):
    """A test of racks: what was measured, beside what the terms predict.

    Attributes
    ----------
    throughput : float
        [tokens/s per accelerator]
    power_w : float
        Mean IT power of one rack in the test. [W]
    verdict : str
        pass, doubtful or fail; the ledger fills it in and every reader recomputes it.
    measurements : list of mapping
        Rows as `gigaforge validate` and `gigaforge calibrate` read them, with ``kind`` training or inference.

    """

    racks: Racks
    throughput: Positive
    power_w: Positive
    verdict: Literal["pass", "doubtful", "fail"] | None = None
    measurements: Annotated[list[dict[str, JsonValue]], Field(default_factory=list, max_length=1000)]
    file_row: Annotated[int, Field(ge=1)] | None = None


class Meter(Part):
    """A meter's reading at a site: energy drawn from one day to another (not included)."""

    site: Name
    since: Day
    until: Day
    energy_j: Annotated[int, Field(ge=0, le=10**18)]
    it_energy_j: Annotated[int, Field(ge=0, le=10**18)] | None = None
    peak_w: Watts | None = None

    @model_validator(mode="after")
    def _check(self) -> Meter:
        if self.until <= self.since:
            raise ValueError("until must come after since")
        if self.it_energy_j is not None and self.it_energy_j > self.energy_j:
            raise ValueError("it_energy_j exceeds energy_j")
        return self


class Decommissioning(Part):
    """Racks taken out of service for good."""

    racks: Racks
    reason: Words = ""


class Correction(Part):
    """An earlier event was wrong and no longer holds; the right one is recorded anew."""

    corrects: Seq
    hash: Hash
    reason: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]


class Claim(Part):
    """A tranche asked for, with the accepted racks that carry it; none of them ever carries another."""

    tranche: Annotated[int, Field(ge=1, le=10_000)]
    racks: Racks
    note: Words = ""


class Approval(Part):
    """A person's yes or no to a claim or to terms, which they name by hash."""

    subject: Seq
    hash: Hash
    decision: Literal["approve", "reject"]
    note: Words = ""


class Release(Part):
    """The investor paid a tranche."""

    claim: Seq
    hash: Hash
    amount_cents: Annotated[int, Field(gt=0, le=10**18)]
    reference: Words


class Dispute(Part):
    """An objection to an event, or its end by the party that raised it. While it stands nothing is paid on the event."""

    subject: Seq
    state: Literal["opened", "settled"]
    reason: Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_printable)]


class Checkpoint(Part):
    """A party's signature over the head: everything up to here stands as it read it."""

    count: Seq
    head: Hash
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    signature: Signature


KINDS: Final[Mapping[str, type[Part]]] = {
    "opened": Opened,
    "party": PartyJoined,
    "key": KeyRotation,
    "commitment": Commitment,
    "order": Order,
    "delivery": Delivery,
    "installation": Installation,
    "energisation": Energisation,
    "acceptance": Acceptance,
    "meter": Meter,
    "decommissioning": Decommissioning,
    "correction": Correction,
    "claim": Claim,
    "approval": Approval,
    "release": Release,
    "dispute": Dispute,
    "checkpoint": Checkpoint,
}
"""Name of each kind and what its data must be."""


def check_data(kind: str, data: Any) -> Part:
    """Read a kind's data; `InputError` names the field, the value and what is known."""
    model = KINDS.get(kind)
    if model is None:
        raise InputError(f"{kind!r} is not a kind of event; known: {', '.join(KINDS)}", "kind")
    try:
        return model.model_validate(data)
    except ValidationError as problem:
        raise _explained(kind, model, problem) from None
    except (TypeError, RecursionError) as problem:
        raise InputError(str(problem), kind) from None


def _explained(kind: str, model: type[Part], problem: ValidationError) -> InputError:
    """All that is wrong, each field with its value."""
    wrong = [_one(error) for error in problem.errors(include_url=False)[:_SHOWN]]
    if len(wrong) == 1:
        field, words = wrong[0]
        return InputError(words, f"{kind}.{field}" if field else kind)
    known = ", ".join(model.model_fields)
    return InputError("; ".join(f"{field}: {words}" for field, words in wrong) + f" (its fields: {known})", kind)


def _one(error: ErrorDetails) -> tuple[str, str]:
    given = error.get("input")
    quiet = isinstance(given, dict | list) or error["type"] in ("missing", "extra_forbidden")
    shown = "" if quiet else f" (given {str(given)[:80]!r})"
    words = {"missing": "is missing", "extra_forbidden": "is not a field of it"}
    message = words.get(error["type"], error["msg"].removeprefix("Value error, "))
    return ".".join(str(part) for part in error["loc"]), message + shown


def stored(data: Part) -> dict[str, Any]:
    """Checked data as the event's body holds it: what says nothing is left out."""
    return {
        name: value
        for name, value in data.model_dump(mode="json", exclude_none=True).items()
        if value not in ("", [])
    }
