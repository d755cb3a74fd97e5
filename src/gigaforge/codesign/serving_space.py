"""The serving points worth having: every configuration in every precision under every power cap, cut to what some price chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.caps import BURST_ROOM, cap_levels, held_w
from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.codesign.precisions import serving_precisions
from gigaforge.codesign.serving_points import join, layout_words, least_latency, traffic_by_quarter, why_none
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import ServingConfigurations, ServingResults, Traffic, search
from gigaforge.perf.inference.evaluate import Engine, run
from gigaforge.perf.power import clock_factor
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import Quarter
from gigaforge.scenario.schema import Serving

__all__ = ["ServingSpace", "serving_space", "under_cap", "worth_choosing"]

Floats = NDArray[np.float64]


class ServingSpace(NamedTuple):
    """What a search found.

    Attributes
    ----------
    points : list of OperatingPoint
        First the fastest at the configuration's own limit, one for each moment: what the sequential way would take.
    evaluated : int
        Complete evaluations behind them, in all precisions.
    why : str
        Why there are none, to follow the system's name.

    """

    points: list[OperatingPoint]
    evaluated: int
    why: str = ""


def serving_space(
    transformer: Transformer,
    hardware: Hardware,
    serving: Serving,
    quarters: list[Quarter],
    power_cap_w: float | None = None,
    *,
    caps: int = 8,
    moments: int = 13,
) -> ServingSpace:
    """Evaluate every configuration in every precision under every cap at some moments, and keep what some price would choose.

    Parameters
    ----------
    transformer, hardware, serving, quarters
        The model; the machine at its chip's full limit; the workload; all quarters of the plan.
    power_cap_w : float, optional
        The configuration's own limit per accelerator where it is below the chip's. [W]
    caps : int
        Levels between the lowest cap and that limit.
    moments : int
        Quarters of the horizon at which everything is evaluated; what is kept is evaluated in all of them.

    Raises
    ------
    NoAnswerError
        The chip has none of the precisions that the workload allows.

    """
    precisions = serving_precisions(hardware, serving.precision)
    traffic = traffic_by_quarter(serving, quarters)
    levels = cap_levels(hardware, power_cap_w, caps)
    engines = [Engine.of(transformer, hardware, precision=p) for p in precisions]
    times = sorted({round(i) for i in np.linspace(0, len(quarters) - 1, moments)})
    distinct = {(traffic[t].input_len, traffic[t].output_len): traffic[t] for t in times}
    at: dict[tuple[float, float], list[_Rows]] = {}
    evaluated, least = 0, []
    interval = (1.0, 1.0)
    probes = _probes(list(distinct.values()))
    for key in sorted(distinct, key=lambda k: k not in probes):
        one, good = distinct[key], []
        chosen_at_probes = {int(r.precision[0]) for k in probes for r in at.get(k, [])}
        tried = range(len(precisions)) if key in probes else sorted(chosen_at_probes) or range(len(precisions))
        for number in tried:
            results = search(transformer, hardware, one, precision=precisions[number])
            evaluated += results.evaluated
            least.append(least_latency(results))
            good.append(_Good(number, engines[number], results.take(np.flatnonzero(results.meets_targets))))
            low, high = ((bounds or {}).get("throughput", 1.0) for bounds in (results.low, results.high))
            interval = low, high
        at[key] = []
        for level in levels:
            rows, count = _at_level(good, one, float(level), whole=level == levels[-1])
            evaluated += count
            at[key] += rows
    found = [r for key in distinct for r in at[key]]
    if not found:
        return ServingSpace([], evaluated, why_none(serving, precisions, least))
    chosen = _distinct(found)
    yields, power_w, latency = _everywhere(engines, traffic, chosen, levels[-1])
    evaluated += len(chosen.cap_w) * len({(t.input_len, t.output_len) for t in traffic})
    keep = np.flatnonzero(yields.any(axis=1))
    order = _fastest_first(yields[keep], chosen.cap_w[keep] >= levels[-1], times)
    answer = float(np.mean([t.output_len for t in traffic]))
    points = [
        _point(
            n,
            serving,
            hardware,
            precisions[chosen.precision[i]],
            chosen.configurations,
            i,
            float(chosen.cap_w[i]),
            yields[i],
            power_w[i],
            latency[i],
            answer,
            interval,
        )
        for n, i in enumerate(keep[order])
    ]
    return ServingSpace(points, evaluated)


def _probes(asked: list[Traffic]) -> set[tuple[float, float]]:
    """Lengths at which every precision is searched: the least and most tokens, the least and most prompt for an answer, and the middle.

    At the others those are that some price chose at one of these.
    """
    order = [
        sorted(asked, key=measure)
        for measure in (lambda t: t.input_len + t.output_len, lambda t: t.input_len / t.output_len)
    ]
    some = [t for ranked in order for t in (ranked[0], ranked[-1])] + [order[0][len(asked) // 2]]
    return {(t.input_len, t.output_len) for t in some}


class _Rows(NamedTuple):
    """Configurations, the cap of each [W] and the number of its precision."""

    configurations: ServingConfigurations
    cap_w: Floats
    precision: NDArray[np.int_]


def under_cap(
    engine: Engine, traffic: Traffic, uncapped: ServingResults, cap_w: Any, *, retune: bool = False
) -> ServingResults:
    """Configurations again under a cap on their mean draw: a slower clock where they would draw more.

    Parameters
    ----------
    uncapped : ServingResults
        The same without a cap.
    cap_w : array
        [W]
    retune : bool
        Give a slower prefill pool as many more workers as its clock is slower.

    """
    factor = clock_factor(engine.hardware, cap_w, uncapped.power_w)
    c = uncapped.configurations
    if retune:
        c = replace(c, prefill_share=c.prefill_share / factor)
    slow = run(engine.at_clock(np.asarray(factor)), traffic, c)
    return replace(slow, power_w=np.minimum(slow.power_w, cap_w))


def worth_choosing(tokens_per_s: Floats, power_w: Floats, idle_w: float) -> NDArray[np.int_]:
    """Rows that maximise ``value × tokens - price × power`` at some non-negative prices, and beat standing idle."""
    tokens_per_s, power_w = np.append(tokens_per_s, 0.0), np.append(power_w, idle_w)
    idle = len(power_w) - 1
    order = np.lexsort((-tokens_per_s, power_w))
    hull: list[int] = [idle]
    for i in order:
        if hull and tokens_per_s[i] <= tokens_per_s[hull[-1]]:
            continue
        while len(hull) > 1 and _below(power_w, tokens_per_s, hull[-2], hull[-1], int(i)):
            hull.pop()
        hull.append(int(i))
    return np.array(hull[1:], dtype=int)


def _below(x: Floats, y: Floats, a: int, b: int, c: int) -> bool:
    """Whether b lies on or under the line from a to c."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) <= (y[c] - y[a]) * (x[b] - x[a]))


