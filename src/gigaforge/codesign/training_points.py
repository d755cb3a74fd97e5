"""Training points: how fast a run goes on a system, at the size that its window asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigaforge.codesign.point import OperatingPoint, rack_power_w
from gigaforge.codesign.precisions import spoken, training_precisions
from gigaforge.errors import GigaforgeError, NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training import SearchSpace, TrainingJob, TrainingResults, evaluate, search
from gigaforge.perf.transformer import Transformer
from gigaforge.quarters import SECONDS_PER_QUARTER
from gigaforge.scenario.schema import TrainingRun

__all__ = [
    "SPACE",
    "Gang",
    "Searches",
    "batch_tokens",
    "gang_of",
    "job_of",
    "may_be_faster",
    "strategy_words",
    "training_points",
]

_LARGEST = 4096  # systems in one gang: 300,000 accelerators, beyond every published run
_FIRST_GUESS_MFU = 0.4
_CLEARLY_SLOWER = 1.05
"""Steps of a wider precision over a narrower one's, from which on it is not searched on its own."""
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


Searches = dict[tuple[object, ...], TrainingResults | str]
"""Answers by system, model and job; in words, why there is none."""


def training_points(
    transformer: Transformer,
    hardware: Hardware,
    run: TrainingRun,
    searches: Searches | None = None,
    power_cap_w: float | None = None,
) -> list[OperatingPoint]:
    """One point: the smallest gang that finishes the work in two thirds of its window, at its best strategy and precision.

    The experiments that `compute_multiple` counts run in gangs of their own, so the gang need only fit the final run.
    Runs of one model ask many of the same questions; `searches` remembers the answers.

    Raises
    ------
    NoAnswerError
        There is none, and why: precision or memory.

    """
    known: Searches = {} if searches is None else searches
    gang = gang_of(transformer, hardware, run, known, power_cap_w)
    racks, results, precision = gang.racks, gang.results, gang.precision
    for wider in gang.wider:
        if not may_be_faster(transformer, hardware, job_of(hardware, run, racks, wider), gang.results, power_cap_w):
            continue
        other = _try(transformer, hardware, run, racks, known, power_cap_w, wider)
        if isinstance(other, TrainingResults) and other.feasible[0] and other.step_time_s[0] < results.step_time_s[0]:
            results, precision = other, wider
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
            strategy={**strategy, "precision": precision},
        )
    ]


def batch_tokens(run: TrainingRun) -> float:
    """Tokens of one optimizer step: the run's own, or what its data let a batch be."""
    return run.global_batch_tokens or _BATCH_TOKENS * (run.tokens / _BATCH_AT_TOKENS) ** _BATCH_EXPONENT


@dataclass(frozen=True)
class Gang:
    """How many systems a run takes, and its search there.

    Attributes
    ----------
    racks : int
        Systems.
    results : TrainingResults
        Best strategies in `precision`, the narrowest that fits.
    precision : str
    wider : tuple of str
        The precisions left to try in the same gang.

    """

    racks: int
    results: TrainingResults
    precision: str
    wider: tuple[str, ...]


def gang_of(
    transformer: Transformer, hardware: Hardware, run: TrainingRun, known: Searches, power_cap_w: float | None
) -> Gang:
    """The smallest gang that finishes in two thirds of the window, in the narrowest precision that fits.

    Raises
    ------
    NoAnswerError
        The machine has none of the precisions allowed, or the run fits in none.

    """
    window_s = (run.end - run.start + 1) * SECONDS_PER_QUARTER * 2 / 3
    precisions, why = training_precisions(hardware, run.precision), ""
    for number, precision in enumerate(precisions):
        racks = _first_guess(transformer, hardware, run, window_s, precision)
        while True:
            results = _try(transformer, hardware, run, racks, known, power_cap_w, precision)
            if isinstance(results, str):
                why = why or results
                break
            enough = results.feasible[0] and _rate(results, hardware) * racks * window_s >= run.tokens
            if enough or racks >= _LARGEST:
                if results.feasible[0]:
                    return Gang(racks, results, precision, precisions[number + 1 :])
                break
            racks *= 2
    raise NoAnswerError(
        why
        or f"{run.model} does not fit into the memory of {_LARGEST:,} of it in any layout, in {spoken(precisions)}"
    )


def may_be_faster(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    narrower: TrainingResults,
    power_cap_w: float | None = None,
) -> bool:
    """Whether a job in a wider precision is worth a search of its own: it nearly keeps up with some of a narrower one's best strategies.

    Where it is clearly slower on each of them, no other strategy makes up for it: that would have to be slower in the narrower
    precision, and faster in the wider one, than all of these.
    """
    fitting = np.flatnonzero(narrower.feasible)
    found = evaluate(
        transformer, hardware, job, narrower.strategies.take(fitting), power_cap_w=power_cap_w, ranked=False
    )
    ratio = (found.step_time_s / narrower.step_time_s[fitting])[found.feasible]
    return not ratio.size or float(ratio.min()) < _CLEARLY_SLOWER


def job_of(hardware: Hardware, run: TrainingRun, racks: int, precision: str) -> TrainingJob:
    """The run on so many systems, with a batch that divides evenly over gangs of many sizes."""
    batch = max(int(batch_tokens(run) // run.seq_len), 1)
    batch = max(2 ** int(np.log2(batch)), 1)
    if hardware.accelerators % 9 == 0:
        batch = max(batch // 16 * 18, 1)  # NVL72 racks hold 2^3 x 3^2 accelerators
    return TrainingJob(racks * hardware.accelerators, batch, run.seq_len, precision)


def _try(
    transformer: Transformer,
    hardware: Hardware,
    run: TrainingRun,
    racks: int,
    known: Searches,
    power_cap_w: float | None,
    precision: str,
) -> TrainingResults | str:
    job = job_of(hardware, run, racks, precision)
    key = (hardware.name, run.model, job)
    if key not in known:
        try:
            known[key] = search(transformer, hardware, job, space=SPACE, power_cap_w=power_cap_w)
        except GigaforgeError as problem:
            known[key] = str(problem).partition("\n")[0]
    return known[key]


def _first_guess(
    transformer: Transformer, hardware: Hardware, run: TrainingRun, window_s: float, precision: str
) -> int:
    """Systems, a power of two, that would do the final run at a middling MFU."""
    peak = float(hardware.peak(precision)) * hardware.accelerators
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
