"""What a user writes: one scenario file, read top to bottom in a minute."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gigaforge.quarters import Quarter
from gigaforge.scenario.commitment import Commitment, Condition, Horizon, Investment, Milestone, TrancheStep
from gigaforge.scenario.finance import Debt, Finance, Operations, Party, SystemTerms, Tax
from gigaforge.scenario.series import Part, interpolate, step
from gigaforge.scenario.sites import Curtailment, Link, Phase, Platform, ScenarioSite
from gigaforge.scenario.uncertainty import Risk
from gigaforge.scenario.workloads import Product, Reasoning, Serving, TokenPrices, TrainingRun, output_tokens

__all__ = [
    "Commitment",
    "Condition",
    "Curtailment",
    "Debt",
    "Finance",
    "Horizon",
    "Investment",
    "Link",
    "Milestone",
    "Operations",
    "Part",
    "Party",
    "Phase",
    "Platform",
    "Product",
    "Reasoning",
    "Scenario",
    "ScenarioSite",
    "Serving",
    "SystemTerms",
    "Tax",
    "TokenPrices",
    "TrainingRun",
    "TrancheStep",
    "interpolate",
    "output_tokens",
    "step",
]


class Scenario(Part):
    """The whole file."""

    schema_version: Literal[1] = Field(1, alias="schema")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")
    title: str
    description: str = ""
    horizon: Horizon
    commitment: Commitment
    investment: Investment | None = None
    platforms: list[Platform] = Field(min_length=1)
    sites: list[ScenarioSite] = Field(min_length=1)
    training: list[TrainingRun] = Field(default_factory=list)
    serving: list[Serving] = Field(default_factory=list)
    finance: Finance
    operations: Operations = Operations()
    links: list[Link] = Field([], description="lines between sites; only linked sites may share a training run")
    parties: list[Party] = Field([], description="what is known of the parties: roles, discount rates, margins")
    objective: Literal["npv", "tokens", "cost", "earliest"] = "npv"
    block: Annotated[int, Field(gt=0)] = Field(8, description="systems are bought in blocks of this many")
    risk: Risk | None = Field(None, description="what may turn out otherwise, for `gigaforge risk`")
    because: dict[str, str] = Field(
        default_factory=dict, description="where each figure comes from: source key, address or 'assumption: why'"
    )

    @property
    def quarters(self) -> list[Quarter]:
        """All planned quarters."""
        return [Quarter(i) for i in range(self.horizon.first.index, self.horizon.last.index + 1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for kind in ("platforms", "sites", "training", "serving", "parties"):
            names = [getattr(item, "site" if kind == "sites" else "name") for item in getattr(self, kind)]
            double = next((n for n in names if names.count(n) > 1), None)
            if double is not None:
                raise ValueError(f"{kind}: {double!r} appears twice")
        listed = [s for p in self.platforms for s in p.systems]
        double = next((s for s in listed if listed.count(s) > 1), None)
        if double is not None:
            raise ValueError(f"platforms: system {double!r} appears on two lines")
        for milestone in self.commitment.milestones:
            if not self.horizon.first <= milestone.by <= self.horizon.last:
                raise ValueError(f"commitment.milestones: {milestone.by} is outside the horizon")
        if all(max(p.supply.values()) < self.block for p in self.platforms):
            raise ValueError(f"block: {self.block} systems are more than any platform supplies in a quarter")
        known = {s.site for s in self.sites}
        stop = self.investment.long_stop if self.investment else None
        if stop is not None and stop < self.horizon.first:
            raise ValueError(f"investment.long_stop: {stop} is before the horizon, which begins {self.horizon.first}")
        for link in self.links:
            for site in link.between:
                if site not in known:
                    raise ValueError(f"links: {site!r} is not a site of this scenario")
            if link.between[0] == link.between[1]:
                raise ValueError(f"links: {link.between[0]!r} is joined to itself")
        swinging = next((s.site for s in self.sites if s.price_swing), None)
        if swinging is not None and not any(w.shape for w in self.serving):
            raise ValueError(
                f"sites.{swinging}.price_swing: moves the price in the hours in which serving works, and no workload says when "
                "that is; give one a shape (serving.NAME.shape) or leave price_swing out"
            )
        runs = {run.name for run in self.training}
        for condition in self.investment.conditions if self.investment else []:
            if condition.run is not None and condition.run not in runs:
                raise ValueError(f"investment.conditions: {condition.run!r} is not a training run of this scenario")
        workloads = [w.name for w in self.serving]
        for run in self.training:
            for name in run.serves:
                if name not in workloads:
                    known_names = ", ".join(workloads) or "none"
                    raise ValueError(
                        f"training: {run.name!r} serves {name!r}, which is no workload here (known: {known_names})"
                    )
            if run.latest is not None and run.latest > self.horizon.last:
                raise ValueError(f"training: {run.name!r} may slip to {run.latest}, after the horizon")
            if run.start < self.horizon.first or run.end > self.horizon.last:
                raise ValueError(
                    f"training: the window of {run.name!r}, {run.start} to {run.end}, leaves the horizon"
                )
            for site in run.sites:
                if site not in known:
                    raise ValueError(f"training: {run.name!r} names site {site!r}, which the scenario does not list")
        return self
