"""The plan's prices taken to the hardware roadmap: what an accelerator's numbers are worth, and what the next one should be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from gigaforge.buildout.changes import Changes
from gigaforge.buildout.pricing import point_prices
from gigaforge.buildout.problem import Array, Problem
from gigaforge.buildout.programme import PETA, USD
from gigaforge.buildout.slopes import Slopes
from gigaforge.buildout.solver import Relaxation
from gigaforge.catalog import Catalog
from gigaforge.codesign.caps import capped_hardware
from gigaforge.codesign.hardware import (
    Economics,
    Limits,
    Measured,
    Platform,
    Question,
    Sensitivity,
    ServingWork,
    TrainingWork,
    Work,
    design_of,
    sensitivities,
    technology,
)
from gigaforge.codesign.hardware.roadmap import NextGeneration, next_generation, technology_of
from gigaforge.codesign.prices import Prices
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.perf.inference import Traffic
from gigaforge.perf.transformer import Transformer
from gigaforge.scenario import interpolate, output_tokens
from gigaforge.scenario.schema import Serving, TrainingRun

__all__ = ["HardwareRoadmap", "economics", "hardware_roadmap", "measured_by", "plan_prices"]

_NEXT: Final = "n2-hbm4e"
PHASES: Final[tuple[Literal["prefill", "decode"], ...]] = ("prefill", "decode")


def plan_prices(problem: Problem, relaxation: Relaxation) -> Prices:
    """Prices and quantities of the relaxed plan of a problem, for the searches.

    Parameters
    ----------
    problem, relaxation
        A problem and its own relaxed plan (duals and values).

    """
    p, v = problem, relaxation.values
    duals = point_prices(p, relaxation)
    block, count = float(p.scenario.block), len(p.quarters)
    online = v["online"].transpose("site", "system", "quarter").values * block
    watt = (duals.power * p.pue_peak[:, None])[:, None, :]  # USD per W of IT power, since GW and 10^9 dollars cancel
    joule = (p.energy_usd_per_j * p.pue_quarter * duals.dollar)[:, None, :]
    used, made, token = _work_done(p, v, duals.tokens, duals.work, block)
    bought = v["add"].transpose("site", "system", "quarter").values.sum(axis=0) * block
    supply = np.stack([_dual(relaxation, f"platforms.{p.lines[line]}.supply|supply", count) for line in p.line_of])
    return Prices(
        quarters=tuple(p.quarters),
        discount=p.discount,
        dollar_usd=duals.dollar,
        watt_usd=_by_system(p.systems, _mean_over_sites(watt, online)),
        joule_usd=_by_system(p.systems, _mean_over_sites(joule, online)),
        rack_usd=_by_system(p.systems, _mean_over_sites(duals.racks * USD / block, online)),
        supply_usd=_by_system(p.systems, supply * USD / block),
        token_usd=token,
        racks_used=used,
        tokens_made=made,
        racks_online=_by_system(p.systems, online.sum(axis=0)),
        racks_bought=_by_system(p.systems, bought),
        source=f"the relaxed plan of {p.scenario.name}",
    )


def _dual(relaxation: Relaxation, name: str, count: int) -> Array:
    dual = relaxation.duals.get(name)
    return np.zeros(count) if dual is None else np.asarray(dual.values, dtype=float).reshape(-1)


def _by_system(systems: Sequence[str], values: Array) -> dict[str, Array]:
    return {name: np.asarray(values[k]) for k, name in enumerate(systems)}


def _mean_over_sites(values: Array, racks: Array) -> Array:
    """Mean over sites, by the racks that stand there (all sites alike where none stand). Shape (system, quarter)."""
    full = np.broadcast_to(values, racks.shape)
    total = racks.sum(axis=0)
    weighted = (full * racks).sum(axis=0) / np.where(total > 0, total, 1.0)
    return np.asarray(np.where(total > 1e-9, weighted, full.mean(axis=0)))


def _work_done(
    p: Problem, values: Mapping[str, Any], tokens: Array, work: Array, block: float
) -> tuple[dict[tuple[str, str], Array], dict[tuple[str, str], Array], dict[str, Array]]:
    """Racks at work, tokens of capacity they give, and what a token of each workload is worth [USD]."""
    used: dict[tuple[str, str], Array] = {}
    made: dict[tuple[str, str], Array] = {}
    token = {w: tokens[i] * USD / PETA for i, w in enumerate(p.workloads)}
    if "serve" in values:
        serve = values["serve"].transpose("point", "site", "quarter").values.sum(axis=1) * block
        for w, workload in enumerate(p.workloads):
            for k, system in enumerate(p.systems):
                mine = (p.point_workload == w) & (p.point_system == k)
                if serve[mine].sum() > 1e-9:
                    used[workload, system] = serve[mine].sum(axis=0)
                    made[workload, system] = (serve[mine] * p.point_tokens[mine]).sum(axis=0)
    if "train" in values:
        train = values["train"].transpose("job", "site", "quarter").values * block
        for r, run in enumerate(p.runs):
            worth, whole = np.zeros(len(p.quarters)), 0.0
            for k, system in enumerate(p.systems):
                mine = (p.train_run == r) & (p.train_system == k)
                racks = train[mine].sum(axis=0)
                if racks.sum() <= 1e-9:
                    continue
                rate = (train[mine] * p.train_rate[mine][:, None, None]).sum(axis=0)
                used[run, system], made[run, system] = racks.sum(axis=0), rate.sum(axis=0)
                worth += (rate * work[r, :, k][:, None]).sum(axis=0)
                whole += rate.sum()
            token[run] = np.full(len(p.quarters), worth.sum() / max(whole, 1e-300) * USD / PETA)
    return used, made, token


_NEAR: Final = 1e-4
"""Relative change of a platform's yields that is near enough for a derivative."""
_NEAR_W: Final = 1.0


