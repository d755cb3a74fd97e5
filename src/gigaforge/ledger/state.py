"""The current state: what a fold over all events yields. Plain JSON, so that two folds can be compared byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from gigaforge.ledger.canonical import ZERO_HASH, canonical, parse_canonical
from gigaforge.ledger.errors import RefusedError
from gigaforge.ledger.racks import VOID, Rack, Register, contributions
from gigaforge.ledger.terms import Terms
from gigaforge.quarters import Quarter

__all__ = ["FOLD", "State"]

FOLD: Final = 4
"""Raise it with every change of what a fold yields, in the state or in racks: ledgers that an earlier version folded are folded
anew when they are next opened."""


@dataclass
class State:
    """Sums and standing matters; single racks are in the register.

    Attributes
    ----------
    cells : dict
        Quarter, site, system → ``delivered, online, accepted, retired`` [racks] and ``accepted_w`` [W] in that quarter.
    standing : dict
        Site, system → status → racks.
    energised : dict
        Site → ``[seq, quarter index, facility power that it can draw from then on]`` of every statement. [W]
    meters : dict
        Site → quarter (of the reading's first day) → ``energy_j, it_energy_j, readings``.
    meters_read : dict
        Site → the times that readings which stand cover, in order and apart.
    claims, commitments, disputes : dict
        By the number of their event.
    tests : dict
        Verdict → tests.
    signed : list of str
        Kinds of events that must carry their party's signature since the ledger was opened; the terms may add others.
    remarks : dict
        Rule → events that break it, from before it was a rule.
    recording : bool
        An event is recorded now, and meets every rule. Not part of what is kept: an event that an earlier version recorded
        met the rules of its time.

    """

    seq: int = 0
    head: str = ZERO_HASH
    recorded_at: str = ""
    ledger: str = ""
    title: str = ""
    parties: dict[str, dict[str, Any]] = field(default_factory=dict)
    terms: dict[str, Any] | None = None
    terms_seq: int = 0
    commitments: dict[str, dict[str, Any]] = field(default_factory=dict)
    cells: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=dict)
    standing: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    energised: dict[str, list[list[int]]] = field(default_factory=dict)
    meters: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    meters_read: dict[str, list[list[str]]] = field(default_factory=dict)
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    disputes: dict[str, dict[str, Any]] = field(default_factory=dict)
    tests: dict[str, int] = field(default_factory=dict)
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    voided: dict[str, int] = field(default_factory=dict)
    signed: list[str] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    remarks: dict[str, list[int]] = field(default_factory=dict)
    recording: bool = field(default=False, init=False, repr=False, compare=False)
    _read: Terms | None = field(default=None, init=False, repr=False, compare=False)

    def body(self) -> bytes:
        """Canonical bytes."""
        return canonical(self.to_dict())

    @classmethod
    def read(cls, body: bytes) -> Self:
        """From canonical bytes."""
        return cls(**parse_canonical(body))

    def to_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def in_force(self) -> Terms | None:
        """The terms in force."""
        if self.terms is None:
            return None
        if self._read is None:
            self._read = Terms.model_validate(self.terms)
        return self._read

    def asked_signatures(self) -> list[str]:
        """Kinds of events that must carry the signature of their party's key now."""
        terms = self.in_force()
        return list(dict.fromkeys([*self.signed, *(terms.signed if terms is not None else [])]))

    def put_in_force(self, seq: int, terms: dict[str, Any]) -> None:
        """Terms that hold from now on."""
        self.terms, self.terms_seq, self._read = terms, seq, None

    def newer_rule(self, rule: str, seq: int, problem: str) -> None:
        """A rule that is younger than the first ledgers stands against an event: it is refused when it is recorded now.

        Where it is history an earlier version took it rightly. It stays, what rests on it too, and the breach is remarked.
        """
        if self.recording:
            raise RefusedError(rule, problem)
        found = self.remarks.setdefault(rule, [])
        if seq not in found[-1:]:
            found.append(seq)

    def count(self, rack: Rack | None, sign: int) -> None:
        """Add a rack to the sums, or take it away."""
        if rack is None or rack.status == VOID:
            return
        by_status = self.standing.setdefault(rack.site, {}).setdefault(rack.system, {})
        _add(by_status, rack.status, sign)
        for (quarter, measure), amount in contributions(rack).items():
            cell = (
                self.cells.setdefault(str(Quarter(quarter)), {}).setdefault(rack.site, {}).setdefault(rack.system, {})
            )
            _add(cell, measure, sign * amount)

    def move(self, register: Register, before: Rack | None, after: Rack) -> None:
        """A rack changed: carry it through the sums and the claim that it carries, and keep it."""
        self.count(before, -1)
        self.count(after, 1)
        if after.claim and before is not None:
            self.claims[str(after.claim)]["live_w"] += after.counted_w - before.counted_w
        register.put(after)

    # What people ask of it

    @property
    def accepted_w(self) -> int:
        """Deployed power on the commitment's basis: every rack ever accepted. [W]"""
        return self.total("accepted_w")

    def total(self, measure: str) -> int:
        """Sum of a measure over all cells."""
        return sum(
            cell.get(measure, 0)
            for sites in self.cells.values()
            for systems in sites.values()
            for cell in systems.values()
        )

    @property
    def released_cents(self) -> int:
        """Paid so far, tranche by tranche."""
        return sum(c["amount_cents"] for c in self.claims.values() if c["status"] == "released")

    @property
    def claimed_w(self) -> int:
        """Accepted power that carries claims that stand. [W]"""
        return sum(c["live_w"] for c in self.claims.values() if c["status"] in ("pending", "approved", "released"))

    def live_claim(self, tranche: int) -> dict[str, Any] | None:
        """The claim that stands on a tranche."""
        return next((c for c in self.claims.values() if c["tranche"] == tranche and c["status"] != "rejected"), None)


def _add(where: dict[str, int], key: str, amount: int) -> None:
    value = where.get(key, 0) + amount
    if value:
        where[key] = value
    else:
        where.pop(key, None)
