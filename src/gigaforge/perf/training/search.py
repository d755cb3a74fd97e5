"""The best way to train a model on a machine: evaluate strategies, or search all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.power import active_power_w, clock_factor, least_cap_w, system_power_w
from gigaforge.perf.training.constants import Constants, grouped_dispatch
from gigaforge.perf.training.exchange import CONTEXT_MODES, Shape
from gigaforge.perf.training.job import TrainingJob, TrainingStrategies
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.training.parameters import TrainingParameters, key_of, shipped
from gigaforge.perf.training.predict import LayerTable, layer_table, shape_of
from gigaforge.perf.training.space import Grid, SearchSpace, grids
from gigaforge.perf.training.step import BREAKDOWN, MEMORY, step_memory, step_times
from gigaforge.perf.transformer import Transformer

__all__ = ["TrainingResults", "evaluate", "search"]

Floats = npt.NDArray[np.float64]
_USABLE = 0.97
"""Share of HBM that a job can fill (assumption: the driver and the last fragments keep 3 %)."""
_GRADIENT_BYTES = 2.0
"""Gradients reduced in bf16, as the recipes of NeMo and Megatron-Bridge do."""


@dataclass(frozen=True)
class TrainingResults:
    """Strategies and what each yields, best first (feasible before infeasible, then by step time); arrays of one shape.

    Parameters
    ----------
    strategies : TrainingStrategies
        The strategies.
    feasible : array of bool
        Fits in memory.
    step_time_s, tokens_per_s_per_gpu, mfu : array
        [s], [tokens/s], [unitless]: model FLOPs over dense peak at the job's precision.
    memory_bytes, memory : array, mapping
        Of the fullest accelerator, in all and by part (`MEMORY`). [B]
    memory_over_bytes : array
        How much does not fit (0: fits). [B]
    power_w, system_power_w, joules_per_token : array
        Mean per accelerator; its share of the whole system's mean IT power; IT energy of a token. [W], [W], [J]
    breakdown : mapping
        Seconds by part (`BREAKDOWN`), which add up to the step. [s]
    low, high : float
        Factors on step time of the 80 % interval.
    evaluated, feasible_count, wall_s : int, int, float
        Of the whole search.

    """

    strategies: TrainingStrategies
    feasible: npt.NDArray[np.bool_]
    step_time_s: Floats
    tokens_per_s_per_gpu: Floats
    mfu: Floats
    memory_bytes: Floats
    memory: Mapping[str, Floats]
    memory_over_bytes: Floats
    power_w: Floats
    system_power_w: Floats
    joules_per_token: Floats
    breakdown: Mapping[str, Floats]
    low: float
    high: float
    evaluated: int
    feasible_count: int
    wall_s: float

    def records(self, count: int | None = None) -> list[dict[str, Any]]:
        """The first ones as plain dictionaries, as `gigaforge train --json` prints them."""
        size = self.strategies.size if count is None else min(count, self.strategies.size)
        return [self._record(i) for i in range(size)]

    def _record(self, i: int) -> dict[str, Any]:
        scalars = ("step_time_s", "mfu", "tokens_per_s_per_gpu", "memory_bytes", "memory_over_bytes", "power_w",
                   "system_power_w", "joules_per_token")  # fmt: skip
        out: dict[str, Any] = self.strategies.row(i)
        out |= {name: float(getattr(self, name)[i]) for name in scalars}
        out["feasible"] = bool(self.feasible[i])
        out["interval"] = {"low": self.low * out["step_time_s"], "high": self.high * out["step_time_s"]}
        out["breakdown"] = {k: float(v[i]) for k, v in self.breakdown.items()}
        out["memory"] = {k: float(v[i]) for k, v in self.memory.items()}
        return out


@dataclass(frozen=True)
class _Setting:
    """All that does not vary over strategies."""

    t: Transformer
    hardware: Hardware
    machine: Machine
    c: Constants
    job: TrainingJob
    flops: float
    cap_w: Array | None

    def shape(self, s: TrainingStrategies) -> Shape:
        """What a rank works on under these strategies."""
        job = self.job
        return shape_of(
            s,
            float(job.seq_len),
            grouped_dispatch=grouped_dispatch(job.software),
            expert_load=job.expert_load,
        )


def _setting(
    t: Transformer, hardware: Hardware, job: TrainingJob, parameters: TrainingParameters | None, cap_w: Array | None
) -> _Setting:
    machine = Machine.of(hardware, job.precision)
    if cap_w is not None:
        _refuse_cap(hardware, cap_w)
        # A cap slows the clock, and with it every peak; memory and links keep theirs.
        factor = clock_factor(hardware, cap_w)
        machine = replace(
            machine, peak_flop_s=machine.peak_flop_s * factor, peak_bf16_flop_s=machine.peak_bf16_flop_s * factor
        )
    c = (parameters or shipped()).constants(key_of(hardware, job.precision, job.software))
    flops = float(np.asarray(t.training_flops_per_token(float(job.seq_len)))) * job.tokens / job.accelerators
    return _Setting(t, hardware, machine, c, job, flops, cap_w)


def _refuse_cap(hardware: Hardware, cap_w: Array) -> None:
    """Raise `InputError` for a cap that the board cannot keep."""
    least = least_cap_w(hardware)
    if not np.all(np.asarray(cap_w) >= np.floor(least)):
        worst = float(np.min(cap_w))
        raise InputError(f"{worst:g} W cannot be kept; the least cap is {float(np.max(least)):,.0f} W", "power_cap_w")


def _outcome(x: _Setting, s: TrainingStrategies, table: LayerTable, *, parts: bool) -> dict[str, Any]:
    shape = x.shape(s)
    common = (x.t, x.machine, x.c, shape)
    rest = (table.parameters, s, float(x.job.global_batch), _GRADIENT_BYTES)
    times = step_times(*common, table.times, *rest, parts=parts)
    memory = step_memory(*common, table.activations, *rest)
    total = memory.total
    step = times.step_time_s
    peak = np.asarray(x.hardware.peak(x.job.precision))
    busy = np.clip(times.busy_s / step, 1e-3, 1.0)
    use = x.flops / (step * busy) / peak
    cap = {} if x.cap_w is None else {"cap_w": x.cap_w}
    working = active_power_w(x.hardware, np.minimum(use, 1.0), 0.3, **cap)
    waiting = active_power_w(x.hardware, 0.0, 0.05, **cap)
    power = busy * working + (1.0 - busy) * waiting
    over = np.maximum(total - _USABLE * np.asarray(x.hardware.hbm_bytes), 0.0)
    out = {"step_time_s": step, "memory_bytes": total, "memory_over_bytes": over, "power_w": power}
    if parts:
        out["breakdown"] = {k: times.parts[k] for k in BREAKDOWN}
        out["memory"] = {k: getattr(memory, k) for k in MEMORY}
    return out


def evaluate(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    strategies: TrainingStrategies,
    parameters: TrainingParameters | None = None,
    power_cap_w: Array | None = None,
    *,
    ranked: bool = True,
) -> TrainingResults:
    """Time, memory and power of given strategies, best first.

    Parameters
    ----------
    transformer, hardware, job, strategies
        The question; `hardware` numbers may be arrays of the strategies' shape (a grid over hardware).
    parameters : TrainingParameters, optional
        Own calibration; default the shipped one.
    power_cap_w : array, optional
        Cap per accelerator: a slower clock, slower compute. [W]
    ranked : bool
        False keeps the order of `strategies`, as a grid over hardware needs.

    Raises
    ------
    InputError
        Degrees do not multiply to the job's accelerators, or do not divide model or batch; names the first. A cap below
        what the slowest clock can keep.

    """
    started = time.perf_counter()
    check(transformer, job, strategies)
    x = _setting(transformer, hardware, job, parameters, power_cap_w)
    table = layer_table(transformer, x.machine, x.c, x.shape(strategies))
    out = _outcome(x, strategies, table, parts=True)
    return _results(x, strategies, out, parameters, started, strategies.size, None, ranked=ranked)


def search(
    transformer: Transformer,
    hardware: Hardware,
    job: TrainingJob,
    *,
    space: SearchSpace | None = None,
    keep: int = 100,
    parameters: TrainingParameters | None = None,
    power_cap_w: float | None = None,
    chunk: int = 16384,
) -> TrainingResults:
    """Evaluate every valid strategy and keep the best.

    Memory stays flat: strategies are made and judged `chunk` at a time. Ties go to the earlier strategy, so the result
    is always the same.

    Raises
    ------
    NoAnswerError
        No layout divides the machine, the model and the batch.
    InputError
        A cap below what the slowest clock can keep; a precision that the chip lacks.

    """
    started = time.perf_counter()
    x = _setting(transformer, hardware, job, parameters, power_cap_w)
    tables = _Tables(x)
    kept: list[tuple[Floats, TrainingStrategies]] = []
    evaluated = fitting = 0
    bar = np.inf
    for grid in grids(transformer, job, space or SearchSpace(), chunk):
        out = _outcome(x, grid.strategies, tables.of(grid.strategies), parts=False)
        shape = (grid.rows, grid.columns)
        step = np.broadcast_to(out["step_time_s"], shape).reshape(-1)
        over = np.broadcast_to(out["memory_over_bytes"], shape).reshape(-1)
        evaluated += step.size
        fitting += int(np.count_nonzero(over == 0))
        # What does not fit ranks behind all that does, nearest to fitting first.
        score = np.where(over > 0, 1e9 + over, step)
        few = np.flatnonzero(score < bar)
        if few.size > keep:
            few = few[np.argsort(score[few], kind="stable")[:keep]]
        if few.size:
            kept.append((score[few], grid.row(few)))
        if sum(k.size for k, _ in kept) > 4 * keep:
            kept, bar = _trim(kept, keep)
    kept, _ = _trim(kept, keep)
    best = kept[0][1]
    table = layer_table(transformer, x.machine, x.c, x.shape(best))
    return _results(x, best, _outcome(x, best, table, parts=True), parameters, started, evaluated, fitting)


def _trim(
    kept: list[tuple[Floats, TrainingStrategies]], keep: int
) -> tuple[list[tuple[Floats, TrainingStrategies]], float]:
    score = np.concatenate([k for k, _ in kept])
    order = np.argsort(score, kind="stable")[:keep]
    bar = float(score[order[-1]]) if order.size == keep else np.inf
    return [(score[order], TrainingStrategies.concatenate([s for _, s in kept]).take(order))], bar


class _Tables:
    """Layer times of a grid's distinct shapes, computed once per grid and looked up."""

    def __init__(self, x: _Setting) -> None:
        self._x = x

    def of(self, s: TrainingStrategies) -> LayerTable:
        """The table's rows for a grid's degrees, shape (rows, 1)."""
        _, first, inverse = np.unique(_code(s), return_index=True, return_inverse=True)
        few = TrainingStrategies(
            **{
                k: v[first, 0] if v.shape[0] > 1 else np.broadcast_to(v[0, :1], first.shape)
                for k, v in s.columns().items()
            }
        )
        table = layer_table(self._x.t, self._x.machine, self._x.c, self._x.shape(few))
        at = inverse.reshape(-1, 1)
        return LayerTable(_take(table.times, at), _take(table.activations, at), _take(table.parameters, at))


