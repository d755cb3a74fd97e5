"""Latency, throughput, memory and power of many serving configurations at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.effects import Effects, Group
from gigaforge.perf.inference.known import canonical_model
from gigaforge.perf.inference.memory import Parts
from gigaforge.perf.inference.operate import Machine, Operation, Requests, operate
from gigaforge.perf.inference.rates import PrecisionPlan, Rates, usual_cache
from gigaforge.perf.inference.results import ServingConfigurations, ServingResults
from gigaforge.perf.inference.shapes import Shapes
from gigaforge.perf.inference.steady import CHUNK_TOKENS, Drafting, Phase
from gigaforge.perf.inference.traffic import Speculation, Traffic, run_share
from gigaforge.perf.parameters import load_parameters
from gigaforge.perf.power import active_power_w, clock_factor, demand_power_w, system_power_w
from gigaforge.perf.transformer import Transformer

__all__ = ["Engine", "evaluate", "requests_of"]

_BLOCK_SCALED: Final = 16
"""Mixtures with more experts ship fp8 weights scaled by block (DeepSeek-V3, Qwen3, GLM, MiniMax model cards)."""
_CHUNK: Final = 16384
"""Configurations per block: its arrays stay in the second-level cache."""


@dataclass(frozen=True)
class Engine:
    """Everything that does not depend on the configuration: built once, then evaluated over any number of them.

    `power_cap_w`, per accelerator, lowers the clock of whatever runs until the board stays below.
    """

    machine: Machine
    hardware: Hardware
    peak_flop_s: Array
    power_cap_w: Array | None = None

    @classmethod
    def of(
        cls,
        transformer: Transformer,
        hardware: Hardware,
        *,
        precision: str = "fp8",
        kv_precision: str | None = None,
        attention_precision: str | None = None,
        software: str = "trtllm",
        speculation: Speculation | None = None,
        parameters: Mapping[str, Any] | None = None,
        chunk_tokens: float = CHUNK_TOKENS,
        power_cap_w: Array | None = None,
    ) -> Engine:
        """Gather a model, a machine, a precision and a software family.

        Raises
        ------
        InputError
            The chip lacks the precision, or the cache has one that is not known.

        """
        if kv_precision not in (None, "bf16", "fp8"):
            raise InputError(f"{kv_precision!r} is not a cache that is modelled; known: bf16, fp8", "kv_precision")
        if not chunk_tokens >= 1:
            raise InputError(
                f"{chunk_tokens} tokens a prefill pass; at least 1 is needed, or 'whole'", "chunk_tokens"
            )
        moe = bool(np.any(np.asarray(transformer.moe_layers) > 0))
        if precision == "fp8" and np.any(np.asarray(transformer.experts) > _BLOCK_SCALED):
            precision = "fp8_block"
            attention_precision = precision if attention_precision == "fp8" else attention_precision
        cache = kv_precision or usual_cache(precision, software, hardware)
        plan = PrecisionPlan.of(precision, moe=moe, kv=cache, linears=attention_precision)
        rates = Rates.of(hardware, plan)
        group = Group(software, hardware.generation, precision, canonical_model(transformer.name))
        drafting = Drafting()
        if speculation is not None and speculation.draft_tokens:
            drafting = Drafting(speculation.draft_tokens, speculation.tokens_per_step, speculation.draft_cost)
        machine = Machine(
            Shapes.of(transformer),
            Parts.of(transformer),
            rates,
            Effects.of(group, parameters),
            hardware.hbm_bytes,
            drafting,
            chunk_tokens,
        )
        peak = np.maximum(rates.peak_experts if moe else rates.peak_linear, rates.peak_bf16)
        return cls(machine, hardware, peak, power_cap_w)

    def at_clock(self, factor: Array) -> Engine:
        """The same engine at a share of the boost clock."""
        return replace(self, machine=self.machine._replace(rates=self.machine.rates.at_clock(factor)))

    def take(self, index: slice) -> Engine:
        """The engine for some of the configurations, where the machine's numbers are arrays aligned with them."""

        def rows(value: Any) -> Any:
            return value[index] if np.ndim(value) == 1 else value

        rates = replace(
            self.machine.rates, **{f.name: rows(getattr(self.machine.rates, f.name)) for f in fields(Rates)}
        )
        numbers: dict[str, Any] = {f.name: rows(getattr(self.hardware, f.name)) for f in fields(Hardware)}
        numbers["peak_flop_s"] = {k: rows(v) for k, v in self.hardware.peak_flop_s.items()}
        machine = self.machine._replace(rates=rates, hbm_bytes=rows(self.machine.hbm_bytes))
        return Engine(machine, Hardware(**numbers), rows(self.peak_flop_s), rows(self.power_cap_w))

    def operate(self, requests: Requests, c: ServingConfigurations) -> Operation:
        """`operate` at the clock that the power cap leaves."""
        point = operate(self.machine, requests, c)
        if self.power_cap_w is None:
            return point
        return operate(self._slowed(*self.utilisation(point)).machine, requests, c)

    def slowed(self, phase: Phase) -> Engine:
        """The engine at the clock that the power cap leaves for accelerators that do nothing but this phase."""
        if self.power_cap_w is None:
            return self
        compute = phase.flop / phase.seconds / self.peak_flop_s
        return self._slowed(
            compute, phase.hbm_bytes / phase.seconds / np.asarray(self.hardware.hbm_bandwidth_bytes_s)
        )

    def _slowed(self, compute: Any, memory: Any) -> Engine:
        demand = demand_power_w(self.hardware, compute, memory)
        return self.at_clock(clock_factor(self.hardware, np.asarray(self.power_cap_w), demand, memory))

    def utilisation(self, point: Operation) -> tuple[Any, Any]:
        """Achieved FLOP/s over dense peak and HBM bytes/s over bandwidth, mean over the accelerators in use."""
        return (
            np.minimum(point.flop_s / self.peak_flop_s, 1.0),
            np.minimum(point.hbm_bytes_s / self.machine.rates.bandwidth, 1.0),
        )


