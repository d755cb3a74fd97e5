"""What the catalogue holds: accelerators, systems, networks, models, sites, partners, facts, traffic shapes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gigaforge.catalog.figure import (
    BandwidthFigure,
    CarbonFigure,
    CountFigure,
    DataFigure,
    EnergyPriceFigure,
    Figure,
    FlopRateFigure,
    MoneyFigure,
    MoneyPerPowerFigure,
    MoneyPerPowerTimeFigure,
    PowerFigure,
    TokensFigure,
)
from gigaforge.quarters import Quarter
from gigaforge.units import DIMENSIONS, parse_quantity

__all__ = [
    "Accelerator",
    "ClimateNormals",
    "EnergyStep",
    "Entry",
    "Fact",
    "Model",
    "Network",
    "Partner",
    "Shape",
    "Site",
    "Source",
    "System",
]

Status = Literal["shipping", "ramping", "announced", "announced_only", "cancelled", "retired"]
Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$", description="identifier, e.g. 'gb300-nvl72'")]
# YAML reads a bare 2025 as a number and 2025-09-22 as a date; both mean the text.
DateText = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | date) else value)]
Sources = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class Entry(BaseModel):
    """Anything with a name in the catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    label: str = Field(description="as people write it, e.g. 'GB300 NVL72'")
    source: Sources = Field([], description="where the plain counts and dates were read: keys or addresses")
    assumption: str = Field("", description="why, for what no source gives")
    note: str = ""