class _Good(NamedTuple):
    """What keeps its targets in one precision without a cap."""

    number: int
    engine: Engine
    results: ServingResults


def _at_level(good: list[_Good], traffic: Traffic, level_w: float, *, whole: bool) -> tuple[list[_Rows], int]:
    """Configurations worth choosing under one cap among those of all precisions, and how many were evaluated for it."""
    mean_w = _mean_cap_w(level_w, whole)
    every = [_under(g.engine, traffic, g.results, mean_w) for g in good]
    rate, power_w = (np.concatenate([getattr(e, n) for e in every]) for n in ("tokens_per_s", "power_w"))
    kept = worth_choosing(rate, power_w, float(good[0].engine.hardware.idle_w))
    out, first = [], 0
    for g, e in zip(good, every, strict=True):
        mine = kept[(kept >= first) & (kept < first + len(e.power_w))] - first
        first += len(e.power_w)
        if mine.size:
            out.append(_Rows(e.configurations.take(mine), np.full(mine.size, level_w), np.full(mine.size, g.number)))
    return out, sum(e.evaluated for e in every)


class _Under(NamedTuple):
    """Configurations in one precision under one cap: yield per accelerator [token/s], mean draw [W], evaluations made for it."""

    configurations: ServingConfigurations
    tokens_per_s: Floats
    power_w: Floats
    evaluated: int


def _under(engine: Engine, traffic: Traffic, good: ServingResults, mean_w: Any) -> _Under:
    """What keeps its targets at a mean draw: as it is where it draws less, else at a slower clock."""
    slowed = np.flatnonzero(good.power_w > mean_w)
    free = np.flatnonzero(good.power_w <= mean_w)
    rate, power_w, rows = good.tokens_per_s_per_gpu[free], good.power_w[free], [good.configurations.take(free)]
    if slowed.size:
        slow = under_cap(engine, traffic, good.take(slowed), mean_w, retune=True)
        c = slow.configurations
        room = (
            c.accelerators + np.maximum(c.prefill_share, 1e-3) * c.prefill_accelerators
            <= engine.hardware.accelerators
        )
        fits = np.flatnonzero(slow.meets_targets & (room | ~c.disaggregated))
        rate = np.concatenate([rate, slow.tokens_per_s_per_gpu[fits]])
        power_w = np.concatenate([power_w, slow.power_w[fits]])
        rows.append(c.take(fits))
    return _Under(join(rows), rate, power_w, slowed.size)


