"""A fleet in a YAML file of its own: what a person writes, checked field by field, units as text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gigaforge.catalog.load import read_yaml, validation_problem
from gigaforge.errors import InputError
from gigaforge.operations.research import ResearchPolicy
from gigaforge.quarters import Quarter
from gigaforge.units import CarbonIntensity, Duration, EnergyPrice, Fraction, Power, quantity_field

__all__ = [
    "Bounds",
    "CheckpointSpec",
    "FleetSpec",
    "Part",
    "SiteSpec",
    "TrainingSpec",
    "bounds",
    "fleet_json_schema",
    "load_fleet_spec",
]


TokenRate = Annotated[float, quantity_field("token_rate")]
Frequency = Annotated[float, quantity_field("frequency")]
Energy = Annotated[float, quantity_field("energy")]
Racks = Annotated[int, Field(ge=0)]
Share = Annotated[Fraction, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """A block of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Bounds:
    """What a number may be: from `least`, more than `above`, to `most`."""

    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf


def bounds(block: type[Part], field: str) -> Bounds:
    """The bounds that a block states for one of its fields, wherever else that field can be given."""
    schema = block.model_json_schema(mode="serialization")["properties"][field]
    stated = schema | next((part for part in schema.get("anyOf", []) if part.get("type") != "null"), {})

    def bound(*names: str, default: float) -> float:
        return float(next((stated[name] for name in names if name in stated), default))

    return Bounds(
        bound("minimum", "ge", default=-math.inf),
        bound("exclusiveMinimum", "gt", default=-math.inf),
        bound("maximum", "le", default=math.inf),
    )


class SystemSpec(Part):
    """A rack (or node) by name."""

    accelerators: int = Field(gt=0)
    tray: int = Field(0, ge=0, description="accelerators that leave with one tray; 0: the whole rack")
    power: Power = Field(description="IT power at full work")
    idle_power: Power | None = Field(None, description="default 30 % of power")


class ClimateSpec(Part):
    """Normals of a place, where they are known."""

    mean_temperature_c: float = Field(ge=-30, le=40)
    season_k: float = Field(ge=0, le=40, description="half the difference between warmest and coldest month")
    daily_k: float = Field(6.0, ge=0, le=20, description="half the daily range")
    humidity_percent: float = Field(60.0, ge=5, le=99)


class StorageSpec(Part):
    """A battery."""

    energy: Energy
    power: Power
    efficiency: Share = 0.9


class ResponseSpec(Part):
    """Demand response: how much, how long, how often a year."""

    depth: Share = 0.25
    duration: Duration = 3 * 3600.0
    per_year: float = Field(ge=0)


class SiteSpec(Part):
    """A campus and its racks."""

    name: str = Field(min_length=1)
    power: Power = Field(description="facility power that the grid connection and feeders allow")
    feeder_power: Power | None = Field(
        None, gt=0, description="facility power of one hall's feeders; halls fill up job by job"
    )
    racks: dict[str, Racks] = Field(description="system: racks")
    pue: float = Field(1.15, ge=1.0, le=3.0, description="mean over a year at full load")
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    climate: ClimateSpec | None = None
    energy_price: EnergyPrice = 50.0 / 3.6e9
    price_swing: Share = Field(0.0, description="daily amplitude of the price")
    carbon_intensity: CarbonIntensity = 0.39 / 3.6e6
    carbon_swing: Share = Field(0.0, description="daily amplitude of the carbon intensity")
    technicians: int | None = Field(
        None, ge=1, le=1_000_000, description="on shift at once; default enough for new racks"
    )
    spare_parts: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="on the shelf; default what the lead time uses while racks are new, and 3 sigma",
    )
    pod_racks: int = Field(8, ge=1)
    hall_racks: int = Field(128, ge=1)
    storage: StorageSpec | None = None
    solar: Power = 0.0
    generation: Power = Field(0.0, description="constant on-site generation")
    demand_response: ResponseSpec | None = None
    ramp_per_minute: Power | None = Field(
        None, gt=0, description="change of facility power that the grid accepts in a minute"
    )
    swing_limit: Power | None = Field(None, gt=0, description="swing within a training step that the grid accepts")
    share_spares: bool = Field(True, description="runs on like racks lend each other hot spares")
    throttle_floor: Share = Field(0.5, description="lowest share of its power at which a rack still works")


class CheckpointSpec(Part):
    """Snapshots: to memory of hosts and peers, copied to local disks and to remote storage behind the run's back."""

    interval: Duration | None = Field(None, gt=0, description="work between snapshots; default the exact optimum")
    blocking: Duration = Field(2.0, description="each stops the run for so long; asynchronous ones shortly")
    durable_after: Duration = Field(10.0, description="until a copy in memory can be read back")
    load: Duration = Field(15.0, description="from memory")
    local_every: int = Field(4, ge=1, description="every so many snapshots one goes to local disks")
    local_load: Duration = 45.0
    remote_every: int = Field(10, ge=1, description="every so many snapshots one goes to remote storage")
    remote_load: Duration = 120.0


