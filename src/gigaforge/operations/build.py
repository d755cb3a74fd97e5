"""Fleets from specifications, with the defaults that a specification leaves open."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, TypeVar

import numpy as np

from gigaforge.errors import InputError
from gigaforge.operations.closed_form import best_policy
from gigaforge.operations.failures import Cohort
from gigaforge.operations.fleet import Fleet, Group, GroupKind, ServingWorkload, Site, last_window_s
from gigaforge.operations.intervals import Array
from gigaforge.operations.modes import FailureTable, Outage, RackClass, Repair, default_failures
from gigaforge.operations.policy import CheckpointPolicy, RestartStages, Tier, TrainingPolicy
from gigaforge.operations.power import PowerPolicy, Storage
from gigaforge.operations.research import ResearchPolicy
from gigaforge.operations.serving import ServingPolicy
from gigaforge.operations.spec import FailureSpec, FleetSpec, ServingSpec, SiteSpec, TrainingSpec
from gigaforge.operations.traffic import DemandShape
from gigaforge.operations.weather import climate_at
from gigaforge.quarters import SECONDS_PER_QUARTER

__all__ = ["IDLE_SHARE", "default_parts", "default_technicians", "failure_table", "fleet_of"]

IDLE_SHARE: Final = 0.30  # assumption: an idle accelerator drew about 100 of 400 W (AcmeTrace medians), fans apart
_YEAR_S: Final = 365.25 * 86400.0
_NODE: Final = RackClass("node", 8)


_REPAIR: Final = {
    "auto_mean": "auto_mean_s", "hands_on_median": "hands_on_median_s", "hands_on_sigma": "hands_on_sigma", "burn_in": "burn_in_s",
    "part_share": "part_share", "part_lead": "part_lead_s", "cures_lemons": "sticks",
}  # fmt: skip
_Row = TypeVar("_Row", FailureTable, Repair, Outage)


def _changed(row: _Row, changes: object, names: dict[str, str]) -> _Row:
    """A copy with the fields that a specification gives."""
    given: dict[str, Any] = {
        own: value for name, own in names.items() if (value := getattr(changes, name, None)) is not None
    }
    return replace(row, **given)


def failure_table(spec: FailureSpec) -> FailureTable:
    """The shipped table with a specification's changes."""
    table = default_failures()
    known = {m.kind for m in table.modes}
    for kind in spec.modes:
        if kind not in known:
            raise InputError(f"unknown mode {kind!r}; known: {', '.join(sorted(known))}", "failures.modes")
    outages = {o.kind for o in table.outages}
    for kind in spec.outages:
        if kind not in outages:
            raise InputError(f"unknown outage {kind!r}; known: {', '.join(sorted(outages))}", "failures.outages")
    factor = spec.rate_multiplier
    if spec.node_rate_per_1000_days is not None:
        factor *= spec.node_rate_per_1000_days / (table.interrupt_rate(_NODE) * 86400.0 * 1000.0)
    modes = []
    for mode in table.modes:
        change = spec.modes.get(mode.kind)
        rate = mode.rate * factor if change is None or change.rate is None else change.rate
        modes.append(
            replace(mode, rate=rate, auto=mode.auto if change is None or change.auto is None else change.auto)
        )
    table = replace(
        table,
        modes=tuple(modes),
        outages=tuple(
            _changed(o, spec.outages.get(o.kind), {"rate": "rate", "duration": "duration_s"}) for o in table.outages
        ),
        repair=_changed(table.repair, spec.repair, _REPAIR),
        lemon_share=table.lemon_share if spec.lemon_share is None else spec.lemon_share,
        lemon_multiple=table.lemon_multiple if spec.lemon_multiple is None else spec.lemon_multiple,
        infant_excess=table.infant_excess if spec.infant_excess is None else spec.infant_excess,
    )
    table = _changed(table, spec, {"infant_time": "infant_s", "wear_per_year": "wear_per_year"})
    table = _changed(
        table, spec.degradations, {"rate": "degraded_rate", "duration": "degraded_s", "slowdown": "degraded_slowdown"}
    )
    return table.plain() if spec.plain else table


