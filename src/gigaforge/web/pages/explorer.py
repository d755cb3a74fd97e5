"""The performance explorer: a model on a system, predicted while the reader waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import pandas as pd

from gigaforge.catalog import Catalog
from gigaforge.errors import GigaforgeError, InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import Traffic
from gigaforge.perf.inference import search as search_serving
from gigaforge.perf.training import SearchSpace, TrainingJob
from gigaforge.perf.training import search as search_training
from gigaforge.perf.transformer import Transformer
from gigaforge.report import theme
from gigaforge.report.figures import Figure
from gigaforge.report.performance_figures import training_waterfall
from gigaforge.report.report_tables import Table
from gigaforge.report.serving_figures import serving_pareto
from gigaforge.report.story import Headline
from gigaforge.units import format_quantity, parse_quantity

__all__ = ["Answer", "Question", "answer", "choices"]

_MOST_TOKENS: Final = 2_000_000
_MOST_GPUS: Final = 200_000
_PRECISIONS: Final = ("bf16", "fp8", "nvfp4")


@dataclass(frozen=True)
class Question:
    """The form as its reader filled it; every field is text until it is checked."""

    work: str = "serve"
    model: str = "deepseek-v3"
    system: str = "gb300-nvl72"
    precision: str = "fp8"
    input: str = "4000"
    output: str = "1500"
    ttft: str = "2 s"
    tpot: str = "25 ms"
    gpus: str = "1024"
    batch: str = "1024"
    seq: str = "8192"

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Question:
        """From a query; what is absent keeps its default."""
        names = {f.name for f in fields(cls)}
        return cls(**{k: v.strip()[:80] for k, v in query.items() if k in names})


@dataclass(frozen=True)
class Answer:
    """What the models say; `wrong` names the fields that could not be used.

    Attributes
    ----------
    headline, note : str
    tiles : list of Headline
    figures : list of Figure
    tables : list of Table
    wrong : dict
        Field to message.

    """

    headline: str
    note: str = ""
    tiles: list[Headline] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)


def choices(catalog: Catalog) -> dict[str, list[tuple[str, str]]]:
    """What the form offers: models, systems and precisions, name and label."""
    return {
        "models": [(m.name, m.label) for m in sorted(catalog.models.values(), key=lambda m: m.label.lower())],
        "systems": [(s.name, s.label) for s in sorted(catalog.systems.values(), key=lambda s: s.label.lower())],
        "precisions": [(p, p) for p in _PRECISIONS],
    }


def answer(question: Question, catalog: Catalog) -> Answer:
    """Predict; what cannot be predicted is said in the answer, never raised."""
    wrong: dict[str, str] = {}
    try:
        machine, model = catalog.system(question.system), catalog.model(question.model)
    except GigaforgeError as problem:
        return Answer("No such model or system", wrong={"model": str(problem)})
    if question.precision not in _PRECISIONS:
        return Answer(
            "Nothing predicted", wrong={"precision": f"{question.precision!r}; one of {', '.join(_PRECISIONS)}"}
        )
    hardware = Hardware.from_catalog(machine, catalog.accelerator(machine.accelerator))
    shape = Transformer.from_catalog(model)
    title = f"{model.label} on {machine.label}"
    try:
        if question.work == "train":
            job = TrainingJob(
                _whole(question.gpus, "gpus", _MOST_GPUS, wrong), _whole(question.batch, "batch", 10**7, wrong),
                _whole(question.seq, "seq", _MOST_TOKENS, wrong), question.precision, "megatron-bridge",
            )  # fmt: skip
            return Answer("Some of it cannot be used", wrong=wrong) if wrong else _train(title, shape, hardware, job)
        traffic = _traffic(question, wrong)
        if wrong or traffic is None:
            return Answer("Some of it cannot be used", wrong=wrong)
        traffic.check_context(model.max_context, model.name)
        return _serve(title, shape, hardware, traffic, question.precision)
    except GigaforgeError as problem:
        return Answer("No prediction", wrong={"model": str(problem)})


def _traffic(question: Question, wrong: dict[str, str]) -> Traffic | None:
    lengths = [_whole(getattr(question, name), name, _MOST_TOKENS, wrong) for name in ("input", "output")]
    times = [_seconds(getattr(question, name), name, wrong) for name in ("ttft", "tpot")]
    if wrong:
        return None
    return Traffic(lengths[0], lengths[1], ttft_s=times[0], tpot_s=times[1])


def _whole(text: str, name: str, most: int, wrong: dict[str, str]) -> int:
    try:
        value = int(text.replace(",", "").replace(" ", ""))
    except ValueError:
        value = 0
    if not 1 <= value <= most:
        wrong[name] = f"{text!r} is not a whole number from 1 to {most:,}"
    return value


def _seconds(text: str, name: str, wrong: dict[str, str]) -> float | None:
    if not text:
        return None
    try:
        value = parse_quantity(text, "duration")
    except ValueError as problem:
        wrong[name] = str(problem)
        return None
    if not 0 < value < 1e6:
        wrong[name] = f"{text!r} must be above zero"
    return value


def _serve(title: str, shape: Transformer, hardware: Hardware, traffic: Traffic, precision: str) -> Answer:
    results = search_serving(shape, hardware, traffic, precision=precision)
    if not len(results):
        raise InputError(f"in {precision} it does not fit into this system's memory in any layout", "model")
    front, best = results.pareto(), results.best()
    frame = front.to_pandas()
    frame["mode"] = ["disaggregated" if p else "aggregated" for p in frame["prefill_accelerators"] > 0]
    frame["layout"] = [_layout(r) for r in frame.to_dict("records")]
    low, high = (front.low or {}).get("throughput", 1.0), (front.high or {}).get("throughput", 1.0)
    chart = theme.finish(serving_pareto(frame, interval=(low, high)), title, height=380)
    digits = frame[["layout", "batch", "tokens_per_s_per_user", "tokens_per_s_per_gpu"]].set_index("layout")
    digits.columns = pd.Index(["Batch", "Tokens/s per user", "Tokens/s per accelerator"])
    figure = Figure("pareto", "What a faster answer costs", "Each point is one way to run the system; none is beaten in both.",
                    chart, digits, f"Band: 80 % interval, ×{low:.2f} to ×{high:.2f}.")  # fmt: skip
    note = f"{results.evaluated:,} configurations evaluated in {results.wall_s:.2f} s"
    if not len(best):
        return Answer(f"{title}: nothing meets these targets", note, figures=[figure])
    chosen = best.to_pandas().iloc[0].to_dict()
    rate = float(best.tokens_per_s_per_gpu[0])
    tiles = [
        Headline("Output tokens/s per accelerator", f"{rate:,.0f}", f"80 %: {rate * low:,.0f} to {rate * high:,.0f}"),
        Headline("Tokens/s per user", f"{float(best.tokens_per_s_per_user[0]):,.0f}", _layout(chosen)),
        Headline("First token", _time(float(best.ttft_s[0])), f"p99 {_time(float(best.ttft_p99_s[0]))}"),
        Headline("Each further token", _time(float(best.tpot_s[0])), f"p99 {_time(float(best.tpot_p99_s[0]))}"),
        Headline("Power per accelerator", f"{float(best.power_w[0]):,.0f} W", f"{float(best.joules_per_token[0]):.3g} J per token"),
        Headline("Memory per accelerator", format_quantity(float(best.memory_bytes[0]), "data"), note),
    ]  # fmt: skip
    keep = frame.sort_values("tokens_per_s_per_gpu", ascending=False)
    step = max(1, len(keep) // 14)
    rows: list[list[Any]] = [
        [r["layout"], f"{r['batch']:.0f}", f"{r['tokens_per_s_per_user']:.0f}", f"{r['tokens_per_s_per_gpu']:,.0f}",
         _time(r["ttft_s"]), _time(r["tpot_s"])]
        for r in keep.iloc[::step].to_dict("records")
    ]  # fmt: skip
    table = Table(
        "The frontier",
        ["Layout", "Batch", "Tokens/s per user", "Tokens/s per accelerator", "First token", "Each further"],
        rows,
    )
    return Answer(f"{title}: {rate:,.0f} tokens/s per accelerator", note, tiles, [figure], [table])


def _layout(row: Mapping[Any, Any]) -> str:
    """Degrees of parallelism in the field's letters."""
    tensor = round(row["accelerators"] / row["pipeline_parallel"] / row["attention_data_parallel"])
    parts = [f"TP{tensor}"]
    for name, short in (("attention_data_parallel", "DP"), ("expert_parallel", "EP"), ("pipeline_parallel", "PP")):
        if row[name] > 1:
            parts.append(f"{short}{row[name]:.0f}")
    if row["prefill_accelerators"] > 0:
        parts.append(f"+ {row['prefill_share']:.2g} × {row['prefill_accelerators']:.0f} for prefill")
    return " ".join(parts)


