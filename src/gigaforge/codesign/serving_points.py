"""Serving points: the best configurations at a few moments of the horizon, in every precision allowed, evaluated in every quarter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.codesign.precisions import serving_precisions, spoken
from gigaforge.errors import NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import ServingConfigurations, ServingResults, Traffic, evaluate, search
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import Quarter
from gigaforge.scenario import interpolate, output_tokens
from gigaforge.scenario.schema import Serving

__all__ = [
    "join",
    "layout_words",
    "least_latency",
    "serving_points",
    "traffic_by_quarter",
    "whole_workers",
    "why_none",
]

_RATIO_ERROR: Final = 0.03
"""Of a stated ratio of pools: small numbers of workers within what a prefill pool's planned load has in hand."""
_MOST_WORKERS: Final = 128
_MOMENTS = 4  # searches over the horizon; lengths in between change little


def traffic_by_quarter(serving: Serving, quarters: list[Quarter]) -> list[Traffic]:
    """The requests of each quarter: lengths, cache hits and targets on the mean."""
    prompt = interpolate(serving.input_tokens, quarters)
    answer = output_tokens(serving, quarters)
    return [
        Traffic(
            float(np.round(i)),
            float(np.round(o)),
            prefix_hit=serving.cached_share,
            ttft_s=serving.ttft,
            tpot_s=serving.tpot,
            percentile="mean",
        )
        for i, o in zip(prompt, answer, strict=True)
    ]


def serving_points(
    transformer: Transformer,
    hardware: Hardware,
    serving: Serving,
    quarters: list[Quarter],
    power_cap_w: float | None = None,
) -> list[OperatingPoint]:
    """The configurations worth having on one system: fastest and thriftiest at a few moments, in any precision allowed.

    Raises
    ------
    NoAnswerError
        There is none, and why: precision, memory or latency.

    """
    precisions = serving_precisions(hardware, serving.precision)
    traffic = traffic_by_quarter(serving, quarters)
    moments = sorted({round(i) for i in np.linspace(0, len(quarters) - 1, _MOMENTS)})
    chosen, least = [], []
    for one in {(traffic[t].input_len, traffic[t].output_len): traffic[t] for t in moments}.values():
        tried = [search(transformer, hardware, one, precision=p, power_cap_w=power_cap_w) for p in precisions]
        chosen.append(_best(tried))
        least += [least_latency(r) for r in tried]
    ways = [
        _everywhere(transformer, hardware, traffic, p, power_cap_w, rows)
        for n, p in enumerate(precisions)
        if (rows := [c[n] for c in chosen if n in c])
    ]
    if not ways:
        raise NoAnswerError(why_none(serving, precisions, least))
    yields, power_w = np.concatenate([w.yields for w in ways]), np.concatenate([w.power_w for w in ways])
    place = [(w, i) for w in ways for i in range(len(w.yields))]
    answer = float(np.mean([t.output_len for t in traffic]))
    return [
        _point(number, *place[row], hardware, serving, answer)
        for number, row in enumerate(_worth_having(yields, power_w))
    ]


def least_latency(results: ServingResults) -> tuple[float, float]:
    """Least TTFT and least TPOT of all that fits into memory, each by itself; infinite where nothing fits. [s]"""
    return float(results.ttft_s.min(initial=np.inf)), float(results.tpot_s.min(initial=np.inf))


def why_none(serving: Serving, precisions: Sequence[str], least: Sequence[tuple[float, float]]) -> str:
    """Why no configuration serves: none fits, or none is in time; to follow a system's name.

    Parameters
    ----------
    serving : Serving
        What is asked.
    precisions : sequence of str
        Formats that were tried.
    least : sequence of (float, float)
        `least_latency` of each search.

    """
    ttft, tpot = np.array(least).min(axis=0)
    if not np.isfinite(ttft):
        return f"{serving.model} does not fit into its memory in any layout of one system, in {spoken(precisions)}"
    return (
        f"no layout and batch keeps TTFT {serving.ttft:g} s and TPOT {serving.tpot * 1e3:g} ms at once, in {spoken(precisions)} "
        f"(least of each by itself: {ttft:.2g} s, {tpot * 1e3:.2g} ms)"
    )


class _Ways(NamedTuple):
    """Configurations in one precision; latency and power of each are those of the quarter in which it yields most (`best`).

    `yields` has shape (configuration, quarter) [token/s].
    """

    precision: str
    chosen: ServingConfigurations
    best: list[ServingResults]
    yields: NDArray[np.float64]
    power_w: NDArray[np.float64]


def _everywhere(
    transformer: Transformer,
    hardware: Hardware,
    traffic: list[Traffic],
    precision: str,
    power_cap_w: float | None,
    rows: list[ServingConfigurations],
) -> _Ways:
    """Configurations found at some moments, evaluated in every quarter."""
    chosen = _unique(join(rows))
    unique = {(t.input_len, t.output_len): t for t in traffic}
    results = {
        key: evaluate(transformer, hardware, one, chosen, precision=precision, power_cap_w=power_cap_w)
        for key, one in unique.items()
    }
    yields = np.stack([_yield(results[t.input_len, t.output_len], hardware) for t in traffic], axis=1)
    best = [results[traffic[t].input_len, traffic[t].output_len] for t in yields.argmax(axis=1)]
    return _Ways(precision, chosen, best, yields, np.array([r.power_w[i] for i, r in enumerate(best)]))


