"""The terms of the investment as data: what counts, what releases a tranche, who must agree, what a rack must show.

Everything is a whole number (watts, cents), so that a sum never depends on its order.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AcceptanceTest", "Band", "MilestoneTerm", "Signable", "SiteTerms", "SystemTerms", "Terms"]

Watts = Annotated[int, Field(ge=0, le=10**15)]
Cents = Annotated[int, Field(ge=0, le=10**18)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]{0,62}$")]
Text = Annotated[str, Field(max_length=2000)]
Signable = Literal["commitment", "claim", "approval", "release", "acceptance", "correction", "dispute"]
"""Kinds of events that may have to carry the signature of their party's key."""


class Part(BaseModel):
    """A part of the record: unknown fields are errors, and text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Band(Part):
    """A prediction with the 80 % interval of the performance model."""

    value: float = Field(gt=0)
    low: float = Field(gt=0)
    high: float = Field(gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError("low, value and high must rise")
        return self


class AcceptanceTest(Part):
    """What a system of this kind must show, as the performance model predicts it.

    Attributes
    ----------
    test : str
        In words: model, batch, precision, accelerators.
    throughput : Band
        [tokens/s per accelerator]
    power_w : Band
        Mean IT power of one system in the test. [W]
    source : str
        What predicted it: version and parameter file.
    run : dict
        The same test as a row that `gigaforge validate training` reads, without its result: what was measured becomes a
        measured run of it.

    """

    test: Text
    throughput: Band
    power_w: Band
    source: Text
    run: dict[str, str | int | float] = {}


class SystemTerms(Part):
    """What one system counts and must show."""

    label: Text = ""
    rack_w: Annotated[int, Field(gt=0, le=10**9)] = Field(
        description="nameplate IT power, share of the network included [W]"
    )
    accelerators: Annotated[int, Field(gt=0, le=10**6)]
    acceptance: AcceptanceTest | None = None


class SiteTerms(Part):
    """What a rack counts at this site, by system [W]; 0 where it does not count."""

    label: Text = ""
    partner: Name | None = None
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    pue: float = Field(1.0, ge=1, le=10)
    counted_w: dict[Name, Watts]


class MilestoneTerm(Part):
    """So much deployed by the end of a quarter."""

    power_w: Watts
    by: Annotated[str, Field(pattern=r"^\d{4}-Q[1-4]$")]


class Terms(Part):
    """A version of the terms.

    Attributes
    ----------
    per_w, amount_cents, ceiling_cents, upfront_cents : int
        Accepted power that releases one tranche; what it pays; the cap of all payments; what is paid by date.
    investor, recipient : str
        Parties that pay and are paid.
    approvers, approvals : list of str, int
        Parties whose people may approve, and how many of them must, each from a different party.
    signed : list of str
        Kinds of events that must carry the signature of their party's key.
    before_test : str
        What a rack must have been through before its acceptance test: nothing, installation or energisation.

    """

    version: Annotated[int, Field(ge=1)] = 1
    scenario: Text
    scenario_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    basis: Literal["facility", "it"]
    commitment_w: Annotated[int, Field(gt=0, le=10**15)]
    milestones: list[MilestoneTerm] = []
    first_quarter: Annotated[str, Field(pattern=r"^\d{4}-Q[1-4]$")] | None = None
    investor: Name
    recipient: Name
    per_w: Annotated[int, Field(gt=0, le=10**15)]
    amount_cents: Annotated[int, Field(gt=0, le=10**18)]
    ceiling_cents: Cents
    upfront_cents: Cents = 0
    approvers: list[Name]
    approvals: Annotated[int, Field(ge=2, le=10)] = 2
    signed: list[Signable] = []
    before_test: Literal["", "installation", "energisation"] = ""
    systems: dict[Name, SystemTerms]
    sites: dict[Name, SiteTerms]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.approvers)) != len(self.approvers):
            raise ValueError("approvers: a party appears twice")
        if len(self.approvers) < self.approvals:
            raise ValueError(f"approvers: {len(self.approvers)} parties cannot give {self.approvals} approvals")
        if self.upfront_cents > self.ceiling_cents:
            raise ValueError("upfront_cents exceeds ceiling_cents")
        if self.investor == self.recipient:
            raise ValueError("investor and recipient are the same party")
        for name, site in self.sites.items():
            missing = set(self.systems) ^ set(site.counted_w)
            if missing:
                raise ValueError(f"sites.{name}.counted_w: must name every system and no other: {sorted(missing)}")
        return self

    @property
    def tested_from(self) -> int:
        """How many steps of a rack's way (delivered, installed, energised) its test may not follow directly."""
        return ("", "installation", "energisation").index(self.before_test)

    @property
    def tranches(self) -> int:
        """How many tranches the cap allows."""
        return (self.ceiling_cents - self.upfront_cents) // self.amount_cents
