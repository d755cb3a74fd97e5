"""The performance explorer: a model on a system, predicted while the reader waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Final

import pandas as pd

from gigaforge.catalog import Catalog, System
from gigaforge.cli.infer_view import Answer as Serving
from gigaforge.cli.infer_view import layout_words, pareto_table, price_of
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
from gigaforge.units import format_quantity, parse_quantity, percent

__all__ = ["Answer", "Question", "answer", "answered", "choices"]

_MOST_TOKENS: Final = 2_000_000
_MOST_GPUS: Final = 200_000
_ENERGY_USD_J: Final = 60.0 / 3.6e9
"""[USD/J] $60/MWh and the PUE of 1.2: assumption: what `gigaforge infer` takes unless told otherwise."""
_PUE: Final = 1.2
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
        return _serve(title, machine, shape, hardware, traffic, question.precision)
    except GigaforgeError as problem:
        return Answer("No prediction", wrong={"model": str(problem)})


def answered(question: Question, catalog: Catalog) -> Answer:
    """`answer`, kept for the next reader who asks the same."""
    return _kept(question, _Same(catalog))


@dataclass(frozen=True)
class _Same:
    """A catalogue that is equal to itself alone, so that answers can be kept by it."""

    catalog: Catalog

    def __hash__(self) -> int:
        return id(self.catalog)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.catalog is other.catalog


@lru_cache(maxsize=256)
def _kept(question: Question, same: _Same) -> Answer:
    return answer(question, same.catalog)


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


def _serve(
    title: str, machine: System, shape: Transformer, hardware: Hardware, traffic: Traffic, precision: str
) -> Answer:  # fmt: skip
    results = search_serving(shape, hardware, traffic, precision=precision)
    if not len(results):
        raise InputError(f"in {precision} it does not fit into this system's memory in any layout", "model")
    told = Serving.of(results, traffic, price_of(machine, _ENERGY_USD_J, _PUE), title)
    figure, table = _frontier(told)
    note = f"{results.evaluated:,} configurations evaluated in {results.wall_s:.2f} s"
    missed = told.problem()
    if missed is not None:
        return Answer(
            f"{title}: nothing meets these targets", f"{missed.problem}. {note}", figures=[figure], tables=[table]
        )
    row, best = told.rows(told.best)[0], told.best
    rate = row["tokens_per_s_per_gpu"]
    low, high = _interval(told)
    cost = row["usd_per_mtok"]
    tiles = [
        Headline("Output tokens/s per accelerator", f"{rate:,.0f}", f"80 %: {rate * low:,.0f} to {rate * high:,.0f}"),
        Headline("Tokens/s per user", f"{row['tokens_per_s_per_user']:,.0f}", layout_words(row["layout"])),
        Headline("First token", _time(float(best.ttft_s[0])), f"p99 {_time(float(best.ttft_p99_s[0]))}"),
        Headline("Each further token", _time(float(best.tpot_s[0])), f"p99 {_time(float(best.tpot_p99_s[0]))}"),
        Headline("Output tokens/s per MW", f"{row['tokens_per_s_per_mw'] / 1e6:,.2f} million", f"{row['joules_per_token']:.3g} J per token"),
        Headline("Cost per million tokens", "n/a" if cost is None else f"${cost:.2g}",
                 "hardware over its life and energy at $60/MWh" if cost is not None else "this system has no price"),
    ]  # fmt: skip
    return Answer(f"{title}: {rate:,.0f} tokens/s per accelerator", note, tiles, [figure], [table])


def _interval(told: Serving) -> tuple[float, float]:
    low, high = told.results.low or {}, told.results.high or {}
    return low.get("throughput", 1.0), high.get("throughput", 1.0)


def _frontier(told: Serving) -> tuple[Figure, Table]:
    """Throughput against interactivity, as `gigaforge infer --figure` draws it, and its points as digits."""
    frame = pareto_table(told, told.front)
    low, high = _interval(told)
    target = None if not told.traffic.tpot_s else 1.0 / told.traffic.tpot_s
    chart = serving_pareto(
        frame.drop(columns=["tokens_per_s_per_mw", "mtok_per_usd"], errors="ignore"),
        interval=(low, high), best=pareto_table(told, told.best) if len(told.best) else None, least_tokens_s=target,
    ).hconcat[0]  # fmt: skip
    digits = frame[["layout", "batch", "tokens_per_s_per_user", "tokens_per_s_per_gpu"]].set_index("layout")
    digits.columns = pd.Index(["Batch", "Tokens/s per user", "Tokens/s per accelerator"])
    digits.index.name = "Layout"
    note = f"Band: 80 % interval, ×{low:.2f} to ×{high:.2f}."
    figure = Figure("pareto", "What a faster answer costs", "Each point is one way to run the system; none is beaten in both.",
                    theme.finish(chart, told.title, height=380), digits, note)  # fmt: skip
    rows = sorted(told.rows(told.front), key=lambda r: -r["tokens_per_s_per_gpu"])
    cells: list[list[Any]] = [
        [layout_words(r["layout"]), f"{r['batch']:.0f}", f"{r['tokens_per_s_per_user']:.0f}", f"{r['tokens_per_s_per_gpu']:,.0f}",
         _time(r["ttft_s"]["mean"]), _time(r["tpot_s"]["mean"])]
        for r in rows[:: max(1, len(rows) // 14)]
    ]  # fmt: skip
    heads = ["Layout", "Batch", "Tokens/s per user", "Tokens/s per accelerator", "First token", "Each further"]
    return figure, Table("The frontier", heads, cells)


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
        Headline("Tokens/s per accelerator", f"{rate:,.0f}", f"80 %: {rate / high:,.0f} to {rate / low:,.0f}"),
        Headline("Model FLOP/s utilisation", percent(best["mfu"], 1), "of dense peak"),
        Headline("Memory", format_quantity(best["memory_bytes"], "data"), "per accelerator"),
        Headline("Power", f"{best['power_w']:,.0f} W", "per accelerator"),
        Headline("Energy", f"{best['joules_per_token']:.3g} J", "per token"),
    ]  # fmt: skip
    parts = pd.DataFrame({"Time [s]": {k.replace("_", " "): v for k, v in best["breakdown"].items() if v > 0}})
    chart = theme.finish(training_waterfall(results), title, height=None, width=None)
    figure = Figure("waterfall", "Where the time of a step goes", _degrees(best), chart, parts)
    rows: list[list[Any]] = [
        [_degrees(r), _time(r["step_time_s"]), percent(r["mfu"], 1), f"{r['memory_bytes'] / 1e9:.0f} GB"]
        for r in records
    ]
    table = Table("Best strategies", ["Strategy", "Step", "MFU", "Memory"], rows)
    note = f"{results.evaluated:,} strategies evaluated in {results.wall_s:.2f} s, {results.feasible_count:,} fit"
    return Answer(f"{title}: {percent(best['mfu'])} of peak", note, tiles, [figure], [table])


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
