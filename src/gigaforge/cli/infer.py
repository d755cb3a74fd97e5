"""``gigaforge infer``: the Pareto set of serving configurations, and the best one under latency targets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from gigaforge.cli import infer_options as opt
from gigaforge.cli.infer_question import (
    check_software,
    chunk_of,
    energy_usd_j,
    modes_of,
    power_cap_w,
    precision_of,
    replaced,
    requests_of,
    serving_parameters,
)
from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from
from gigaforge.errors import NoAnswerError

if TYPE_CHECKING:
    from gigaforge.cli.infer_view import Answer
    from gigaforge.perf.inference import ServingResults

__all__ = ["register", "serving_parameters"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("infer")(infer)


def infer(
    model: opt.Model,
    system: opt.SystemName,
    input_len: opt.InputLen = None,
    output_len: opt.OutputLen = None,
    mlperf: opt.MlperfScenario = None,
    ttft: opt.TtftTarget = None,
    tpot: opt.TpotTarget = None,
    percentile: opt.Percentile = "p99",
    precision: opt.Precision = None,
    kv_precision: opt.KvPrecision = None,
    software: opt.Software = None,
    gpus: opt.Gpus = None,
    disaggregated: opt.Mode = "both",
    only_disaggregated: opt.DisaggregatedOnly = False,
    only_aggregated: opt.AggregatedOnly = False,
    offline: opt.Offline = False,
    rate: opt.Rate = None,
    concurrency: opt.Concurrency = None,
    chunk_tokens: opt.ChunkTokens = "8192",
    prefix_hit: opt.PrefixHit = 0.0,
    output_spread: opt.OutputSpread = None,
    draft_tokens: opt.DraftTokens = 0,
    acceptance: opt.Acceptance = 0.8,
    power_cap: opt.PowerCap = None,
    energy_price: opt.EnergyPrice = "$60/MWh",
    pue: opt.Pue = 1.2,
    parameters: opt.Parameters = None,
    top: opt.Top = 16,
    figure: opt.Figure = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a system serves: tokens/s per GPU against tokens/s per user, and the best under targets.

    "What does a full rack do at these targets?" is the first line of the answer: --offline asks for the largest throughput,
    --ttft and --tpot for the largest within them, --mlperf server takes a benchmark's lengths and targets, --rate asks how many
    accelerators a stream of requests needs.

    Example: gigaforge infer deepseek-r1 gb300-nvl72 --input-len 4096 --output-len 512 --ttft "2 s" --tpot "20 ms"
    """
    from gigaforge.cli.infer_view import Answer, draw, price_of, show
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import Speculation, Traffic, search
    from gigaforge.perf.transformer import Transformer

    books = catalog_from(catalog)
    machine, shape = books.system(system), books.model(model)
    hardware = Hardware.from_catalog(machine, books.accelerator(machine.accelerator))
    asked = requests_of(model, mlperf, input_len, output_len, output_spread, offline, ttft, tpot)
    load = {"prefix_hit": prefix_hit, "percentile": percentile, "concurrency": concurrency, "rate": rate}
    traffic = Traffic(**asked, **load)  # type: ignore[arg-type]  # each checked by Traffic itself
    traffic.check_context(shape.max_context, model)
    own = serving_parameters(parameters)
    software = software or ("trtllm" if mlperf is None else "mlperf")
    check_software(software, own)
    chosen, note = precision_of(precision, hardware), replaced(model, mlperf, asked)
    price = price_of(machine, energy_usd_j(energy_price, pue), pue)
    settings = {
        "precision": chosen,
        "kv_precision": kv_precision,
        "software": software,
        "modes": modes_of(disaggregated, only_aggregated, only_disaggregated),
        "speculation": Speculation(draft_tokens, acceptance) if draft_tokens else None,
        "parameters": own,
        "power_cap_w": power_cap_w(power_cap, hardware),
        "chunk_tokens": chunk_of(chunk_tokens),
    }

    def ask(accelerators: int | None) -> ServingResults:
        transformer = Transformer.from_catalog(shape)
        return search(transformer, hardware, traffic, accelerators=accelerators, **settings)  # type: ignore[arg-type]

    nothing = NoAnswerError(
        f"{model} in {chosen} does not fit: weights and one request need more memory than"
        f" {gpus or machine.accelerators} x {float(hardware.hbm_bytes) / 1e9:.0f} GB in any layout"
    )
    results = _found(ask, gpus, rate, nothing)
    answer = Answer.of(results, traffic, price, f"{model} on {system}, {chosen}, {software}")
    problem = _problem(answer, ask, gpus, rate)
    if figure is not None:
        draw(answer, figure)
    if as_json:
        names = {"model": model, "system": system, "precision": chosen, "software": software}
        _print_json({**names, **({"note": note} if note else {})}, answer, problem)
        return
    if note:
        print(f"note: {note}", file=sys.stderr)
    show(answer, hardware, top)
    if problem:
        raise problem


def _found(
    ask: Callable[[int | None], ServingResults], gpus: int | None, rate: float | None, nothing: NoAnswerError
) -> ServingResults:
    """What a search finds; for a rate on too few accelerators, how many would do."""
    results = ask(gpus)
    if not len(results):
        raise nothing if rate is None or gpus is None else _more(nothing, ask(None), gpus, rate)
    return results


def _print_json(names: dict[str, str], answer: Answer, problem: NoAnswerError | None) -> None:
    print(json.dumps({**names, **answer.summary(), **({"error": str(problem)} if problem else {})}))
    if problem:
        raise typer.Exit(problem.exit_code)


def _problem(
    answer: Answer, ask: Callable[[int | None], ServingResults], gpus: int | None, rate: float | None
) -> NoAnswerError | None:
    """Why there is no answer; for a rate, how many accelerators would do."""
    problem = answer.problem()
    if problem and rate is not None and gpus is not None:
        return _more(problem, ask(None), gpus, rate)
    return problem


def _more(problem: NoAnswerError, without_limit: ServingResults, gpus: int, rate: float) -> NoAnswerError:
    """Too few accelerators for a rate: how many would do, where any number does."""
    best = without_limit.best()
    if not len(best):
        return problem
    need = float(best.configurations.total_accelerators[0])
    return NoAnswerError(
        f"{gpus:,} accelerators do not serve {rate:,.6g} requests/s within the targets",
        [f"{need:,.0f} accelerators would do"],
    )
