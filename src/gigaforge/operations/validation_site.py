"""Validation cases of sites: cooling, power, demand. See `gigaforge.operations.validation`."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from gigaforge.operations.engine import fresh_state, run_window
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, ServingWorkload, Site
from gigaforge.operations.modes import RackClass, default_failures
from gigaforge.operations.policy import TrainingPolicy
from gigaforge.operations.power import Cooling, PowerPolicy, synchronous_swing
from gigaforge.operations.serving import ServingPolicy, serve
from gigaforge.operations.sitepower import Loads, SiteWindow, run_site
from gigaforge.operations.traffic import DemandShape, demand_factor, weekly_shape
from gigaforge.operations.validation_case import Case
from gigaforge.operations.weather import climate_at, dry_bulb_c, wet_bulb_c
from gigaforge.quarters import SECONDS_PER_QUARTER, Quarter

__all__ = ["SITE_CASES"]

_DCD: Final = "https://www.datacenterdynamics.com/en/news/aws-global-data-centers-achieved-pue-of-115-in-2023/"
_AZURE: Final = "https://github.com/Azure/AzurePublicDataset/blob/master/AzureLLMInferenceDataset2024.md"
_STEP_S: Final = 300.0
_DAY: Final = 288
_BINS: Final = round(SECONDS_PER_QUARTER / _STEP_S)


def _pue(latitude: float, seed: int) -> float:
    """Yearly PUE of the cooling model's own coefficients, not scaled to any site."""
    cooling, climate = Cooling(), climate_at(latitude)
    wet = wet_bulb_c(dry_bulb_c(np.random.default_rng(seed), climate, 0.0, 8766, 3600.0), climate.humidity)
    return float(1.0 + cooling.fixed + cooling.proportional + cooling.weather(wet).mean())


def _shape(kind: str, what: str) -> float:
    week = weekly_shape(kind)
    days = week.reshape(7, 24)
    if what == "peak":
        return float(week.max())
    if what == "trough":
        return float(week.min())
    if what == "daily":
        return float((days[:5].max(axis=1) / days[:5].mean(axis=1)).mean())
    return float(days[5:].mean() / days[:5].mean())


def _demand_peak(seed: int) -> float:
    """Weekly hourly peak over mean of generated conversation demand in one time zone, quiet noise."""
    shape = DemandShape("conversation", 0.0, 0.02, bursts_per_day=0.0)
    demand = demand_factor(np.random.default_rng(seed), shape, 0.0, 7 * _DAY, _STEP_S).reshape(-1, 12).mean(axis=1)
    return float(demand.max() / demand.mean())


def _response(seed: int, depth: float = 0.25, hours: float = 3.0) -> SiteWindow:
    """A site of 60 % training, 40 % serving through one summer quarter with demand response."""
    half = np.full(1, 1e12)
    site = Site(
        "site",
        half,
        np.full(1, 1.15),
        np.full(1, 1e8),
        climate_at(33.4),
        power=PowerPolicy(response_depth=depth, response_s=hours * 3600.0, responses_per_year=40.0),
    )
    rack = RackClass("node", 8)
    group = Group(
        "g",
        0,
        rack,
        "training",
        "w",
        np.ones(1, dtype=np.int64),
        np.ones(1),
        np.ones(1),
        np.full(1, 0.3),
        ([Cohort(0, 1, 0.0)],),
        (TrainingPolicy(),),
    )
    fleet = Fleet("dr", Quarter.parse("2027-Q3"), (site,), (group,), (), default_failures())
    flat = np.full(_BINS, 1e8)
    return run_site(fleet, 0, 0, seed, Loads(0 * flat, 0.1 * flat, 0.5 * flat, 0.4 * flat), 0.0)


def _response_depth(seed: int, depth: float = 0.25, hours: float = 3.0) -> float:
    done = _response(seed, depth, hours)
    held = done.limit_w < 1e11
    before = np.flatnonzero(held[1:] & ~held[:-1])
    return float(
        100.0
        * (
            1.0
            - np.mean([done.facility_w[i + 1 : i + round(12 * hours)].mean() / done.facility_w[i] for i in before])
        )
    )


def _response_serving(seed: int) -> float:
    """Pace of serving while the site gives back 25 %."""
    done = _response(seed)
    return float(100.0 * done.pace["serving"][done.limit_w < 1e11].mean())


