"""Run measured conditions through the model: candidates as flat arrays, the best of each, and each row's metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.effects import Effects
from gigaforge.perf.inference.memory import Parts
from gigaforge.perf.inference.operate import Machine, Operation, Requests, operate
from gigaforge.perf.inference.rates import Rates
from gigaforge.perf.inference.results import ServingConfigurations
from gigaforge.perf.inference.shapes import Shapes
from gigaforge.perf.inference.space import layouts
from gigaforge.perf.inference.steady import Drafting
from gigaforge.perf.inference.traffic import run_share
from gigaforge.perf.power import clock_factor
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.serving_rows import Condition, Rows

__all__ = ["Cases"]

Floats = NDArray[np.float64]
_STEP: Final = 2.0 ** (1.0 / 3.0)
_LARGEST: Final = 2048.0
"""Largest batch per attention rank that engines are run at (TensorRT-LLM's default max_batch_size)."""
_DRAFT_COST: Final = 0.04
_ACCEPTED: Final = 1.0 + 0.72 + 0.72**2 + 0.72**3
"""Tokens kept per step of three drafted (assumption: DeepSeek reports 0.8-0.9 for the first drafted token,
https://arxiv.org/abs/2412.19437; real prompts over three lie lower)."""
_PENALTY: Final = 8.0
"""Slope of the score beyond a latency target, in logarithms: keeps the choice smooth for calibration."""


@dataclass(frozen=True)
class Cases:
    """Candidates of all conditions, in order of condition.

    Attributes
    ----------
    condition : array of int
        Condition of each candidate.
    start : array of int
        First candidate of each condition.
    kind : array of int
        Per candidate: 0 closed, 1 static, 2 limit, 3 target.

    """

    conditions: list[Condition]
    condition: NDArray[np.int64]
    start: NDArray[np.int64]
    kind: NDArray[np.int64]
    machine: Machine
    requests: Requests
    configurations: ServingConfigurations
    replicas: Floats
    ttft_target_s: Floats
    tpot_target_s: Floats
    longest: Floats

    @classmethod
    def of(cls, rows: Rows) -> Cases:
        """Expand the conditions and gather their machines."""
        parts = [_candidates(c, rows.transformers[c.model], rows.hardware[c.chip]) for c in rows.conditions]
        sizes = np.array([len(p) for p in parts])
        table = np.concatenate(parts)
        condition = np.repeat(np.arange(len(parts)), sizes)
        start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        columns = [f.name for f in fields(ServingConfigurations)]
        config = ServingConfigurations(**{name: table[:, i] for i, name in enumerate(columns)})
        kinds = {"closed": 0, "static": 1, "limit": 2, "target": 3, "pools": 0}
        kind = np.array([kinds[c.kind] for c in rows.conditions])[condition]

        def column(name: str) -> Floats:
            return np.array([getattr(c, name) for c in rows.conditions], dtype=np.float64)[condition]

        requests = Requests(column("input_len"), column("output_len"), 0.0, kind == 0, column("output_spread"))
        drafts = column("draft_tokens")
        drafting = Drafting(drafts, np.where(drafts > 0, _ACCEPTED, 1.0), np.where(drafts > 0, _DRAFT_COST, 0.0))
        machine = _machine(rows, condition, drafting)._replace(
            chunk_tokens=column("chunk_tokens"),
            admission_steps=column("admission_steps"),
            slots=column("slots"),
            workers=column("replicas") * column("decode_workers"),
        )
        return cls(
            rows.conditions,
            condition,
            start,
            kind,
            machine,
            requests,
            config,
            column("replicas") * column("decode_workers"),
            column("ttft_s"),
            column("tpot_s"),
            column("longest"),
        )

    def take(self, index: NDArray[np.int64]) -> Cases:
        """Some candidates (in order), of the conditions that they belong to."""
        condition = self.condition[index]
        present, start = np.unique(condition, return_index=True)
        m = self.machine
        machine = m._replace(
            shapes=m.shapes.take(index),
            parts=Parts(*(np.asarray(x)[index] for x in m.parts)),
            rates=m.rates.take(index),
            hbm_bytes=np.asarray(m.hbm_bytes)[index],
            drafting=Drafting(*(np.asarray(x)[index] for x in m.drafting)),
            chunk_tokens=np.asarray(m.chunk_tokens)[index],
            admission_steps=np.asarray(m.admission_steps)[index],
            slots=np.asarray(m.slots)[index],
            workers=np.asarray(m.workers)[index],
        )
        q = self.requests
        return Cases(
            [self.conditions[i] for i in present],
            np.searchsorted(present, condition),
            start,
            self.kind[index],
            machine,
            Requests(q.input_len[index], q.output_len[index], 0.0, q.closed[index], q.output_spread[index]),
            self.configurations.take(index),
            self.replicas[index],
            self.ttft_target_s[index],
            self.tpot_target_s[index],
            self.longest[index],
        )

    def chosen(self, score: Floats) -> NDArray[np.int64]:
        """Candidate with the best score of each condition."""
        return _best(score, self.start)

    def run(self, effects: Effects) -> tuple[Floats, pd.DataFrame]:
        """Operate all candidates; effects hold one row per *condition*.

        Returns
        -------
        score : array, shape (candidates,)
            Logarithm of throughput per accelerator less penalties.
        best : DataFrame
            One row per condition: latencies [s], requests/s and accelerators of the chosen candidate.

        """
        machine = self.machine._replace(effects=effects.take(self.condition))
        point = operate(machine, self.requests, self.configurations)
        ttft, tpot, rate = _static(self, machine, point)
        per_gpu = rate / point.accelerators
        c = self.configurations
        over = np.maximum(point.kv_used_bytes / np.maximum(point.memory.kv_capacity_bytes, 1.0), 1.0)
        per_gpu = per_gpu * run_share(self.longest, tpot, np.isfinite(self.tpot_target_s))
        score = np.log(per_gpu) - np.where(self.kind >= 2, 4.0 * np.log(over), 0.0)
        late = np.log(np.maximum(point.tpot_p99_s / self.tpot_target_s, 1.0))
        late = late + np.log(np.maximum(point.ttft_p99_s / self.ttft_target_s, 1.0))
        score = score - np.where(self.kind == 3, _PENALTY * late, 0.0)
        chosen = _best(score, self.start)
        # At a latency target the penalised optimum lies just beyond it: its score is the throughput at the target.
        met = np.where(self.kind >= 2, np.exp(score) * point.accelerators, rate)[chosen]
        best = pd.DataFrame(
            {
                "ttft_s": ttft[chosen],
                "tpot_s": tpot[chosen],
                "ttft_p99_s": np.minimum(point.ttft_p99_s[chosen], self.ttft_target_s[chosen]),
                "tpot_p99_s": np.minimum(point.tpot_p99_s[chosen], self.tpot_target_s[chosen]),
                "requests_per_s": met,
                "accelerators": point.accelerators[chosen],
                "replicas": self.replicas[chosen],
                "batch": c.batch[chosen],
                "replica_accelerators": c.accelerators[chosen],
                "fits": (point.memory.kv_capacity_bytes > 0)[chosen],
            }
        )
        return score, best

    def predict(self, rows: Rows, which: Sequence[int] | NDArray[np.int64], effects: Effects) -> Floats:
        """The metric of rows, in the units that they print (ms, tokens/s)."""
        _, best = self.run(effects)
        return metric_of(rows, which, best)

    def effects(self, parameters: Mapping[str, Any] | None = None) -> Effects:
        """Quantities of every condition from a parameter file."""
        return Effects.stack([c.group for c in self.conditions], parameters)


def metric_of(
    rows: Rows,
    which: Sequence[int] | NDArray[np.int64],
    best: pd.DataFrame,
    position: NDArray[np.int64] | None = None,
) -> Floats:
    """Translate a condition's operation into what each row prints; `position` finds a condition's row in `best`."""
    which = np.asarray(which)
    index = rows.condition[which]
    at = best.iloc[index if position is None else position[index]]
    output, prompt, gpus, many = (x[index] for x in rows.per_condition)
    per_gpu = at["requests_per_s"].to_numpy() / at["accelerators"].to_numpy()
    whole = np.where(many, per_gpu * gpus, at["requests_per_s"].to_numpy() * at["replicas"].to_numpy())
    metric, tail = (x[which] for x in rows.metrics)
    values = {
        "ttft_ms": 1e3 * np.where(tail, at["ttft_p99_s"], at["ttft_s"]),
        "tpot_ms": 1e3 * np.where(tail, at["tpot_p99_s"], at["tpot_s"]),
        "output_tok_s": whole * output,
        "total_tok_s": whole * (output + prompt),
        "tok_s_per_gpu": whole * output / gpus,
        "tok_s_per_user": 1.0 / np.maximum(at["tpot_s"].to_numpy(), 1e-12),
    }
    return np.select([metric == name for name in values], list(values.values()), np.nan)


def _best(score: Floats, start: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the largest score within each condition's run of candidates."""
    top = np.maximum.reduceat(score, start)
    sizes = np.diff(np.append(start, len(score)))
    hit = np.flatnonzero(score >= np.repeat(top, sizes))
    owner = np.searchsorted(start, hit, side="right") - 1
    _, first = np.unique(owner, return_index=True)
    return np.asarray(hit[first])


def _static(cases: Cases, machine: Machine, point: Operation) -> tuple[Any, Any, Any]:
    """A static batch: the whole batch is prefilled at once, then decodes together without interruption."""
    static = cases.kind == 1
    if not np.any(static):
        return point.ttft_s, point.tpot_s, point.requests_per_s
    c, q = cases.configurations, cases.requests
    many = point.prefill_s * c.batch
    ttft = np.where(
        static,
        machine.effects.ttft_s + np.where(c.batch > 1, np.maximum(many, point.first_s), point.first_s),
        point.ttft_s,
    )
    tpot = np.where(static, point.step_s, point.tpot_s)
    rate = np.where(static, c.batch / (ttft + (q.output_len - 1.0) * tpot), point.requests_per_s)
    return ttft, tpot, rate


def _machine(rows: Rows, condition: NDArray[np.int64], drafting: Drafting) -> Machine:
    """Stack shapes, rates and memory of distinct (model), (machine, precision plan) and spread them over candidates."""
    models = list(rows.transformers)
    model = np.array([models.index(c.model) for c in rows.conditions])[condition]
    plans = list(dict.fromkeys((c.chip, c.plan, c.power_share) for c in rows.conditions))
    where = {p: i for i, p in enumerate(plans)}
    plan = np.array([where[(c.chip, c.plan, c.power_share)] for c in rows.conditions])[condition]
    rates = Rates.stack([_rates(rows.hardware[chip], p, share) for chip, p, share in plans]).take(plan)
    stacked = Transformer.stack([rows.transformers[m] for m in models])
    parts = Parts.of(stacked)
    hbm = np.array([float(np.asarray(rows.hardware[chip].hbm_bytes)) for chip, _, _ in plans])[plan]
    return Machine(
        _shapes(stacked.take(model)),
        Parts(*(np.asarray(x)[model] for x in parts)),
        rates,
        None,  # type: ignore[arg-type]  # given with every run
        hbm,
        drafting,
    )


def _shapes(transformer: Transformer) -> Shapes:
    return Shapes.of(transformer)


def _rates(hardware: Hardware, plan: Any, share: float) -> Rates:
    rates = Rates.of(hardware, plan)
    if share >= 1.0:
        return rates
    return rates.at_clock(float(clock_factor(hardware, share * hardware.power_limit_w)))


def _candidates(c: Condition, transformer: Transformer, hardware: Hardware) -> Floats:
    """Configurations of one condition, columns as in `ServingConfigurations`."""
    if c.kind in ("closed", "static"):
        batch = max(c.concurrency / c.replicas / c.decode_workers, 1.0)
        prefill = c.prefill or (0.0, 1.0, 0.0)
        return np.array([_row(_own(c), batch, prefill)])
    if c.kind == "pools":
        return np.array(_splits(c))
    if c.kind == "limit":
        ranks = c.attention_data_parallel * c.pipeline_parallel
        return np.array([_row(_own(c), b * ranks, (0.0, 1.0, 0.0)) for b in _batches()])
    rows: list[list[float]] = []
    for layout in _benchmark_layouts(c, transformer, hardware):
        ranks = layout[1] * layout[3]
        rows.extend(_row(layout, b * ranks, (0.0, 1.0, 0.0)) for b in _batches())
    return np.array(rows)


def _own(c: Condition) -> tuple[float, float, float, float]:
    return c.accelerators, c.attention_data_parallel, c.expert_parallel, c.pipeline_parallel


def _row(layout: tuple[float, float, float, float], batch: float, prefill: tuple[float, float, float]) -> list[float]:
    size, ranks, share = prefill
    return [*layout, batch, size, ranks, size if ranks > 1 else 1.0, share, 1.0]


def _batches() -> list[float]:
    count = int(np.log(_LARGEST) / np.log(_STEP)) + 1
    return [float(_STEP**i) for i in range(count + 1)]


def _splits(c: Condition) -> list[list[float]]:
    """Disaggregated runs whose pools are not printed: prefill workers of four, the rest in workers of eight or one."""
    rows = []
    total = c.total
    for prefill in np.arange(4.0, total - 3.0, 4.0):
        rest = total - prefill
        workers = prefill / 4.0
        if rest % 8.0 == 0.0:
            n = rest / 8.0
            rows.append(_row((8.0, 1.0, 1.0, 1.0), max(c.concurrency / n, 1.0), (4.0, 1.0, workers / n)))
        rows.append(_row((rest, rest, rest, 1.0), max(c.concurrency, 1.0), (4.0, 4.0, workers)))
    return rows or [_row(_own(c), max(c.concurrency, 1.0), (0.0, 1.0, 0.0))]


def _benchmark_layouts(c: Condition, t: Transformer, h: Hardware) -> list[tuple[float, float, float, float]]:
    """Layouts that benchmark submitters choose from: powers of two and the whole domain, at most two stages; or the known one."""
    total = int(c.total)
    if c.tensor_parallel:
        return [(c.tensor_parallel, 1.0, 1.0, 1.0)]
    space = layouts(t, h, min(total, max(int(h.nvlink_domain), 1) * 2))
    keep = []
    for size, data, expert, stages in zip(*space, strict=True):
        stage = size / stages
        power = float(np.log2(stage)).is_integer() or stage == h.nvlink_domain
        pure = (data in (1.0, stage)) and expert in (1.0, stage) and not (data > 1.0 and expert == 1.0)
        if power and pure and stages <= 2.0 and stage <= max(h.nvlink_domain, 1):
            keep.append((float(size), float(data), float(expert), float(stages)))
    return keep
