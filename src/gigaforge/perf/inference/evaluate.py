"""Latency, throughput, memory and power of many serving configurations at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.effects import Effects, Group
from gigaforge.perf.inference.forward import Layout, Shapes
from gigaforge.perf.inference.memory import Memory, Parts, kv_bytes, memory
from gigaforge.perf.inference.rates import PrecisionPlan, Rates
from gigaforge.perf.inference.results import ServingConfigurations, ServingResults
from gigaforge.perf.inference.steady import Phase, decode_phase, prefill_phase
from gigaforge.perf.inference.traffic import Speculation, Traffic
from gigaforge.perf.parameters import load_parameters
from gigaforge.perf.power import active_power_w, clock_factor, demand_power_w, system_power_w
from gigaforge.perf.transformer import Transformer

__all__ = ["Engine", "evaluate"]

_CHUNK: Final = 16384
"""Configurations per block: its arrays stay in the second-level cache."""
_PREFILL_LOAD: Final = 0.85
"""Utilisation of a prefill pool that queues stay short at (assumption: M/D/1 waits three services there)."""
_TRANSFER_EFFICIENCY: Final = 0.6
"""Share of the link's line rate that a KV transfer reaches (assumption; NIXL and UCX report 0.5-0.8)."""


@dataclass(frozen=True)
class Engine:
    """Everything that does not depend on the configuration: built once, then evaluated over any number of them."""

    shapes: Shapes
    parts: Parts
    rates: Rates
    effects: Effects
    hardware: Hardware
    speculation: Speculation | None = None
    peak_flop_s: Array = 1.0

    @classmethod
    def of(
        cls,
        transformer: Transformer,
        hardware: Hardware,
        *,
        precision: str = "fp8",
        kv_precision: str | None = None,
        software: str = "trtllm",
        speculation: Speculation | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Engine:
        """Gather a model, a machine, a precision and a software family.

        Raises
        ------
        InputError
            The chip lacks the precision.

        """
        moe = bool(np.any(np.asarray(transformer.moe_layers) > 0))
        plan = PrecisionPlan.of(precision, moe=moe, kv=kv_precision)
        rates = Rates.of(hardware, plan)
        group = Group(software, hardware.generation, precision, transformer.name)
        return cls(
            shapes=Shapes.of(transformer),
            parts=Parts.of(transformer),
            rates=rates,
            effects=Effects.of(group, parameters),
            hardware=hardware,
            speculation=speculation,
            peak_flop_s=np.maximum(rates.peak_experts if moe else rates.peak_linear, rates.peak_bf16),
        )

    def at_clock(self, factor: Array) -> Engine:
        """The same engine with the tensor cores at a share of their clock."""
        r = self.rates
        slower = replace(
            r,
            peak_linear=r.peak_linear * factor,
            peak_experts=r.peak_experts * factor,
            peak_attention=r.peak_attention * factor,
            peak_bf16=r.peak_bf16 * factor,
        )
        return replace(self, rates=slower)


class _Point(NamedTuple):
    ttft_s: Any
    ttft_p99_s: Any
    tpot_s: Any
    tpot_p99_s: Any
    requests_per_s: Any
    accelerators: Any
    memory: Memory
    kv_used: Any
    utilisation: tuple[Any, Any]


def evaluate(
    transformer: Transformer,
    hardware: Hardware,
    traffic: Traffic,
    configurations: ServingConfigurations,
    *,
    precision: str = "fp8",
    kv_precision: str | None = None,
    software: str = "trtllm",
    speculation: Speculation | None = None,
    parameters: Mapping[str, Any] | None = None,
    power_cap_w: Array | None = None,
) -> ServingResults:
    """Predict every configuration.

    Parameters
    ----------
    transformer, hardware, traffic
        Model, machine, requests. With `traffic.concurrency` the loop is closed; else requests arrive at random at the
        rate that keeps `batch` in flight.
    configurations : ServingConfigurations
        What to evaluate.
    precision : str
        Of the weights: ``"bf16"``, ``"fp8"``, ``"fp8_block"``, ``"mxfp4"``, ``"nvfp4"``, ...
    kv_precision : str, optional
        ``"bf16"`` or ``"fp8"``; default as serving stacks choose.
    software : str
        ``"trtllm"``, ``"vllm"``, ``"sglang"``, or any other name for an unknown one.
    speculation : Speculation, optional
        Multi-token prediction or a draft model.
    parameters : mapping, optional
        A parameter file other than the shipped one.
    power_cap_w : array, optional
        Cap per accelerator: lowers the clock until the board stays below. [W]

    Raises
    ------
    InputError
        The chip lacks the precision, or a configuration is not possible (degrees, batch below one).

    """
    _check(configurations)
    engine = Engine.of(
        transformer,
        hardware,
        precision=precision,
        kv_precision=kv_precision,
        software=software,
        speculation=speculation,
        parameters=parameters,
    )
    result = run(engine, traffic, configurations, power_cap_w)
    low, high = _interval(parameters, hardware)
    return replace(result, low=low, high=high)


def _interval(parameters: Mapping[str, Any] | None, hardware: Hardware) -> tuple[dict[str, float], dict[str, float]]:
    table = (load_parameters("serving") if parameters is None else parameters).get("intervals", {})
    kind = "known" if hardware.chip in table.get("chips", []) else "unknown"
    rows = table.get(kind, {})
    return {k: float(v[0]) for k, v in rows.items()}, {k: float(v[1]) for k, v in rows.items()}


def _check(c: ServingConfigurations) -> None:
    if not len(c):
        raise InputError("no configuration to evaluate", "configurations")
    if np.any(c.batch < 1) or not np.all(np.isfinite(c.batch)):
        raise InputError(f"a batch of {np.min(c.batch):g}; at least one request must be in flight", "batch")
    if np.any(c.accelerators < 1):
        raise InputError("a replica needs at least one accelerator", "accelerators")


def run(
    engine: Engine, traffic: Traffic, configurations: ServingConfigurations, power_cap_w: Array | None = None
) -> ServingResults:
    """Evaluate in blocks; memory stays flat however many configurations there are."""
    n = len(configurations)
    blocks = []
    for start in range(0, n, _CHUNK):
        part = configurations.take(slice(start, min(start + _CHUNK, n)))
        blocks.append(_block(engine, traffic, part, power_cap_w))
    return _concatenate(blocks, configurations)


def _concatenate(blocks: list[ServingResults], configurations: ServingConfigurations) -> ServingResults:
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    values = {
        name: np.concatenate([getattr(b, name) for b in blocks])
        for name, value in vars(first).items()
        if isinstance(value, np.ndarray)
    }
    return replace(first, configurations=configurations, evaluated=len(configurations), **values)


def _block(engine: Engine, traffic: Traffic, c: ServingConfigurations, cap_w: Array | None) -> ServingResults:
    point = _point(engine, traffic, c)
    if cap_w is not None:
        demand = demand_power_w(engine.hardware, *point.utilisation)
        engine = engine.at_clock(clock_factor(engine.hardware, cap_w, demand))
        point = _point(engine, traffic, c)
    hardware = engine.hardware
    power = active_power_w(hardware, *point.utilisation, cap_w)
    whole = system_power_w(hardware, power) / hardware.accelerators
    per_gpu = point.requests_per_s / point.accelerators
    tokens = per_gpu * traffic.output_len
    mem = point.memory
    feasible = (mem.kv_capacity_bytes >= point.kv_used) & (mem.kv_capacity_bytes > 0)
    ttft = point.ttft_s if traffic.percentile == "mean" else point.ttft_p99_s
    tpot = point.tpot_s if traffic.percentile == "mean" else point.tpot_p99_s
    meets = feasible.copy()
    if not traffic.offline:
        meets &= ttft <= (traffic.ttft_s or np.inf)
        meets &= tpot <= (traffic.tpot_s or np.inf)
    shape = c.batch.shape
    full = [
        np.broadcast_to(np.asarray(x, dtype=np.float64), shape)
        for x in (
            point.ttft_s,
            point.ttft_p99_s,
            point.tpot_s,
            point.tpot_p99_s,
            tokens,
            1.0 / point.tpot_s,
            per_gpu,
            mem.weights_bytes + mem.runtime_bytes + point.kv_used,
            mem.weights_bytes,
            point.kv_used,
            power,
            whole,
            whole / tokens,
        )
    ]
    return ServingResults(c, feasible, meets, *full, evaluated=len(c))


def _point(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> _Point:
    shapes, rates, e = engine.shapes, engine.rates, engine.effects
    layout = Layout(c.accelerators, c.attention_data_parallel, c.expert_parallel, c.pipeline_parallel)
    out = traffic.output_len
    context = traffic.input_len + 0.5 * out
    new, past = traffic.input_len * (1.0 - traffic.prefix_hit), traffic.input_len * traffic.prefix_hit
    step = decode_phase(shapes, rates, layout, e, c.batch / c.attention_data_parallel, context, engine.speculation)
    split = c.disaggregated
    pool = layout
    if np.any(split):
        pool = Layout(
            np.where(split, c.prefill_accelerators, c.accelerators),
            np.where(split, c.prefill_attention_data_parallel, c.attention_data_parallel),
            np.where(split, c.prefill_expert_parallel, c.expert_parallel),
            np.where(split, 1.0, c.pipeline_parallel),
        )
    many = prefill_phase(shapes, rates, pool, e, new, past, batched=True)
    one = prefill_phase(shapes, rates, pool, e, new, past, batched=False)
    felt = np.where(split, 0.0, e.interference * c.batch * many.seconds / out)
    tpot = step.seconds + felt
    life = out * tpot + e.ttft_s + one.seconds
    rate = c.batch / life
    mem = memory(engine.parts, shapes, rates, layout, engine.hardware.hbm_bytes, context)
    used = c.batch / c.attention_data_parallel * context * mem.kv_bytes_per_token
    supply = np.where(split, c.prefill_share / many.seconds, np.inf)
    rate = np.minimum(rate, supply)
    load = np.clip(np.where(split, rate / supply, rate * many.seconds), 0.0, 0.98)
    ttft, ttft_p99 = _first_token(engine, traffic, c, layout, one, many, tpot, load, split)
    total = c.accelerators + c.prefill_share * c.prefill_accelerators
    steps = rate * out / c.batch
    use = _utilisation(engine, c, step, many, rate, steps, total, split)
    share = felt / tpot
    return _Point(ttft, ttft_p99, tpot, tpot * (1.08 + 0.35 * share), rate, total, mem, used, use)


def _first_token(
    engine: Engine,
    traffic: Traffic,
    c: ServingConfigurations,
    layout: Layout,
    one: Phase,
    many: Phase,
    tpot: Any,
    load: Any,
    split: Any,
) -> tuple[Any, Any]:
    """TTFT, mean and p99: front end, own prefill, half a step, KV transfer, and the queue of others' prefills."""
    e = engine.effects
    own = e.ttft_s + one.seconds + np.where(split, 0.0, 0.5 * tpot)
    if np.any(split):
        own = own + np.where(split, _transfer_s(engine, traffic, c, layout), 0.0)
    if traffic.concurrency is not None:
        workers = np.where(split, np.maximum(c.prefill_share, 1e-9), 1.0)
        wait = e.burst * np.maximum(c.batch - layout.attention_data_parallel, 0.0) * many.seconds / workers
        return own + wait, own + 5.0 * wait
    wait = load / (2.0 * (1.0 - load)) * many.seconds
    tail = many.seconds * np.log(np.maximum(100.0 * load, 1.0)) / (2.0 * (1.0 - load))
    return own + wait, np.maximum(own + tail, 1.7 * (own + wait))


def _transfer_s(engine: Engine, traffic: Traffic, c: ServingConfigurations, layout: Layout) -> Any:
    """One prompt's cache from a prefill to a decode worker, over NVLink where both share a domain."""
    each = kv_bytes(engine.shapes, engine.rates, layout, traffic.input_len)
    inside = c.accelerators + c.prefill_accelerators <= engine.hardware.nvlink_domain
    link = np.where(inside, engine.rates.scale_up, engine.rates.scale_out)
    return traffic.input_len * each / (link * _TRANSFER_EFFICIENCY)


def _utilisation(
    engine: Engine, c: ServingConfigurations, step: Phase, many: Phase, rate: Any, steps: Any, total: Any, split: Any
) -> tuple[Any, Any]:
    """Mean over all accelerators in use: achieved FLOP/s over peak, bytes/s over bandwidth."""
    decode_part = c.accelerators / total
    prefill_part = np.where(split, (total - c.accelerators) / total / np.maximum(c.prefill_share, 1e-9), 1.0)
    out = []
    for name, top in (("flop", engine.peak_flop_s), ("hbm_bytes", engine.rates.bandwidth)):
        amount = steps * getattr(step, name) * decode_part + rate * getattr(many, name) * prefill_part
        out.append(np.minimum(amount / top, 1.0))
    return out[0], out[1]