def _oversubscribed(seed: int) -> float:
    """Tokens lost when 30 % more serving racks share the power of the nameplate, demand grown with them."""
    racks, full, rate = 1300.0, 1.0, 1.0
    factor = demand_factor(np.random.default_rng(seed), DemandShape("conversation", 0.0), 0.0, _BINS, _STEP_S)
    policy = ServingPolicy(autoscale="none")
    demand = 0.55 * racks * rate * factor
    done = serve(
        demand, np.full((1, _BINS), racks), np.array([rate]), np.array([full]), np.array([full]), policy, _STEP_S
    )
    cap = 1000.0 * full
    use = done.power_w[0]
    share = np.minimum(1.0, cap / use)
    usable = done.usable[0] * share ** PowerPolicy().elasticity
    served = np.minimum(demand, usable)
    return float(100.0 * (1.0 - served.sum() / demand.sum()))


def _scaling(autoscale: str, seed: int) -> float:
    """Rack-hours that demand holds, as a share of racks on all the time."""
    factor = demand_factor(np.random.default_rng(seed), DemandShape("conversation", 2.0), 0.0, _BINS, _STEP_S)
    up = np.full((1, _BINS), 1000.0)
    one = np.ones(1)
    done = serve(540.0 * factor, up, one, one, one, ServingPolicy(autoscale=autoscale), _STEP_S)
    return float(done.active.mean() / 1000.0)


def _cut(share: float) -> float:
    """Peak cut by 65 J a GPU for a step's fast gaps (a quarter of a second)."""
    return 100.0 * synchronous_swing(1.0, 1400.0, 200.0, 0.24, share).peak_cut