class RestartSpec(Part):
    """Stages between a failure and the next productive step."""

    detect: Duration = 30.0
    attended_share: Share = 0.10
    attended: Duration = 1800.0
    swap: Duration = 60.0
    init: Duration = 30.0
    warmup: Duration = 30.0


class TrainingSpec(Part):
    """A gang-scheduled run."""

    name: str = Field(min_length=1)
    site: str
    system: str
    racks: int = Field(gt=0, description="spares included")
    tokens_per_second: TokenRate = Field(0.0, description="of one rack at work")
    step: Duration | None = Field(None, gt=0, description="an optimizer step, for swings of power; default 10 s")
    mode: Literal["synchronous", "elastic", "fault_tolerant", "best"] = "best"
    replica_racks: int = Field(1, ge=1, description="racks of one data-parallel replica")
    spares: Racks | None = None
    checkpoint: CheckpointSpec = CheckpointSpec()
    restart: RestartSpec = RestartSpec()
    hiccup: Duration = 30.0
    fallback: Share = 0.05
    planned_per_day: float = Field(1.0, ge=0, le=1440)
    planned: Duration = 300.0
    ramp: Duration = Field(0.0, description="extra time to ramp power up after each stop")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.replica_racks > self.racks:
            raise ValueError(
                f"{self.name}: a replica of {self.replica_racks:,} racks, and the run has {self.racks:,}; "
                f"replica_racks of at most {self.racks:,} is expected"
            )
        if self.spares is not None and self.spares >= self.racks:
            raise ValueError(f"{self.name}: {self.spares:,} spares of {self.racks:,} racks leave none to work")
        return self


class PoolSpec(Part):
    """Racks of one system at one site that serve a workload."""

    site: str
    system: str
    racks: int = Field(gt=0)
    tokens_per_second: TokenRate = Field(gt=0, description="of one rack at full use")
    ttft: Duration | None = Field(None, gt=0, description="mean time to first token at full batch")
    tpot: Duration | None = Field(None, gt=0, description="mean time per output token at full batch")


class ServingSpec(Part):
    """Demand and the pools that serve it."""

    name: str = Field(min_length=1)
    demand: TokenRate = Field(description="mean over the year")
    pools: list[PoolSpec] = Field(min_length=1)
    shape: Literal["conversation", "coding", "flat"] = "conversation"
    time_zones: float = Field(6.0, ge=0, le=24, description="hours over which users are spread")
    noise: Share = 0.03
    bursts_per_day: float = Field(0.1, ge=0, le=1440)
    paid: Share = 0.2
    autoscale: Literal["none", "reactive", "forecast"] = "reactive"
    headroom: Fraction = 0.05
    start: Duration = 600.0
    request: Duration = Field(8.0, gt=0)
    patience: Duration = 1.0
    slots_per_rack: float = Field(1000.0, gt=0)
    backfill: bool = True
    ttft_target: Duration | None = Field(
        None, gt=0, description="promised; with the pools' ttft it replaces patience"
    )
    tpot_target: Duration | None = Field(None, gt=0, description="promised; a request slower than it is late")
    output_tokens: float | None = Field(
        None, gt=0, description="a request's; with the pools' tpot it replaces request"
    )


class ModeSpec(Part):
    """Changes to one failure mode."""

    rate: Frequency | None = Field(None, description="per accelerator or rack, as the shipped table counts it")
    auto: Share | None = None


class OutageSpec(Part):
    """Changes to one kind of outage; a rate alone may stand for it."""

    rate: Frequency | None = Field(None, description="per pod, hall or site")
    duration: Duration | None = Field(None, gt=0, description="mean")

    @model_validator(mode="before")
    @classmethod
    def _rate_alone(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"rate": value}


class RepairSpec(Part):
    """How racks come back."""

    auto_mean: Duration | None = Field(None, description="reset or reboot and health check")
    hands_on_median: Duration | None = Field(None, gt=0, description="a technician's work (log-normal)")
    hands_on_sigma: float | None = Field(None, ge=0, le=3, description="its spread")
    burn_in: Duration | None = Field(None, description="test before return to service")
    part_share: Share | None = Field(None, description="of repairs by hand that use up a spare part")
    part_lead: Duration | None = Field(None, description="until the shelf is restocked")
    cures_lemons: Share | None = Field(None, description="chance that a repair by hand cures a repeat offender")