def _train(title: str, shape: Transformer, hardware: Hardware, job: TrainingJob) -> Answer:
    results = search_training(shape, hardware, job, space=SearchSpace.usual(), keep=20)
    if not results.feasible_count:
        over = float(results.memory_over_bytes[0]) / 1e9
        raise InputError(f"no strategy fits in memory; the nearest is {over:.1f} GB over", "gpus")
    records = results.records(12)
    best = records[0]
    low, high = float(results.low), float(results.high)
    rate = best["tokens_per_s_per_gpu"]
    tiles = [
        Headline("Step", _time(best["step_time_s"]), f"80 %: {_time(best['step_time_s'] * low)} to {_time(best['step_time_s'] * high)}"),
        Headline("Tokens/s per accelerator", f"{rate:,.0f}", f"MFU {best['mfu']:.1%}"),
        Headline("Memory", format_quantity(best["memory_bytes"], "data"), "per accelerator"),
        Headline("Power", f"{best['power_w']:,.0f} W", f"{best['joules_per_token']:.3g} J per token"),
    ]  # fmt: skip
    parts = pd.DataFrame({"Time [s]": {k.replace("_", " "): v for k, v in best["breakdown"].items() if v > 0}})
    chart = theme.finish(training_waterfall(results), title, height=None, width=None)
    figure = Figure("waterfall", "Where the time of a step goes", _degrees(best), chart, parts)
    rows: list[list[Any]] = [
        [_degrees(r), _time(r["step_time_s"]), f"{r['mfu']:.1%}", f"{r['memory_bytes'] / 1e9:.0f} GB"]
        for r in records
    ]
    table = Table("Best strategies", ["Strategy", "Step", "MFU", "Memory"], rows)
    note = f"{results.evaluated:,} strategies evaluated in {results.wall_s:.2f} s, {results.feasible_count:,} fit"
    return Answer(f"{title}: {best['mfu']:.0%} of peak", note, tiles, [figure], [table])


def _degrees(row: Mapping[str, Any]) -> str:
    names = {
        "tensor_parallel": "TP",
        "pipeline_parallel": "PP",
        "context_parallel": "CP",
        "expert_parallel": "EP",
        "data_parallel": "DP",
    }
    parts = [f"{short}{row[name]}" for name, short in names.items() if row[name] > 1]
    return " ".join([*parts, f"micro-batch {row['micro_batch']}", f"recompute {row['recompute']}"])


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