def _by_hand(table: FailureTable, rack: RackClass, *, planned: bool) -> float:
    """Repairs by hand of one rack, with or without planned services [1/s]."""
    share = np.array([(1.0 - m.auto) * m.cordon * (planned or not m.planned) for m in table.modes])
    return float(table.rates(rack) @ share)


def default_technicians(table: FailureTable, racks: list[tuple[RackClass, int]]) -> int:
    """People on shift: half the extra work of new racks, and two standard deviations; at least two (assumption)."""
    load = sum(_by_hand(table, rack, planned=True) * n for rack, n in racks) * table.repair.hands_on_mean_s
    load *= 1.0 + 0.5 * table.infant_excess
    return max(2, math.ceil(load + 2.0 * math.sqrt(load)))


def default_parts(table: FailureTable, racks: list[tuple[RackClass, int]]) -> int:
    """Parts on the shelf: what the lead time uses while racks are new, and three standard deviations (assumption)."""
    used = (
        sum(_by_hand(table, rack, planned=False) * n for rack, n in racks)
        * table.repair.part_share
        * table.repair.part_lead_s
    )
    used *= 1.0 + table.infant_excess
    return max(2, math.ceil(used + 3.0 * math.sqrt(used)))


def fleet_of(spec: FleetSpec) -> Fleet:
    """Resolve a specification into SI arrays by quarter."""
    windows = max(1, math.ceil(spec.years * _YEAR_S / SECONDS_PER_QUARTER - 1e-9))
    table = failure_table(spec.failures)
    racks = {name: RackClass(name, s.accelerators, s.tray) for name, s in spec.systems.items()}
    index = {site.name: i for i, site in enumerate(spec.sites)}
    groups: list[Group] = []

    def always(value: float) -> Array:
        return np.full(windows, value, dtype=np.float64)

    def add(name: str, kind: GroupKind, site: str, system: str, workload: str, count: int, tokens: float,
            policy: TrainingPolicy | None = None, ttft_s: float = math.nan, tpot_s: float = math.nan,
            step_s: float = 0.0) -> None:  # fmt: skip
        s = spec.systems[system]
        idle = s.power * IDLE_SHARE if s.idle_power is None else s.idle_power
        cohorts = tuple([Cohort(0, count, 0.0)] for _ in range(windows))
        groups.append(Group(
            name, index[site], racks[system], kind, workload, always(count).astype(np.int64), always(tokens), always(s.power),
            always(idle), cohorts, () if policy is None else (policy,) * windows, spec.research.use, always(ttft_s), always(tpot_s),
            jobs, always(step_s),
        ))  # fmt: skip

    asked = spec.research
    jobs = ResearchPolicy(
        tuple(sorted(asked.sizes.items())), asked.duration, asked.spread, asked.checkpoint, asked.restart
    )
    left = {(site.name, system): n for site in spec.sites for system, n in site.racks.items()}
    for run in spec.training:
        rack = racks[run.system]
        add(run.name, "training", run.site, run.system, run.name, run.racks, run.tokens_per_second,
            training_policy(run, rack, table), step_s=run.step or 0.0)  # fmt: skip
        left[run.site, run.system] -= run.racks
    for workload in spec.serving:
        for pool in workload.pools:
            name = f"{workload.name}@{pool.site}/{pool.system}"
            add(name, "serving", pool.site, pool.system, workload.name, pool.racks, pool.tokens_per_second,
                ttft_s=_given(pool.ttft), tpot_s=_given(pool.tpot))  # fmt: skip
            left[pool.site, pool.system] -= pool.racks
    for (site, system), count in left.items():
        if count > 0:
            add(f"research@{site}/{system}", "research", site, system, "research", count, 0.0)
    serving = tuple(_workload(w, windows) for w in spec.serving)
    sites = tuple(_site(s, spec, racks, table, windows) for s in spec.sites)
    return Fleet(
        spec.name, spec.start, sites, tuple(groups), serving, table, last_s=last_window_s(spec.years, windows)
    )