def evaluate(
    transformer: Transformer,
    hardware: Hardware,
    traffic: Traffic,
    configurations: ServingConfigurations,
    *,
    precision: str = "fp8",
    kv_precision: str | None = None,
    attention_precision: str | None = None,
    software: str = "trtllm",
    speculation: Speculation | None = None,
    parameters: Mapping[str, Any] | None = None,
    power_cap_w: Array | None = None,
    chunk_tokens: float = CHUNK_TOKENS,
) -> ServingResults:
    """Predict every configuration.

    Parameters
    ----------
    transformer, hardware, traffic
        Model, machine, requests; the machine's numbers may be arrays of shape (configurations,) (a grid of designs). With `traffic.concurrency` the loop is closed; else requests arrive at random at the
        rate that keeps `batch` in flight.
    configurations : ServingConfigurations
        What to evaluate.
    precision : str
        Of the weights: ``"bf16"``, ``"fp8"``, ``"fp8_block"``, ``"mxfp4"``, ``"nvfp4"``, ...
    kv_precision : str, optional
        ``"bf16"`` or ``"fp8"``; default as serving stacks choose.
    attention_precision : str, optional
        Of the attention projections and the head; default as checkpoints ship: that of the weights, bf16 in fp4 mixtures.
    software : str
        ``"trtllm"``, ``"vllm"``, ``"sglang"``, or any other name for an unknown one.
    speculation : Speculation, optional
        Multi-token prediction or a draft model.
    parameters : mapping, optional
        A parameter file other than the shipped one.
    power_cap_w : array, optional
        Cap per accelerator: lowers the clock until the board stays below. [W]
    chunk_tokens : float
        Tokens that one prefill pass takes at most (chunked prefill); infinite: prompts are prefilled whole. [token]

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
        attention_precision=attention_precision,
        software=software,
        speculation=speculation,
        parameters=parameters,
        chunk_tokens=chunk_tokens,
        power_cap_w=power_cap_w,
    )
    result = run(engine, traffic, configurations)
    low, high = _interval(parameters, hardware, software)
    return replace(result, low=low, high=high)


def _interval(
    parameters: Mapping[str, Any] | None, hardware: Hardware, software: str
) -> tuple[dict[str, float], dict[str, float]]:
    table = (load_parameters("serving") if parameters is None else parameters).get("intervals", {})
    kind = "known" if hardware.chip in table.get("chips", []) else "unknown"
    if kind == "unknown" and hardware.generation not in table.get("generations", []):
        kind = "new_generation"
    rows = table.get(kind, table.get("unknown", {}))
    pairs = {k: v.get(software, v[""]) for k, v in rows.items()}
    return {k: float(v[0]) for k, v in pairs.items()}, {k: float(v[1]) for k, v in pairs.items()}


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
    """Evaluate in blocks, under the cap given or else the engine's; memory stays flat however many configurations there are."""
    if power_cap_w is not None:
        engine = replace(engine, power_cap_w=power_cap_w)
    n = len(configurations)
    blocks = []
    for start in range(0, n, _CHUNK):
        rows = slice(start, min(start + _CHUNK, n))
        blocks.append(_block(engine.take(rows), traffic, configurations.take(rows)))
    return _concatenate(blocks, configurations)


