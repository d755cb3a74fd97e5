"""Training points: how fast a run goes on a system, at the size that its window asks for."""

from __future__ import annotations

import numpy as np

from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.errors import GigaforgeError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import TrainingJob, TrainingResults, search
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario.schema import TrainingRun

__all__ = ["training_points"]

_SIZES = 2 ** np.arange(4, 13)  # 16 to 4,096 systems
_KEEP = 0.85  # share of the best efficiency that a larger gang must keep


def training_points(transformer: Transformer, hardware: Hardware, run: TrainingRun) -> list[OperatingPoint]:
    """One point: the smallest gang that finishes the work in two thirds of its window, at its best strategy.

    The experiments that `compute_multiple` counts run in gangs of their own, so the gang need only fit the final run.
    """
    window_s = (run.end - run.start + 1) * SECONDS_PER_QUARTER
    sizes: dict[int, TrainingResults] = {}
    for racks in _SIZES:
        results = _try(transformer, hardware, run, int(racks))
        if results is None or not results.feasible[0]:
            continue
        sizes[int(racks)] = results
        if _rate(results, hardware) * racks * window_s * 2 / 3 >= run.tokens:
            break
    if not sizes:
        return []
    racks, results = max(sizes.items())
    best = max(_rate(r, hardware) for r in sizes.values())
    fit = max(size for size, r in sizes.items() if _rate(r, hardware) >= _KEEP * best)
    strategy = results.strategies.row(0)
    return [
        OperatingPoint(
            id=f"{run.name}/{hardware.name}/0",
            workload=run.name,
            kind="training",
            system=hardware.name,
            model=run.model,
            layout=_words(strategy),
            tokens_per_s_per_rack=_rate(results, hardware),
            it_power_w_per_rack=rack_power_w(hardware, float(results.power_w[0])),
            racks_per_unit=racks,
            max_racks=float(max(fit, racks) * run.compute_multiple),
            mfu=float(results.mfu[0]),
            low=1 / results.high,
            high=1 / results.low,
            strategy={**strategy, "precision": run.precision},
        )
    ]


def _try(transformer: Transformer, hardware: Hardware, run: TrainingRun, racks: int) -> TrainingResults | None:
    batch = max(int(run.global_batch_tokens // run.seq_len), 1)
    # A batch that divides evenly over gangs of many sizes.
    batch = max(2 ** int(np.log2(batch)), 1)
    if hardware.accelerators % 9 == 0:
        batch = max(batch // 16 * 18, 1)  # NVL72 racks hold 2^3 x 3^2 accelerators
    job = TrainingJob(racks * hardware.accelerators, batch, run.seq_len, run.precision)
    try:
        return search(transformer, hardware, job)
    except GigaforgeError:
        return None


def _rate(results: TrainingResults, hardware: Hardware) -> float:
    return float(results.tokens_per_s_per_gpu[0]) * hardware.accelerators


def _words(strategy: dict[str, int | float | str | bool]) -> str:
    short = (("tensor_parallel", "TP"), ("pipeline_parallel", "PP"), ("context_parallel", "CP"),
             ("expert_parallel", "EP"), ("data_parallel", "DP"))  # fmt: skip
    parts = [f"{word} {strategy[name]}" for name, word in short if int(strategy[name]) > 1]
    return ", ".join([*parts, f"micro-batch {strategy['micro_batch']}", f"recompute {strategy['recompute']}"])