def training_policy(run: TrainingSpec, rack: RackClass, table: FailureTable) -> TrainingPolicy:
    """A run's policy; mode "best" by expected goodput."""
    saved, again = run.checkpoint, run.restart
    checkpoint = CheckpointPolicy(
        saved.blocking, saved.interval,
        tiers=(Tier(1, saved.durable_after, saved.load), Tier(saved.local_every, 60.0, saved.local_load),
               Tier(saved.remote_every, 120.0, saved.remote_load)),
    )  # fmt: skip
    restart = RestartStages(
        again.detect, again.attended_share, again.attended, 1.0, again.swap, again.init, again.warmup
    )
    policy = TrainingPolicy(
        "synchronous" if run.mode == "best" else run.mode, checkpoint, restart, run.replica_racks, run.spares,
        hiccup_s=run.hiccup, fallback=run.fallback, planned_per_s=run.planned_per_day / 86400.0, planned_s=run.planned,
        ramp_s=run.ramp,
    )  # fmt: skip
    if run.mode == "best":
        return best_policy(rack.accelerators, run.racks, replica_racks=run.replica_racks, table=table, base=policy)
    return policy


def _workload(spec: ServingSpec, windows: int) -> ServingWorkload:
    return ServingWorkload(
        spec.name,
        np.full(windows, spec.demand),
        DemandShape(spec.shape, spec.time_zones, spec.noise, bursts_per_day=spec.bursts_per_day),
        ServingPolicy(spec.autoscale, spec.headroom, spec.start, spec.paid, spec.request, spec.patience, spec.slots_per_rack,
                      spec.backfill, ttft_target_s=_given(spec.ttft_target), tpot_target_s=_given(spec.tpot_target),
                      output_tokens=_given(spec.output_tokens)),
    )  # fmt: skip


def _given(value: float | None) -> float:
    return math.nan if value is None else value


def _site(site: SiteSpec, spec: FleetSpec, racks: dict[str, RackClass], table: FailureTable, windows: int) -> Site:
    here = [(racks[system], n) for system, n in site.racks.items()]
    built = sum(spec.systems[system].power * n for system, n in site.racks.items())
    climate = climate_at(site.latitude, site.longitude)
    if site.climate is not None:
        given = site.climate
        climate = replace(climate, mean_c=given.mean_temperature_c, season_k=given.season_k, daily_k=given.daily_k,
                          humidity=given.humidity_percent)  # fmt: skip
    response = site.demand_response
    return Site(
        name=site.name,
        limit_w=np.full(windows, site.power),
        feeder_w=site.feeder_power,
        ramp_w_per_s=None if site.ramp_per_minute is None else site.ramp_per_minute / 60.0,
        swing_limit_w=site.swing_limit,
        share_spares=site.share_spares,
        pue_mean=np.full(windows, site.pue),
        built_w=np.full(windows, max(built, 1.0)),
        climate=climate,
        latitude=38.0 if site.latitude is None else site.latitude,
        price_usd_per_j=site.energy_price,
        price_daily=site.price_swing,
        carbon_g_per_j=site.carbon_intensity * 1e3,  # kg to g
        carbon_daily=site.carbon_swing,
        technicians=np.full(windows, site.technicians or default_technicians(table, here)),
        parts=np.full(windows, site.spare_parts or default_parts(table, here)),
        pod_racks=site.pod_racks,
        hall_racks=site.hall_racks,
        power=PowerPolicy(floor=site.throttle_floor) if response is None else PowerPolicy(
            floor=site.throttle_floor, response_depth=response.depth, response_s=response.duration,
            responses_per_year=response.per_year),
        storage=None if site.storage is None else Storage(site.storage.energy, site.storage.power, site.storage.efficiency),
        solar_w=site.solar,
        firm_w=site.generation,
    )  # fmt: skip
