"""What an accelerator is for: prefill, decode and training, each with the best way to run it on every design of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gigaforge.codesign.precisions import serving_precisions, training_precisions
from gigaforge.errors import GigaforgeError, InputError, NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import Engine, ServingConfigurations, Traffic
from gigaforge.perf.inference.evaluate import run
from gigaforge.perf.inference.space import layouts
from gigaforge.perf.training import SearchSpace, TrainingJob, TrainingStrategies, evaluate, search
from gigaforge.perf.transformer import Transformer

__all__ = ["Candidates", "Output", "ServingWork", "TrainingWork", "Work", "rows_of"]

Array = NDArray[np.float64]

_CACHED: Final = 0.999
"""Share of the prompt that a pure decode worker finds in its cache: another pool has prefilled it."""
_LARGEST_BATCH: Final = 2.0**13
_STEPS: Final = 12
"""Bisections of the batch: its logarithm to 13·ln 2/2¹², 0.2 %. Slopes take more."""
_SMALLEST_POOL: Final = 32
"""Accelerators that one replica may span at least, over several small NVLink domains if need be."""
_PROBES: Final = 0.5, 2.0
_KEEP: Final = 12
_TRAINING_SPACE: Final = SearchSpace.usual(
    tensor_parallel=(1, 2, 4, 8, 16),
    context_parallel=(1, 2, 4),
    expert_tensor_parallel=(1,),
    micro_batch=(1, 2, 4),
    sequence_parallel=(1,),
    recompute_shares=(0.5, 1.0),
    sharding=(1, 3),
)


class Output(NamedTuple):
    """Per accelerator; arrays of shape (design,). 0 tokens where nothing fits or meets the targets.

    `tokens_per_s` [token/s], `power_w` mean IT power, its share of the system included [W], `choice` row of the
    candidates.
    """

    tokens_per_s: Array
    power_w: Array
    choice: NDArray[np.int64]


class Candidates(NamedTuple):
    """Ways to run one work on systems of one NVLink domain: layouts or strategies, worth trying on every design."""

    domain: int
    ways: Any


@dataclass(frozen=True)
class ServingWork:
    """One phase of serving a model.

    Attributes
    ----------
    name : str
        In words.
    transformer : Transformer
        The model.
    traffic : Traffic
        Lengths and targets of whole requests.
    phase : {"prefill", "decode", "serve"}
        Prompts alone (tokens are input tokens), answers alone (the prompt's cache is handed over), or both by turns.
    precision : str or sequence of str
        As a scenario's: run in the narrowest allowed that the machine does.
    software : str
        As `gigaforge.perf.inference.search`.
    steps : int
        Bisections in search of the best batch.

    """

    name: str
    transformer: Transformer
    traffic: Traffic
    phase: Literal["prefill", "decode", "serve"] = "serve"
    precision: str | Sequence[str] = "fp8"
    software: str = "trtllm"
    steps: int = _STEPS

    @property
    def tokens_per_request(self) -> float:
        """What one request counts in this phase. [token]"""
        t = self.traffic
        return t.input_len * (1 - t.prefix_hit) if self.phase == "prefill" else t.output_len

    @property
    def phase_traffic(self) -> Traffic:
        """What the performance model is asked."""
        t = self.traffic
        if self.phase == "prefill":
            return replace(t, output_len=1.0, tpot_s=None)
        if self.phase == "decode":
            return replace(t, prefix_hit=max(t.prefix_hit, _CACHED), ttft_s=None)
        return t

    def candidates(self, probe: Hardware) -> Candidates:
        """Layouts that are best somewhere around a machine: at half and twice each of its numbers."""
        pool = max(int(probe.nvlink_domain), _SMALLEST_POOL)
        space = layouts(self.transformer, probe, pool)
        every = ServingConfigurations.aggregated(
            space.accelerators,
            space.attention_data_parallel * space.pipeline_parallel,
            space.attention_data_parallel,
            space.expert_parallel,
            space.pipeline_parallel,
        )
        chosen: set[int] = set()
        for hardware in _around(probe):
            tokens, _ = self._best_batch(hardware, every, None)
            order = np.argsort(-tokens)[:_KEEP]
            chosen.update(int(i) for i in order if tokens[i] > 0.5 * tokens[order[0]] > 0)
        if not chosen:
            raise NoAnswerError(f"{self.name} does not fit {probe.name} or its neighbours within its targets")
        return Candidates(int(probe.nvlink_domain), every.take(sorted(chosen)))

    def output(self, hardware: Hardware, candidates: Candidates, cap_w: Array | None = None) -> Output:
        """The best candidate at its best batch on every design.

        Parameters
        ----------
        hardware : Hardware
            Its numbers are arrays, shape (design,).
        candidates : Candidates
            For its NVLink domain.
        cap_w : array, optional
            Power cap per accelerator, shape (design,). [W]

        """
        designs, ways = np.size(hardware.hbm_bytes), len(candidates.ways)
        rows = np.repeat(np.arange(designs), ways)
        spread = rows_of(hardware, rows)
        configurations = candidates.ways.take(np.tile(np.arange(ways), designs))
        tokens, power = self._best_batch(spread, configurations, None if cap_w is None else cap_w[rows])
        return _pick(tokens.reshape(designs, ways), power.reshape(designs, ways))

    def _best_batch(
        self, hardware: Hardware, configurations: ServingConfigurations, cap_w: Array | None
    ) -> tuple[Array, Array]:
        """Tokens/s per accelerator and power at the largest batch within memory and targets: both only rise with it."""
        precision = serving_precisions(hardware, self.precision)[0]
        engine = Engine.of(self.transformer, hardware, precision=precision, software=self.software)
        traffic = self.phase_traffic
        least = configurations.batch
        low, high = np.zeros(len(least)), np.full(len(least), np.log(_LARGEST_BATCH))
        first = run(engine, traffic, configurations, cap_w)
        fits = np.array(first.meets_targets)
        for _ in range(self.steps):
            middle = 0.5 * (low + high)
            result = run(engine, traffic, replace(configurations, batch=least * np.exp(middle)), cap_w)
            low = np.where(result.meets_targets, middle, low)
            high = np.where(result.meets_targets, high, middle)
        last = run(engine, traffic, replace(configurations, batch=least * np.exp(low)), cap_w)
        tokens = np.where(fits, last.requests_per_s_per_gpu, 0.0) * self.tokens_per_request
        return tokens, np.array(last.system_power_w)


@dataclass(frozen=True)
class TrainingWork:
    """Training a model at one scale.

    Attributes
    ----------
    name : str
        In words.
    transformer : Transformer
        The model.
    accelerators : int
        About so many; rounded to whole NVLink domains.
    global_batch_tokens : float
        Per optimizer step [token].
    seq_len : int
        [token]
    precision : str or sequence of str
        As a scenario's: run in the narrowest allowed that the machine does.
    software : str
        As `gigaforge.perf.training.TrainingJob`.

    """

    name: str
    transformer: Transformer
    accelerators: int
    global_batch_tokens: float
    seq_len: int
    precision: str | Sequence[str] = "bf16"
    software: str = "megatron-bridge"

    def job(self, hardware: Hardware, domain: int) -> TrainingJob:
        """The job on systems of one domain: whole domains, a batch that divides among them."""
        precision = training_precisions(hardware, self.precision)[0]
        odd = domain // (domain & -domain)
        gang = domain * 2 ** max(round(np.log2(max(self.accelerators / domain, 1.0))), 0)
        power = max(round(np.log2(max(self.global_batch_tokens / self.seq_len / odd, 1.0))), 0)
        return TrainingJob(int(gang), odd * 2**power, self.seq_len, precision, self.software)

    def candidates(self, probe: Hardware) -> Candidates:
        """Strategies that are best somewhere around a machine, at half and twice each of its numbers."""
        found: list[TrainingStrategies] = []
        for hardware in _around(probe):
            try:
                result = search(
                    self.transformer,
                    hardware,
                    self.job(probe, int(probe.nvlink_domain)),
                    space=_TRAINING_SPACE,
                    keep=_KEEP,
                )
            except GigaforgeError:
                continue
            found.append(result.strategies)
        if not found:
            raise NoAnswerError(f"{self.name} has no layout on systems like {probe.name}")
        both = TrainingStrategies.concatenate(found)
        table = np.stack([np.asarray(v, dtype=float) for v in both.columns().values()], axis=1)
        _, first = np.unique(table, axis=0, return_index=True)
        return Candidates(int(probe.nvlink_domain), both.take(np.sort(first)))

    def output(self, hardware: Hardware, candidates: Candidates, cap_w: Array | None = None) -> Output:
        """The fastest candidate that fits, on every design; parameters as `ServingWork.output`."""
        designs, ways = np.size(hardware.hbm_bytes), candidates.ways.size
        rows = np.repeat(np.arange(designs), ways)
        strategies = candidates.ways.take(np.tile(np.arange(ways), designs))
        result = evaluate(
            self.transformer,
            rows_of(hardware, rows),
            self.job(hardware, candidates.domain),
            strategies,
            power_cap_w=None if cap_w is None else cap_w[rows],
            ranked=False,
        )
        tokens = np.where(result.feasible, result.tokens_per_s_per_gpu, 0.0).reshape(designs, ways)
        power = result.system_power_w.reshape(designs, ways)
        return _pick(tokens, power)


Work = ServingWork | TrainingWork


def _pick(tokens: Array, power: Array) -> Output:
    best = np.argmax(tokens, axis=1)
    at = np.arange(len(best))
    return Output(tokens[at, best], power[at, best], best.astype(np.int64))


_NUMBERS: Final = (
    "hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s", "multiprocessors", "power_limit_w",
    "idle_w", "system_power_w", "overhead_power_w",
)  # fmt: skip


def rows_of(hardware: Hardware, index: NDArray[np.int64]) -> Hardware:
    """Rows of a machine whose numbers are arrays (single numbers stay)."""

    def take(value: Any) -> Any:
        return np.asarray(value)[index] if np.ndim(value) else value

    numbers: dict[str, Any] = {name: take(getattr(hardware, name)) for name in _NUMBERS}
    return replace(hardware, peak_flop_s={k: take(v) for k, v in hardware.peak_flop_s.items()}, **numbers)


def _around(probe: Hardware) -> Sequence[Hardware]:
    """A machine, and the same with one number halved or doubled."""
    if np.ndim(probe.hbm_bytes):
        raise InputError("a probe is one machine, not a grid", "hardware")
    out = [probe]
    for factor in _PROBES:
        out.append(replace(probe, peak_flop_s={k: v * factor for k, v in probe.peak_flop_s.items()}))
        for name in ("hbm_bytes", "hbm_bandwidth_bytes_s", "scale_up_bytes_s", "scale_out_bytes_s"):
            changed: dict[str, Any] = {name: getattr(probe, name) * factor}
            out.append(replace(probe, **changed))
    return out