def _best(results: list[ServingResults]) -> dict[int, ServingConfigurations]:
    """Highest throughput, and highest tokens per joule, within the targets: in which of the precisions, and how."""
    rate, joules = (
        [np.where(r.meets_targets, getattr(r, name), bad) for r in results]
        for name, bad in (("tokens_per_s_per_gpu", 0.0), ("joules_per_token", np.inf))
    )
    fast = max(range(len(results)), key=lambda n: rate[n].max(initial=0.0))
    thrifty = min(range(len(results)), key=lambda n: joules[n].min(initial=np.inf))
    if not rate[fast].any():
        return {}
    rows: dict[int, list[int]] = {}
    for n, i in ((fast, rate[fast].argmax()), (thrifty, joules[thrifty].argmin())):
        rows.setdefault(n, []).append(int(i))
    return {n: results[n].configurations.take(np.unique(some)) for n, some in rows.items()}


def join(parts: list[ServingConfigurations]) -> ServingConfigurations:
    """One after the other."""
    names = vars(parts[0])
    return ServingConfigurations(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})


def _unique(configurations: ServingConfigurations) -> ServingConfigurations:
    table = np.stack([getattr(configurations, n) for n in vars(configurations)], axis=1)
    _, first = np.unique(table, axis=0, return_index=True)
    return configurations.take(np.sort(first))


def _yield(results: ServingResults, hardware: Hardware) -> NDArray[np.float64]:
    """Output tokens per second and system; 0 where memory or targets forbid it."""
    return np.where(results.meets_targets, results.tokens_per_s_per_gpu, 0.0) * hardware.accelerators


def _worth_having(yields: NDArray[np.float64], power_w: NDArray[np.float64]) -> list[int]:
    """Points that no other one matches in every quarter at no more power."""
    kept = []
    for i in range(len(yields)):
        better = (yields >= yields[i]).all(axis=1) & (power_w <= power_w[i])
        better[i] = False
        strictly = better & ((yields > yields[i]).any(axis=1) | (power_w < power_w[i]))
        if yields[i].any() and not strictly.any():
            kept.append(i)
    return kept


def _point(
    number: int, ways: _Ways, i: int, hardware: Hardware, serving: Serving, output_tokens: float
) -> OperatingPoint:
    chosen, results, yields, precision = ways.chosen, ways.best[i], ways.yields[i], ways.precision
    row: dict[str, Any] = {name: float(column[i]) for name, column in vars(chosen).items()}
    low, high = ((bounds or {}).get("throughput", 1.0) for bounds in (results.low, results.high))
    return OperatingPoint(
        id=f"{serving.name}/{hardware.name}/{number}",
        workload=serving.name,
        kind="serving",
        system=hardware.name,
        model=serving.model,
        layout=layout_words(row, hardware.accelerators),
        tokens_per_s_per_rack=float(yields.max()),
        it_power_w_per_rack=rack_power_w(hardware, float(results.power_w[i])),
        racks_per_unit=int(np.ceil(row["accelerators"] / hardware.accelerators)),
        ttft_s=float(results.ttft_s[i]),
        tpot_s=float(results.tpot_s[i]),
        ttft_target_s=serving.ttft,
        tpot_target_s=serving.tpot,
        output_tokens=output_tokens,
        low=low,
        high=high,
        tokens_per_s_by_quarter=tuple(float(y) for y in yields),
        strategy=row | {"precision": precision},
    )


def layout_words(row: dict[str, Any], rack: int) -> str:
    """A layout as people say it: pools in the smallest whole numbers of workers that keep their ratio.

    Parameters
    ----------
    row : dict
        Fields of a `ServingConfigurations`, one number each.
    rack : int
        Accelerators of a system; pools that need more of it say over how many systems they lie.

    """
    tensor = row["accelerators"] / row["attention_data_parallel"] / row["pipeline_parallel"]
    parts = [
        f"{name} {degree:.0f}"
        for name, degree in (
            ("TP", tensor),
            ("attention DP", row["attention_data_parallel"]),
            ("EP", row["expert_parallel"]),
            ("PP", row["pipeline_parallel"]),
        )
        if degree > 1
    ]
    how, size = ", ".join([*parts, f"batch {row['batch']:.0f}"]), row["accelerators"]
    if not row["prefill_accelerators"]:
        return f"{_gpus(size)}, {how}"
    decode, prefill = whole_workers(row["prefill_share"])
    words = (
        f"{_workers(decode, 'decode', size)} ({how}) with {_workers(prefill, 'prefill', row['prefill_accelerators'])}"
    )
    racks = int(np.ceil((decode * size + prefill * row["prefill_accelerators"]) / rack))
    return words + (f", over {racks} systems" if racks > 1 else "")


def whole_workers(share: float) -> tuple[int, int]:
    """Smallest numbers of decode and prefill workers with so many of the second for one of the first, to within 3 %."""
    for decode in range(1, _MOST_WORKERS):
        prefill = round(decode * share)
        if prefill and abs(prefill / (decode * share) - 1) <= _RATIO_ERROR:
            return decode, prefill
    return max(round(1 / share), 1), max(round(share), 1)


def _workers(count: int, kind: str, size: float) -> str:
    return f"{count} {kind} {'worker' if count == 1 else 'workers'} of {_gpus(size)}"


def _gpus(size: float) -> str:
    return f"{size:.0f} {'GPU' if size == 1 else 'GPUs'}"