def _mean_cap_w(level_w: Any, whole: Any) -> Any:
    """Mean draw that a cap allows: bursts need room below it, but for the board's own limit it is the limit itself."""
    return np.where(whole, level_w, level_w / (1.0 + BURST_ROOM))


def _distinct(found: list[_Rows]) -> _Rows:
    c, cap_w = join([r.configurations for r in found]), np.concatenate([r.cap_w for r in found])
    precision = np.concatenate([r.precision for r in found])
    table = np.column_stack([*(getattr(c, n) for n in vars(c)), cap_w, precision])
    _, first = np.unique(table, axis=0, return_index=True)
    first = np.sort(first)
    return _Rows(c.take(first), cap_w[first], precision[first])


def _everywhere(
    engines: list[Engine], traffic: list[Traffic], rows: _Rows, top_w: float
) -> tuple[Floats, Floats, Floats]:
    """Tokens per second and system in every quarter; power per accelerator and (TTFT, TPOT) in the best one."""
    count = len(rows.cap_w)
    yields, power_w, latency = np.zeros((count, len(traffic))), np.zeros(count), np.zeros((count, 2))
    for number, engine in enumerate(engines):
        mine = np.flatnonzero(rows.precision == number)
        if mine.size:
            c, cap_w = rows.configurations.take(mine), rows.cap_w[mine]
            yields[mine], power_w[mine], latency[mine] = _in_one(engine, traffic, c, cap_w, top_w)
    return yields, power_w, latency


def _in_one(
    engine: Engine, traffic: list[Traffic], c: ServingConfigurations, cap_w: Floats, top_w: float
) -> tuple[Floats, Floats, Floats]:
    """The same in one precision."""
    mean_w = _mean_cap_w(cap_w, cap_w >= top_w)
    known: dict[tuple[float, float], ServingResults] = {}
    for one in traffic:
        key = (one.input_len, one.output_len)
        if key not in known:
            known[key] = under_cap(engine, one, run(engine, one, c), mean_w)
    by_quarter = [known[t.input_len, t.output_len] for t in traffic]
    size = engine.hardware.accelerators
    yields = np.stack([np.where(r.meets_targets, r.tokens_per_s_per_gpu, 0.0) * size for r in by_quarter], axis=1)
    best = yields.argmax(axis=1)
    power_w = np.array([by_quarter[t].power_w[i] for i, t in enumerate(best)])
    latency = np.array([(by_quarter[t].ttft_s[i], by_quarter[t].tpot_s[i]) for i, t in enumerate(best)])
    return yields, power_w, latency


def _fastest_first(yields: Floats, whole: NDArray[np.bool_], times: list[int]) -> NDArray[np.int_]:
    """The fastest at the full limit at each moment, then the rest in their order."""
    full = np.where(whole[:, None], yields, -1.0)
    first = list(dict.fromkeys(int(full[:, t].argmax()) for t in times if full[:, t].max() > 0))
    rest = [i for i in range(len(yields)) if i not in set(first)]
    return np.array([*first, *rest], dtype=int)


def _point(
    number: int,
    serving: Serving,
    hardware: Hardware,
    precision: str,
    configurations: ServingConfigurations,
    i: int,
    cap_w: float,
    yields: Floats,
    power_w: float,
    latency: Floats,
    output_tokens: float,
    interval: tuple[float, float],
) -> OperatingPoint:
    row: dict[str, Any] = {name: float(column[i]) for name, column in vars(configurations).items()}
    return OperatingPoint(
        id=f"{serving.name}/{hardware.name}/{number}",
        workload=serving.name,
        kind="serving",
        system=hardware.name,
        model=serving.model,
        layout=f"{layout_words(row, hardware.accelerators)}, cap {cap_w:,.0f} W",
        tokens_per_s_per_rack=float(yields.max()),
        it_power_w_per_rack=rack_power_w(hardware, float(power_w)),
        racks_per_unit=int(np.ceil(row["accelerators"] / hardware.accelerators)),
        ttft_s=float(latency[0]),
        tpot_s=float(latency[1]),
        ttft_target_s=serving.ttft,
        tpot_target_s=serving.tpot,
        output_tokens=output_tokens,
        low=interval[0],
        high=interval[1],
        tokens_per_s_by_quarter=tuple(float(y) for y in yields),
        cap_w=cap_w,
        held_w_per_rack=held_w(hardware, cap_w),
        strategy=row | {"precision": precision},
    )