def measured_by(slopes: Slopes) -> Measured:
    """Let a relaxed plan answer what changes of a platform's yields and watts add to it."""
    changes = Changes(slopes)

    def yields(system: str, shares: Mapping[str, float]) -> float:
        most = max((abs(share) for share in shares.values()), default=0.0)
        if not most:
            return 0.0
        percent = changes.tokens(system, {w: share / most for w, share in shares.items()})
        return 100 * slopes.more(percent, 100 * _NEAR) * most * USD

    return Measured(yields, lambda system: slopes.more(changes.drawn(system), _NEAR_W) * USD)


@dataclass(frozen=True)
class HardwareRoadmap:
    """Sensitivities at shipped platforms, and the next generation."""

    prices: Prices
    sensitivities: list[Sensitivity]
    next: NextGeneration | None
    warnings: list[str]

    def to_dict(self) -> dict[str, Any]:
        """For JSON and the report."""
        return {
            "sensitivity": [s.to_dict() for s in self.sensitivities],
            "next": None if self.next is None else self.next.to_dict(),
            "warnings": self.warnings,
        }


def hardware_roadmap(
    problem: Problem,
    relaxation: Relaxation,
    catalog: Catalog,
    *,
    built_in: str = _NEXT,
    limits: Limits | None = None,
    pareto: bool = False,
    search: bool = True,
    slopes: Slopes | None = None,
    executor: Executor | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> HardwareRoadmap:
    """What the plan would pay for a better accelerator, and which one it would ask for.

    Parameters
    ----------
    problem, relaxation, catalog
        The plan's.
    built_in : str
        Technology of the next generation.
    limits : Limits, optional
        Ranges and limits of its design.
    pareto : bool
        Also search the front between dollars and joules.
    search : bool
        False leaves the next generation out.
    slopes : Slopes
        The same plan in the solver, which sensitivities are asked of; default its prices.
    executor : Executor, optional
        Where to search designs; default in this process.
    tell : callable
        Told what is being done.

    Raises
    ------
    InputError
        An unknown technology, or a range that is empty or outside the cost model's validity.

    """
    target, allowed = technology(built_in), limits or Limits()
    allowed.within(target)
    prices = plan_prices(problem, relaxation)
    platforms = {s: _platform(catalog, s) for s in problem.systems}
    busiest = _busiest(problem, prices)
    warnings: list[str] = []
    if busiest is None:
        return HardwareRoadmap(
            prices, [], None, ["nothing is built, so no accelerator is worth anything to this plan"]
        )
    tell("sensitivities of the plan to its platforms")
    works = _whole_works(problem, prices, catalog)
    costed = {s: p for s, p in platforms.items() if p is not None}
    measured = None if slopes is None else measured_by(slopes)
    found = sensitivities(prices, costed, works, measured=measured, executor=executor, tell=tell)
    answer = None
    reference = platforms[busiest]
    built = reference.technology if reference else None
    if search and reference and built:
        try:
            found_next = next_generation(
                Question(target, *_mix(problem, prices, catalog), economics(problem, prices, busiest), allowed),
                design_of(reference.hardware), built, pareto=pareto, executor=executor, tell=tell,
            )  # fmt: skip
            answer = replace(found_next, reference_name=busiest)
        except NoAnswerError as problem_found:
            warnings.append(str(problem_found))
    elif search:
        warnings.append(f"{busiest} has no cost model here, so no next generation is compared with it")
    return HardwareRoadmap(prices, found, answer, warnings)


def _platform(catalog: Catalog, system: str) -> Platform | None:
    entry = catalog.system(system)
    try:
        hardware, cap = capped_hardware(entry, catalog.accelerator(entry.accelerator))
    except InputError:
        return None
    return Platform(hardware, cap, technology_of(hardware.generation))


def _busiest(problem: Problem, prices: Prices) -> str | None:
    """System with most accelerator-quarters online."""
    total = {s: float(prices.racks_online[s].sum()) * problem.accelerators[k] for k, s in enumerate(problem.systems)}
    best = max(total, key=lambda s: total[s])
    return best if total[best] > 0 else None


def economics(problem: Problem, prices: Prices, system: str, during: NDArray[np.bool_] | None = None) -> Economics:
    """What having and running a system costs at a plan's prices, in all quarters in which it stands or in those `during`."""
    f, o = problem.scenario.finance, problem.scenario.operations
    return Economics.of(
        prices,
        system,
        life_years=f.system_life_years,
        discount_rate=f.discount_rate,
        maintenance=o.maintenance,
        during=during,
    )


def _used_by(prices: Prices, workload: str) -> Array:
    """Tokens of capacity by quarter, all systems. Shape (quarter,)."""
    made = [v for (w, _), v in prices.tokens_made.items() if w == workload]
    return np.sum(made, axis=0) if made else np.zeros(len(prices.quarters))


def _serving_work(serving: Serving, problem: Problem, prices: Prices, catalog: Catalog) -> tuple[ServingWork, float]:
    """A workload as asked in the quarter in which half of its tokens are served; and how many those are."""
    made = _used_by(prices, serving.name)
    half = int(np.searchsorted(np.cumsum(made), 0.5 * made.sum())) if made.any() else 0
    t = min(half, len(problem.quarters) - 1)
    prompt = float(interpolate(serving.input_tokens, problem.quarters)[t])
    answer = float(output_tokens(serving, problem.quarters)[t])
    traffic = Traffic(
        max(round(prompt), 1), max(round(answer), 1), prefix_hit=serving.cached_share, ttft_s=serving.ttft,
        tpot_s=serving.tpot, percentile="mean",
    )  # fmt: skip
    transformer = Transformer.from_catalog(catalog.model(serving.model))
    return ServingWork(serving.name, transformer, traffic, "serve", serving.precision), float(made.sum())


def _training_work(run: TrainingRun, problem: Problem, catalog: Catalog) -> TrainingWork:
    r = problem.runs.index(run.name)
    racks = [
        p.racks_per_unit * float(problem.accelerators[problem.train_system[j]])
        for j, p in enumerate(problem.training_points)
        if problem.train_run[j] == r
    ]
    batch = run.global_batch_tokens or 63e6 * (run.tokens / 14.8e12) ** 0.47  # as training points take it
    transformer = Transformer.from_catalog(catalog.model(run.model))
    gang = int(np.median(racks)) if racks else 4096
    return TrainingWork(run.name, transformer, gang, batch, run.seq_len, run.precision)


def _whole_works(problem: Problem, prices: Prices, catalog: Catalog) -> dict[str, Work]:
    """What each workload of the plan asks of an accelerator; runs that ask nearly the same share one work."""
    s = problem.scenario
    works: dict[str, Work] = {w.name: _serving_work(w, problem, prices, catalog)[0] for w in s.serving}
    for runs in _alike(s.training):
        largest = max(runs, key=lambda r: float(_used_by(prices, r.name).sum()))
        works |= dict.fromkeys((r.name for r in runs), _training_work(largest, problem, catalog))
    return works


def _alike(runs: Sequence[TrainingRun]) -> list[list[TrainingRun]]:
    """Runs of one model, precision and length of sequence together: only their gangs and batches differ."""
    groups: dict[tuple[str, str | tuple[str, ...], int], list[TrainingRun]] = {}
    for run in runs:
        groups.setdefault((run.model, run.precision, run.seq_len), []).append(run)
    return list(groups.values())


def _mix(problem: Problem, prices: Prices, catalog: Catalog) -> tuple[list[Work], list[float]]:
    """The plan's work by phase, and how much of each it does [token]."""
    works: list[Work] = []
    amounts: list[float] = []
    for serving in problem.scenario.serving:
        work, tokens = _serving_work(serving, problem, prices, catalog)
        if tokens > 0:
            requests = tokens / work.traffic.output_len
            both = (replace(work, name=f"{serving.name} {kind}", phase=kind) for kind in PHASES)
            for one in both:
                works.append(one)
                amounts.append(requests * one.tokens_per_request)
    for runs in _alike(problem.scenario.training):
        made = [float(_used_by(prices, r.name).sum()) for r in runs]
        if sum(made) > 0:
            work_of = _training_work(runs[int(np.argmax(made))], problem, catalog)
            works.append(replace(work_of, name=f"training of {runs[0].model}"))
            amounts.append(sum(made))
    return works, amounts