class Source(BaseModel):
    """Where a figure was read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    url: str = Field(pattern=r"^https?://")
    date: DateText = ""
    reliability: Literal["first-party", "audited", "measured", "secondary", "derived"] = "secondary"


class Accelerator(Entry):
    """One package (a Rubin package has two dies and counts once). FLOP/s are dense."""

    vendor: str
    generation: str
    status: Status
    announced: date | None = None
    available_from: Quarter | None = None
    bf16: FlopRateFigure | None = Field(None, description="dense bf16 (fp16 before Ampere)")
    fp8: FlopRateFigure | None = None
    fp4: FlopRateFigure | None = None
    bf16_achieved: FlopRateFigure | None = Field(None, description="fastest bf16 matrix product that was measured")
    hbm_capacity: DataFigure | None = None
    hbm_bandwidth: BandwidthFigure | None = None
    scale_up_bandwidth: BandwidthFigure | None = Field(
        None, description="NVLink, xGMI or ICI, one direction, per accelerator"
    )
    power: PowerFigure | None = Field(None, description="largest sustained board power (TDP)")
    idle_power: PowerFigure | None = None
    multiprocessors: Positive | None = Field(None, description="SMs or compute units")
    price: MoneyFigure | None = None

    def peak(self, precision: str) -> Figure | None:
        """Dense peak for bf16, fp16, fp8, mxfp8, fp4, nvfp4, mxfp4."""
        kind = {"fp16": "bf16", "mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4"}.get(precision, precision)
        figure: Figure | None = getattr(self, kind)
        return figure


class Network(Entry):
    """A scale-out fabric between systems."""

    generation: str
    port_bandwidth: BandwidthFigure
    latency_us: float | None = None
    switch_ports: Positive | None = None
    status: Status = "shipping"


class System(Entry):
    """What is delivered and powered as one unit: a DGX node or an NVL72 rack. "Racks" in a plan count these."""

    accelerator: str
    accelerators: Positive
    nvlink_domain: Positive = Field(description="accelerators that share one scale-up network")
    status: Status
    announced: date | None = None
    available_from: Quarter | None = None
    network: str | None = None
    scale_out_bandwidth: BandwidthFigure | None = Field(None, description="one direction, per accelerator")
    accelerator_power: PowerFigure | None = Field(
        None,
        description="power limit per accelerator in this system, where it differs from the accelerator's",
    )
    power: PowerFigure | None = Field(None, description="IT power of the system at full load")
    overhead_power: PowerFigure | None = Field(
        None, description="the system's share of scale-out switches, storage and management"
    )
    cooling: Literal["air", "liquid", "hybrid"] = "air"
    price: MoneyFigure | None = None
    network_price: MoneyFigure | None = Field(
        None, description="scale-out network, storage and management bought with one system"
    )
    life_years: float = 5.0


class Model(Entry):
    """A transformer's full architecture."""

    family: Literal["dense", "moe"]
    status: Literal["released", "assumption", "internal"] = "released"
    layers: Positive
    d_model: Positive
    heads: Positive
    kv_heads: Positive
    head_dim: Positive = Field(description="per head; of multi-head latent attention the part without rotation")
    d_ff: Positive = Field(description="hidden width of a dense feed-forward block")
    vocab: Positive
    max_context: Positive = 8192
    attention: Literal["mha", "gqa", "mqa", "mla"] = "gqa"
    activation: Literal["swiglu", "gelu", "squared_relu"] = "swiglu"
    tied_embeddings: bool = False
    attention_bias: bool = False
    learned_positions: int = Field(0, ge=0, description="learned position embeddings (0: rotary)")
    # Mixture of experts
    experts: int = Field(0, ge=0)
    experts_per_token: int = Field(0, ge=0)
    shared_experts: int = Field(0, ge=0)
    expert_d_ff: int = Field(0, ge=0)
    shared_d_ff: int = Field(
        0, ge=0, description="hidden width of all shared experts together (0: shared_experts × expert_d_ff)"
    )
    expert_d_model: int = Field(0, ge=0, description="width that experts work in (0: d_model)")
    dense_layers: int = Field(0, ge=0, description="layers with a dense feed-forward block (mostly the leading ones)")
    # Hybrids: some layers mix tokens with linear attention or a state space, some have no feed-forward block
    attention_layers: int = Field(0, ge=0, description="layers with softmax attention (0: layers - linear_layers)")
    linear_layers: int = Field(
        0, ge=0, description="layers with linear attention or a state space (no growing cache)"
    )
    feed_forward_layers: int = Field(0, ge=0, description="layers with a feed-forward block (0: all)")
    linear_key_dim: int = Field(0, ge=0, description="width of queries, and of keys, in a linear layer")
    linear_value_dim: int = Field(0, ge=0, description="width of values, and of their gate, in a linear layer")
    attention_gate: bool = Field(
        False, description="softmax attention's output is gated (as many weights as queries)"
    )
    # Multi-head latent attention (DeepSeek)
    q_lora_rank: int = Field(0, ge=0)
    kv_lora_rank: int = Field(0, ge=0)
    rope_head_dim: int = Field(0, ge=0)
    v_head_dim: int = Field(0, ge=0, description="0: as head_dim")
    # Sliding-window attention: every `global_every`-th layer sees everything
    sliding_window: int = Field(0, ge=0)
    global_every: int = Field(0, ge=0)
    mtp_layers: int = Field(0, ge=0, description="multi-token-prediction layers")
    published_parameters: CountFigure | None = None
    published_active_parameters: CountFigure | None = None
    training_tokens: TokensFigure | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.source and not self.assumption.strip():
            raise ValueError("a model needs a source, or an assumption that says why")
        if self.attention != "mla" and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads {self.kv_heads} does not divide heads {self.heads}")
        if self.family == "moe" and not (0 < self.experts_per_token <= self.experts and self.expert_d_ff > 0):
            raise ValueError(
                "a mixture of experts needs experts, experts_per_token (at most experts) and expert_d_ff"
            )
        if self.linear_layers and not (self.linear_key_dim and self.linear_value_dim):
            raise ValueError("linear layers need linear_key_dim and linear_value_dim")
        if self.attention == "mla" and not (self.kv_lora_rank and self.rope_head_dim):
            raise ValueError("multi-head latent attention needs kv_lora_rank and rope_head_dim")
        return self