def _take(values: Any, at: Any) -> Any:
    """Rows of a dataclass of arrays; scalars stay."""
    fields = vars(values)
    return type(values)(
        **{k: v if np.ndim(v) == 0 or np.size(v) == 1 else np.asarray(v)[at] for k, v in fields.items()}
    )


def _code(s: TrainingStrategies) -> npt.NDArray[np.int64]:
    code = np.zeros(s.tensor_parallel.shape[0], dtype=np.int64)
    for column, most in (
        (s.tensor_parallel, 1024), (s.context_parallel, 8192), (s.expert_parallel, 1024),
        (s.expert_tensor_parallel, 1024), (s.micro_batch, 1024), (s.sequence_parallel, 2), (s.context_mode, 4),
    ):  # fmt: skip
        code = code * most + column[:, 0]
    return code


def _results(
    x: _Setting,
    s: TrainingStrategies,
    out: dict[str, Any],
    parameters: TrainingParameters | None,
    started: float,
    evaluated: int,
    fitting: int | None,
    *,
    ranked: bool = True,
) -> TrainingResults:
    step, over = out["step_time_s"], out["memory_over_bytes"]
    order = np.lexsort((step, np.where(over > 0, over, 0.0))) if ranked else np.arange(step.size)
    job = x.job
    power = np.broadcast_to(out["power_w"], step.shape)
    system = system_power_w(x.hardware, power) / x.hardware.accelerators
    tokens = job.tokens / (step * job.accelerators)
    key = key_of(x.hardware, job.precision, job.software)
    low, high = (parameters or shipped()).interval(key, bool(np.any(np.asarray(x.t.moe_layers) > 0)))
    peak = np.asarray(x.hardware.peak(job.precision))

    def sort(v: Any) -> Any:
        return np.broadcast_to(v, step.shape)[order]

    return TrainingResults(
        strategies=s.take(order),
        feasible=sort(over == 0),
        step_time_s=sort(step),
        tokens_per_s_per_gpu=sort(tokens),
        mfu=sort(x.flops / step / peak),
        memory_bytes=sort(out["memory_bytes"]),
        memory={k: sort(v) for k, v in out["memory"].items()},
        memory_over_bytes=sort(over),
        power_w=sort(power),
        system_power_w=sort(system),
        joules_per_token=sort(system / tokens),
        breakdown={k: sort(v) for k, v in out["breakdown"].items()},
        low=low,
        high=high,
        evaluated=evaluated,
        feasible_count=int(np.count_nonzero(over == 0)) if fitting is None else fitting,
        wall_s=time.perf_counter() - started,
    )