def _concatenate(blocks: list[ServingResults], configurations: ServingConfigurations) -> ServingResults:
    if len(blocks) == 1:
        return blocks[0]
    first = blocks[0]
    values: dict[str, Any] = {
        name: np.concatenate([getattr(b, name) for b in blocks])
        for name, value in vars(first).items()
        if isinstance(value, np.ndarray)
    }
    return replace(first, configurations=configurations, evaluated=len(configurations), **values)


_COLUMNS: Final = (
    "ttft_s", "ttft_p99_s", "tpot_s", "tpot_p99_s", "tokens_per_s_per_gpu", "tokens_per_s_per_user",
    "requests_per_s_per_gpu", "memory_bytes", "weights_bytes", "kv_bytes", "power_w", "system_power_w",
    "joules_per_token",
)  # fmt: skip


def requests_of(traffic: Traffic) -> Requests:
    """What `operate` needs to know of a traffic."""
    return Requests(
        traffic.input_len,
        traffic.output_len,
        traffic.prefix_hit,
        closed=traffic.concurrency is not None,
        output_spread=traffic.output_spread,
    )


def _block(engine: Engine, traffic: Traffic, c: ServingConfigurations) -> ServingResults:
    point = engine.operate(requests_of(traffic), c)
    hardware = engine.hardware
    power = active_power_w(hardware, *engine.utilisation(point), engine.power_cap_w)
    whole = system_power_w(hardware, power) / hardware.accelerators
    per_gpu = point.requests_per_s / point.accelerators
    if traffic.longest and traffic.rate is None and traffic.concurrency is None:
        per_gpu = per_gpu * run_share(traffic.longest, point.tpot_s, targeted=not traffic.offline)
    tokens = per_gpu * traffic.output_len
    mem = point.memory
    feasible = (mem.kv_capacity_bytes >= point.kv_used_bytes) & (mem.kv_capacity_bytes > 0)
    ttft = point.ttft_s if traffic.percentile == "mean" else point.ttft_p99_s
    tpot = point.tpot_s if traffic.percentile == "mean" else point.tpot_p99_s
    meets = feasible.copy()
    if not traffic.offline:
        meets &= ttft <= (traffic.ttft_s or np.inf)
        meets &= tpot <= (traffic.tpot_s or np.inf)
    shape = c.batch.shape
    full: list[Any] = [
        np.broadcast_to(np.asarray(x, dtype=np.float64), shape)
        for x in (
            point.ttft_s,
            point.ttft_p99_s,
            point.tpot_s,
            point.tpot_p99_s,
            tokens,
            1.0 / np.where(point.tpot_s > 0.0, point.tpot_s, point.ttft_s),
            per_gpu,
            mem.weights_bytes + mem.runtime_bytes + point.kv_used_bytes,
            mem.weights_bytes,
            point.kv_used_bytes,
            power,
            whole,
            whole / tokens,
        )
    ]
    columns: dict[str, Any] = dict(zip(_COLUMNS, full, strict=True))
    return ServingResults(c, feasible, meets, evaluated=len(c), **columns)