class EnergyStep(BaseModel):
    """Cumulative facility power energised at a site from a quarter on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quarter: Quarter
    power: PowerFigure


class ClimateNormals(BaseModel):
    """Weather of a mean year, by month, at the nearest station that publishes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    station: str
    mean_c: list[float] = Field(min_length=12, max_length=12, description="mean air temperature, January first [°C]")
    source: Sources = Field(min_length=1, description="where they were read: keys or addresses")
    note: str = ""


class Site(Entry):
    """A campus with power by quarter, or leased capacity at a partner's."""

    partner: str
    location: str = ""
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    tenure: Literal["owned", "leased", "cloud"] = Field(
        description="owned: we pay the facility; leased: the partner builds, we rent kW and bring systems; "
        "cloud: the partner brings facility and systems, we rent GPU-hours"
    )
    energised: list[EnergyStep] = Field(min_length=1)
    pue_mean: CountFigure = Field(description="ratio, for energy")
    pue_peak: CountFigure = Field(description="ratio, against the site's power limit")
    energy_price: EnergyPriceFigure
    facility_cost: MoneyPerPowerFigure | None = Field(
        None, description="owned: shell, power and cooling per W of facility power"
    )
    lease_price: MoneyPerPowerTimeFigure | None = Field(
        None, description="leased: per W of facility power and second ('$130/kW-month')"
    )
    cloud_price_multiple: CountFigure | None = Field(
        None, description="cloud: rent of a system over its owner's annual cost"
    )
    rack_power_limit: PowerFigure | None = None
    systems: list[str] = Field([], description="systems this site can host (empty: all within its rack power limit)")
    carbon_intensity: CarbonFigure | None = None
    climate: ClimateNormals | None = Field(None, description="monthly normals (default: assumed from the latitude)")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for before, after in zip(self.energised, self.energised[1:], strict=False):
            if after.quarter <= before.quarter:
                raise ValueError(f"energised: {after.quarter} follows {before.quarter}; quarters must rise")
            if after.power.value < before.power.value:
                raise ValueError(f"energised: power falls at {after.quarter}; steps are cumulative")
        needed = {"owned": "facility_cost", "leased": "lease_price", "cloud": "cloud_price_multiple"}[self.tenure]
        if getattr(self, needed) is None:
            raise ValueError(f"a site with tenure {self.tenure!r} needs {needed}")
        return self


class Partner(Entry):
    """Who brings money, sites or systems."""

    role: Literal["investor", "operator", "supplier", "developer", "cloud", "lender"]


class Fact(Figure):
    """A named figure that scenarios cite: users, messages, tokens a message, prices, hours of the day.

    Attributes
    ----------
    measure : str
        What it measures: a key of `gigaforge.units.DIMENSIONS` ("count", "money_per_token", ...).
    date : str
        When it held.

    """

    name: Name
    label: str
    measure: str
    date: DateText = ""

    @property
    def dimension(self) -> str:
        """Key of `gigaforge.units.DIMENSIONS`."""
        return self.measure

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        measure = data.get("measure")
        if measure not in DIMENSIONS:
            raise ValueError(f"measure {measure!r} is unknown; known: {', '.join(DIMENSIONS)}")
        bounds = ("value", "low", "high")
        return {**data, **{key: parse_quantity(data[key], measure) for key in bounds if key in data}}


HOURS_PER_WEEK: Final = 168


class Shape(Entry):
    """Relative load by hour of a week, Monday 00:00 UTC first, mean one."""

    factors: list[float] = Field(min_length=HOURS_PER_WEEK, max_length=HOURS_PER_WEEK)

    @field_validator("factors")
    @classmethod
    def _normal(cls, factors: list[float]) -> list[float]:
        mean = sum(factors) / len(factors)
        if min(factors) < 0 or abs(mean - 1) > 5e-3:
            raise ValueError(f"factors must not be negative and average one; their mean is {mean:.4g}")
        return factors