class DegradationSpec(Part):
    """Slow links and throttling."""

    rate: Frequency | None = Field(None, description="per accelerator")
    duration: Duration | None = Field(None, gt=0, description="until noticed")
    slowdown: Share | None = Field(None, description="mean, of the whole gang")


class FailureSpec(Part):
    """Changes to the shipped failure table."""

    rate_multiplier: float = Field(1.0, ge=0)
    node_rate_per_1000_days: float | None = Field(
        None, ge=0, description="published failures per 1,000 days of an 8-accelerator node; sets the multiplier"
    )
    modes: dict[str, ModeSpec] = {}
    outages: dict[str, OutageSpec] = {}
    repair: RepairSpec = RepairSpec()
    degradations: DegradationSpec = DegradationSpec()
    lemon_share: Share | None = None
    lemon_multiple: float | None = Field(None, ge=1)
    infant_excess: float | None = Field(None, ge=0, description="a new rack fails 1 + so many times as often")
    infant_time: Duration | None = Field(None, gt=0, description="in which that decays")
    wear_per_year: float | None = Field(None, ge=0, description="linear growth of the rate with age")
    plain: bool = Field(False, description="like racks, exponential failures only")


def _job_size(value: Any) -> float:
    size = float(value)
    whole = size if size >= 1.0 else 1.0 / size if size > 0.0 else 0.5
    if abs(whole - round(whole)) > 1e-6:
        raise ValueError(
            f"{value} racks; a whole number, or a part that divides a rack (0.5, 0.25, ...), is expected"
        )
    return size


class ResearchSpec(Part):
    """Jobs on the racks left over."""

    use: Share = Field(0.9, description="share of these racks that the jobs would keep busy")
    sizes: dict[Annotated[float, BeforeValidator(_job_size)], Share] = Field(
        dict(ResearchPolicy().sizes), min_length=1, description="racks of a job: share of rack time asked for"
    )
    duration: Duration = Field(ResearchPolicy().duration_s, gt=0, description="mean work of a job")
    spread: float = Field(ResearchPolicy().spread, ge=0, le=3, description="log-normal")
    checkpoint: Duration = Field(ResearchPolicy().checkpoint_s, gt=0)
    restart: Duration = ResearchPolicy().restart_s

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.sizes.values())
        if abs(total - 1.0) > 0.005:
            raise ValueError(f"research.sizes add up to {total:.4g} of the rack time asked for; 100 % is expected")
        return self


class FleetSpec(Part):
    """One fleet for some years."""

    schema_version: Literal[1] = 1
    name: str = Field(min_length=1)
    start: Quarter = Quarter.parse("2027-Q1")
    years: float = Field(1.0, gt=0, le=30, description="of any length, in 5-minute steps")
    systems: dict[str, SystemSpec] = Field(min_length=1)
    sites: list[SiteSpec] = Field(min_length=1)
    training: list[TrainingSpec] = []
    serving: list[ServingSpec] = []
    research: ResearchSpec = ResearchSpec()
    failures: FailureSpec = FailureSpec()

    @model_validator(mode="after")
    def _refer(self) -> Self:
        names = {s.name: s for s in self.sites}
        if len(names) < len(self.sites):
            raise ValueError("sites: two have the same name")
        used: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for run in self.training:
            used.setdefault((run.site, run.system), []).append((run.name, run.racks))
        for workload in self.serving:
            for pool in workload.pools:
                used.setdefault((pool.site, pool.system), []).append((workload.name, pool.racks))
        for site in self.sites:
            for system in site.racks:
                if system not in self.systems:
                    raise ValueError(
                        f"sites.{site.name}: unknown system {system!r}; known: {', '.join(self.systems)}"
                    )
        for (place, system), jobs in used.items():
            who = ", ".join(f"{name} {racks:,}" for name, racks in jobs)
            if place not in names:
                raise ValueError(
                    f"{', '.join(n for n, _ in jobs)}: unknown site {place!r}; known: {', '.join(names)}"
                )
            have, need = names[place].racks.get(system, 0), sum(racks for _, racks in jobs)
            if need > have:
                raise ValueError(f"{place} has {have:,} racks of {system}, its jobs need {need:,} ({who})")
        return self


def fleet_json_schema() -> str:
    """JSON Schema of a fleet file, for editors."""
    return json.dumps(FleetSpec.model_json_schema(), indent=1)


def load_fleet_spec(path: Path | str) -> FleetSpec:
    """Read and check a fleet YAML; `InputError` names file, field and remedy."""
    data = read_yaml(Path(path))
    if not isinstance(data, dict):
        raise InputError("a mapping with name, systems and sites is expected", str(path))
    try:
        return FleetSpec.model_validate(data)
    except ValidationError as problem:
        raise validation_problem(problem, FleetSpec, str(path)) from None