def check(t: Transformer, job: TrainingJob, s: TrainingStrategies) -> None:
    """Raise `InputError` for the first strategy whose degrees cannot be."""

    def refuse(bad: Any, what: str, remedy: str) -> None:
        where = np.flatnonzero(np.broadcast_to(bad, s.tensor_parallel.shape))
        if where.size:
            words = s.row(int(where[0]))
            raise InputError(f"{what.format(**words)}; {remedy}", f"strategy {int(where[0])}")

    tp, pp, cp, dp = s.tensor_parallel, s.pipeline_parallel, s.context_parallel, s.data_parallel
    for name in ("tensor_parallel", "pipeline_parallel", "virtual_pipeline", "context_parallel", "expert_parallel",
                 "data_parallel", "micro_batch"):  # fmt: skip
        refuse(getattr(s, name) < 1, f"{name} {{{name}}}", "it must be at least 1")
    degrees = "tensor x pipeline x context x data parallel = {tensor_parallel} x {pipeline_parallel} x "
    degrees += "{context_parallel} x {data_parallel}"
    refuse(tp * pp * cp * dp != job.accelerators, degrees, f"they must multiply to {job.accelerators} accelerators")
    heads = int(t.heads)
    ulysses = s.context_mode == CONTEXT_MODES.index("ulysses")
    refuse(
        ulysses & (heads % (tp * cp) != 0),
        f"tensor_parallel {{tensor_parallel}} x context_parallel {{context_parallel}} does not divide {heads} heads",
        "ulysses spreads heads over both; take a divisor or another context mode",
    )
    refuse(heads % tp != 0, f"tensor_parallel {{tensor_parallel}} does not divide {heads} heads", "take a divisor")
    refuse(
        pp > int(t.layers), f"pipeline_parallel {{pipeline_parallel}} exceeds {int(t.layers)} layers", "take fewer"
    )
    refuse(
        job.global_batch % (dp * s.micro_batch) != 0,
        f"global batch {job.global_batch} is not a multiple of data_parallel {{data_parallel}} x micro_batch {{micro_batch}}",
        "change the batch or the degrees",
    )
    if int(t.experts):
        refuse(
            int(t.experts) % s.expert_parallel != 0,
            f"expert_parallel {{expert_parallel}} does not divide {int(t.experts)} experts",
            "take a divisor",
        )
    else:
        refuse(s.expert_parallel > 1, "expert_parallel {expert_parallel} on a dense model", "leave it at 1")


def grid_size(grid: Grid) -> int:
    """How many strategies a grid holds."""
    return grid.rows * grid.columns
