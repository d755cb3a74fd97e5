"""Training points: how fast a run goes on a system, at the size that its window asks for."""

from __future__ import annotations

import numpy as np

from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.errors import GigaforgeError
from gigaforge.perf.hardware import Hardware, precision_family
from gigaforge.perf.training import SearchSpace, TrainingJob, TrainingResults, search
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario.schema import TrainingRun

__all__ = ["SPACE", "Searches", "batch_tokens", "gang_of", "job_of", "strategy_words", "training_points"]

_LARGEST = 4096  # systems in one gang: 300,000 accelerators, beyond every published run
_FIRST_GUESS_MFU = 0.4
# DeepSeek-V3 trained 14.8T tokens with batches of 63M (https://arxiv.org/abs/2412.19437, section 4.2); the batch beyond
# which larger ones stop helping grows with the data to the power 0.47 (https://arxiv.org/abs/2410.21676).
_BATCH_TOKENS, _BATCH_AT_TOKENS, _BATCH_EXPONENT = 63e6, 14.8e12, 0.47
# What a planner needs to compare: degrees that production runs use, without the refinements that decide the last per cent.
SPACE = SearchSpace.usual(
    tensor_parallel=(1, 2, 4, 8, 16),
    context_parallel=(1, 2, 4, 8),
    expert_tensor_parallel=(1,),
    micro_batch=(1, 2, 4),
    sequence_parallel=(1,),
    recompute_shares=(0.5, 1.0),
    sharding=(1, 3),
)


Searches = dict[tuple[object, ...], TrainingResults | None]


def training_points(
    transformer: Transformer,
    hardware: Hardware,
    run: TrainingRun,
    searches: Searches | None = None,
    power_cap_w: float | None = None,
) -> list[OperatingPoint]:
    """One point: the smallest gang that finishes the work in two thirds of its window, at its best strategy.

    The experiments that `compute_multiple` counts run in gangs of their own, so the gang need only fit the final run.
    Runs of one model ask many of the same questions; `searches` remembers the answers.
    """
    found = gang_of(transformer, hardware, run, {} if searches is None else searches, power_cap_w)
    if found is None:
        return []
    racks, results = found
    strategy = results.strategies.row(0)
    return [
        OperatingPoint(
            id=f"{run.name}/{hardware.name}/0",
            workload=run.name,
            kind="training",
            system=hardware.name,
            model=run.model,
            layout=strategy_words(strategy),
            tokens_per_s_per_rack=_rate(results, hardware),
            it_power_w_per_rack=rack_power_w(hardware, float(results.power_w[0])),
            racks_per_unit=racks,
            max_racks=racks * run.compute_multiple,
            mfu=float(results.mfu[0]),
            step_s=float(results.step_time_s[0]),
            low=1 / results.high,
            high=1 / results.low,
            strategy={**strategy, "precision": run.precision},
        )
    ]


def batch_tokens(run: TrainingRun) -> float:
    """Tokens of one optimizer step: the run's own, or what its data let a batch be."""
    return run.global_batch_tokens or _BATCH_TOKENS * (run.tokens / _BATCH_AT_TOKENS) ** _BATCH_EXPONENT


def gang_of(
    transformer: Transformer, hardware: Hardware, run: TrainingRun, known: Searches, power_cap_w: float | None
) -> tuple[int, TrainingResults] | None:
    """Systems of the smallest gang that finishes in two thirds of the window, and its search; None where none fits."""
    window_s = (run.end - run.start + 1) * SECONDS_PER_QUARTER * 2 / 3
    racks = _first_guess(transformer, hardware, run, window_s)
    while (results := _try(transformer, hardware, run, racks, known, power_cap_w)) is not None and racks < _LARGEST:
        if results.feasible[0] and _rate(results, hardware) * racks * window_s >= run.tokens:
            break
        racks *= 2
    return None if results is None or not results.feasible[0] else (racks, results)


def job_of(hardware: Hardware, run: TrainingRun, racks: int) -> TrainingJob:
    """The run on so many systems, with a batch that divides evenly over gangs of many sizes."""
    batch = max(int(batch_tokens(run) // run.seq_len), 1)
    batch = max(2 ** int(np.log2(batch)), 1)
    if hardware.accelerators % 9 == 0:
        batch = max(batch // 16 * 18, 1)  # NVL72 racks hold 2^3 x 3^2 accelerators
    return TrainingJob(racks * hardware.accelerators, batch, run.seq_len, run.precision)


def _try(
    transformer: Transformer,
    hardware: Hardware,
    run: TrainingRun,
    racks: int,
    known: Searches,
    power_cap_w: float | None,
) -> TrainingResults | None:
    job = job_of(hardware, run, racks)
    key = (hardware.name, run.model, job)
    if key not in known:
        try:
            known[key] = search(transformer, hardware, job, space=SPACE, power_cap_w=power_cap_w)
        except GigaforgeError:
            known[key] = None
    return known[key]


def _first_guess(transformer: Transformer, hardware: Hardware, run: TrainingRun, window_s: float) -> int:
    """Systems, a power of two, that would do the final run at a middling MFU."""
    peak = float(hardware.peak_flop_s[precision_family(run.precision)]) * hardware.accelerators
    flops = 6.0 * float(transformer.active_parameters) * run.tokens
    wanted = flops / (peak * _FIRST_GUESS_MFU * window_s)
    return int(np.clip(2 ** np.ceil(np.log2(max(wanted, 1.0))), 4, _LARGEST))


def _rate(results: TrainingResults, hardware: Hardware) -> float:
    return float(results.tokens_per_s_per_gpu[0]) * hardware.accelerators


def strategy_words(strategy: dict[str, int | float | str | bool]) -> str:
    """A strategy as people say it."""
    short = (("tensor_parallel", "TP"), ("pipeline_parallel", "PP"), ("context_parallel", "CP"),
             ("expert_parallel", "EP"), ("data_parallel", "DP"))  # fmt: skip
    parts = [f"{word} {strategy[name]}" for name, word in short if int(strategy[name]) > 1]
    return ", ".join([*parts, f"micro-batch {strategy['micro_batch']}", f"recompute {strategy['recompute']}"])