def _gb200_mw(seed: int) -> float:
    """Facility power of 83,000 GPUs in 126 kW racks at full load, mean of a quarter [MW]."""
    racks = np.full(1, 83_000 // 72, dtype=np.int64)
    site = Site("site", np.full(1, 1e12), np.full(1, 1.08), np.full(1, float(racks[0]) * 126e3), climate_at(38.0))
    group = Group("gb200", 0, RackClass("nvl72", 72, 4), "training", "w", racks, np.ones(1), np.full(1, 126e3),
                  np.full(1, 40e3), ([Cohort(0, int(racks[0]), -1e9)],), (TrainingPolicy(spares=8),))  # fmt: skip
    fleet = Fleet("gb200", Quarter.parse("2026-Q2"), (site,), (group,), (), default_failures())
    flat = np.full(_BINS, float(racks[0]) * 126e3)
    return float(run_site(fleet, 0, 0, seed, Loads(0 * flat, 0 * flat, flat, 0 * flat), 0.0).facility_w.mean() / 1e6)


def _ramp(seed: int) -> float:
    """Largest 5-minute change of a 16,384-GPU run's facility power [MW]."""
    rack = RackClass("hgx", 8)
    site = Site("site", np.full(1, 1e12), np.full(1, 1.1), np.full(1, 2e7), climate_at(None))
    racks = np.full(1, 2080, dtype=np.int64)
    group = Group(
        "run",
        0,
        rack,
        "training",
        "run",
        racks,
        np.ones(1),
        np.full(1, 10.2e3),
        np.full(1, 3.0e3),
        ([Cohort(0, 2080, -1e9)],),
        (TrainingPolicy(spares=32),),
    )
    fleet = Fleet("ramp", Quarter.parse("2027-Q1"), (site,), (group,), (ServingWorkload("none", np.zeros(1)),),
                  replace(default_failures(), outages=()))  # fmt: skip
    done = run_window(fleet, seed, fresh_state(fleet)).sites[0]
    return float(np.abs(np.diff(done.facility_w)).max() / 1e6)


SITE_CASES: Final[tuple[Case, ...]] = (
    Case("PUE of new liquid-cooled designs, 41° N", _DCD, "the cooling model's own coefficients, assumed climate", "1.08 (AWS new designs, Meta average)",
         "ratio", 1.06, 1.12, "untouched", lambda s: _pue(41.0, s), replications=3),
    Case("PUE, best site", _DCD, "the same at 60° N", "1.04-1.06", "ratio", 1.035, 1.065, "untouched", lambda s: _pue(60.0, s),
         "fans and pumps that turn slower in the cold make the difference", replications=3),
    Case("PUE, hot site", _DCD, "the same at 20° N", "1.12-1.18", "ratio", 1.115, 1.185, "untouched", lambda s: _pue(20.0, s), replications=3),
    Case("Azure conversation: week's peak over mean", _AZURE, "demand generated from the weekly shape", "1.66", "ratio", 1.6, 1.75, "input", _demand_peak),
    Case("Azure conversation: week's trough over mean", _AZURE, "weekly shape", "0.46", "ratio", 0.43, 0.49, "input", lambda _: _shape("conversation", "trough"),
         replications=1),
    Case("Azure coding: week's peak over mean", _AZURE, "weekly shape", "3.0", "ratio", 2.9, 3.1, "input", lambda _: _shape("coding", "peak"), replications=1),
    Case("Azure coding: week's trough over mean", _AZURE, "weekly shape", "0.10", "ratio", 0.08, 0.12, "input", lambda _: _shape("coding", "trough"),
         replications=1),
    Case("Azure coding: weekday peak over mean", _AZURE, "weekly shape", "2.24", "ratio", 2.0, 2.4, "input", lambda _: _shape("coding", "daily"), replications=1),
    Case("Azure conversation: weekday peak over mean", _AZURE, "weekly shape", "1.34", "ratio", 1.25, 1.43, "input", lambda _: _shape("conversation", "daily"),
         replications=1),
    Case("Azure coding: weekend over weekday", _AZURE, "weekly shape", "0.32", "ratio", 0.28, 0.36, "input", lambda _: _shape("coding", "weekend"),
         replications=1),
    Case("Azure conversation: weekend over weekday", _AZURE, "weekly shape", "0.57", "ratio", 0.5, 0.64, "input", lambda _: _shape("conversation", "weekend"),
         replications=1),
    Case("Demand response: depth over 3 hours", "https://arxiv.org/abs/2507.00909", "60 % training and research, 40 % serving", "25 %", "%", 24, 27,
         "input", _response_depth, replications=4),
    Case("Demand response: serving untouched", "https://arxiv.org/abs/2507.00909", "the same", "quality kept", "%", 99, 100, "untouched", _response_serving,
         replications=4),
    Case("Demand response: a third for ten hours", "https://news.leodex.io/news/nvidia-oracle-trials-show-ai-data-centers-cut-power-30-during-grid-stress",
         "depth 32.5 %, ten hours, the same site", "30-35 %", "%", 30, 35, "input", lambda s: _response_depth(s, 0.325, 10.0), replications=4),
    Case("Meta: power of 83,000 GB200", "https://arxiv.org/abs/2605.24461", "racks of 126 kW (published 120-132), Meta's mean PUE 1.08", "150 MW", "MW", 140, 160,
         "untouched", _gb200_mw, replications=3),
    Case("POLCA: tokens lost with 30 % more racks on the same power", "https://arxiv.org/abs/2308.12908", "conversation demand at 55 % mean use",
         "minimal (under 1 %)", "%", 0.0, 1.0, "untouched", _oversubscribed, replications=4),
    Case("SageServe: rack-hours saved by forecast-aware scaling", "https://arxiv.org/abs/2502.14617", "forecast against racks always on at 54 % mean use",
         "up to 25 %", "%", 15, 30, "untouched", lambda s: 100 * (1 - _scaling("forecast", s)),
         "misses: against racks always on it saves more; our own reactive scaler, which is up in ten minutes, saves more still: "
         "forecast-aware scaling holds 6 % more racks than it", replications=4),
    Case("GB300: peak cut by 65 J a GPU", "https://developer.nvidia.com/blog/how-new-gb300-nvl72-features-provide-steady-power-for-ai/",
         "35 % of a 0.24 s cycle near idle", "up to 30 %", "%", 25, 31, "input", lambda _: _cut(0.35), replications=1),
    Case("Llama 3: power steps of a 16,384-GPU run", "https://arxiv.org/abs/2407.21783", "10.2 kW a node at work, 3 kW stopped", "tens of MW", "MW", 8, 40,
         "untouched", _ramp, replications=3),
)  # fmt: skip
