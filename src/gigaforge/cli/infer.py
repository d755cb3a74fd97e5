"""``gigaforge infer``: the Pareto set of serving configurations, and the best one under latency targets."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from, quantity
from gigaforge.errors import InputError, NoAnswerError

if TYPE_CHECKING:
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import ServingResults

__all__ = ["register", "serving_parameters"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("infer")(infer)


def infer(
    model: Annotated[str, typer.Argument(help="Model in the catalogue, e.g. deepseek-r1.")],
    system: Annotated[str, typer.Argument(help="System in the catalogue, e.g. gb300-nvl72.")],
    input_len: Annotated[float | None, typer.Option("--input-len", help="Mean tokens of a prompt.")] = None,
    output_len: Annotated[float | None, typer.Option("--output-len", help="Mean tokens of an answer.")] = None,
    mlperf: Annotated[
        str | None,
        typer.Option(
            help="Lengths and targets of the model's MLPerf data set, a ten-minute run with the drain of its longest answers:"
            " offline, server or interactive."
        ),
    ] = None,
    ttft: Annotated[str | None, typer.Option(help="Target time to first token, e.g. '2 s'.")] = None,
    tpot: Annotated[str | None, typer.Option(help="Target time per output token, e.g. '30 ms'.")] = None,
    percentile: Annotated[str, typer.Option(help="What the targets bind: mean or p99.")] = "p99",
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp8, nvfp4, mxfp4, int4; default the lowest that the chip computes in.")
    ] = None,
    kv_precision: Annotated[
        str | None, typer.Option(help="Cache: bf16 or fp8; default as serving stacks choose.")
    ] = None,
    software: Annotated[
        str | None,
        typer.Option(
            help="trtllm, vllm, sglang or mlperf (tuned submissions); default trtllm, mlperf with --mlperf."
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(min=1, help="Accelerators in all; default one system, or as many as --rate needs."),
    ] = None,
    disaggregated: Annotated[str, typer.Option("--mode", help="aggregated, disaggregated or both.")] = "both",
    only_disaggregated: Annotated[bool, typer.Option("--disaggregated", help="Separate prefill pools only.")] = False,
    only_aggregated: Annotated[bool, typer.Option("--aggregated", help="No separate prefill pools.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="No latency targets: the largest throughput.")] = False,
    rate: Annotated[
        float | None, typer.Option(help="Open loop: requests/s that arrive at random; says how many GPUs serve them.")
    ] = None,
    concurrency: Annotated[float | None, typer.Option(help="Closed loop: requests always in flight.")] = None,
    chunk_tokens: Annotated[
        str, typer.Option(help="Tokens that a prefill pass takes at most, or 'whole' for prompts in one pass.")
    ] = "8192",
    prefix_hit: Annotated[float, typer.Option(help="Share of the prompt found in the prefix cache.")] = 0.0,
    output_spread: Annotated[
        float | None, typer.Option(help="Standard deviation of answer lengths over their mean; default 0.")
    ] = None,
    draft_tokens: Annotated[int, typer.Option(help="Tokens drafted per step (MTP or a draft model).")] = 0,
    acceptance: Annotated[float, typer.Option(help="Probability that a drafted token is kept.")] = 0.8,
    power_cap: Annotated[str | None, typer.Option(help="Cap per accelerator, e.g. '900 W'.")] = None,
    energy_price: Annotated[str, typer.Option(help="For the cost of tokens.")] = "$60/MWh",
    pue: Annotated[float, typer.Option(help="Facility over IT energy, for the cost of tokens.")] = 1.2,
    parameters: Annotated[
        Path | None, typer.Option(help="Parameter file of `gigaforge calibrate inference`.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many rows of the Pareto set to show.")] = 16,
    figure: Annotated[Path | None, typer.Option(help="Write the Pareto figure: .html, .png or .svg.")] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a system serves: tokens/s per GPU against tokens/s per user, and the best under targets.

    "What does a full rack do at these targets?" is the first line of the answer: --offline asks for the largest throughput,
    --ttft and --tpot for the largest within them, --mlperf server takes a benchmark's lengths and targets, --rate asks how many
    accelerators a stream of requests needs.
    """
    from gigaforge.cli.infer_view import Answer, draw, price_of, show
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import Speculation, Traffic, search
    from gigaforge.perf.transformer import Transformer

    books = catalog_from(catalog)
    machine, shape = books.system(system), books.model(model)
    hardware = Hardware.from_catalog(machine, books.accelerator(machine.accelerator))
    traffic = Traffic(
        **_requests(model, mlperf, input_len, output_len, output_spread, offline, ttft, tpot),
        prefix_hit=prefix_hit,
        percentile=percentile,
        concurrency=concurrency,
        rate=rate,
    )
    traffic.check_context(shape.max_context, model)
    cap_w = _power_cap(power_cap, hardware)
    price = price_of(machine, _energy(energy_price, pue), pue)
    own = serving_parameters(parameters)
    software = software or ("trtllm" if mlperf is None else "mlperf")
    _check_software(software, own)
    chosen, unlike = _precision(precision, hardware)
    modes = _modes(disaggregated, only_aggregated, only_disaggregated)
    chunk = _chunk(chunk_tokens)
    drafts = Speculation(draft_tokens, acceptance) if draft_tokens else None

    def ask(accelerators: int | None) -> ServingResults:
        return search(
            Transformer.from_catalog(shape),
            hardware,
            traffic,
            accelerators=accelerators,
            precision=chosen,
            kv_precision=kv_precision,
            software=software,
            modes=modes,
            speculation=drafts,
            parameters=own,
            power_cap_w=cap_w,
            chunk_tokens=chunk,
        )

    results = ask(gpus)
    if not len(results):
        none = NoAnswerError(
            f"{model} in {chosen} does not fit: weights and one request need more memory than"
            f" {gpus or machine.accelerators} x {float(hardware.hbm_bytes) / 1e9:.0f} GB in any layout"
        )
        raise none if rate is None or gpus is None else _more(none, ask(None), gpus, rate)
    answer = Answer.of(results, traffic, price, f"{model} on {system}, {chosen}, {software}")
    problem = answer.problem()
    if problem and rate is not None and gpus is not None:
        problem = _more(problem, ask(None), gpus, rate)
    if figure is not None:
        draw(answer, figure)
    if as_json:
        names = {"model": model, "system": system, "precision": chosen, "software": software}
        names |= {"note": unlike} if unlike else {}
        print(json.dumps({**names, **answer.summary(), **({"error": str(problem)} if problem else {})}))
        if problem:
            raise typer.Exit(problem.exit_code)
        return
    if unlike:
        print(f"note: {unlike}", file=sys.stderr)
    show(answer, hardware, top)
    if problem:
        raise problem


def _requests(
    model: str,
    mlperf: str | None,
    input_len: float | None,
    output_len: float | None,
    spread: float | None,
    offline: bool,
    ttft: str | None,
    tpot: str | None,
) -> dict[str, Any]:
    """Lengths and targets: as given, else those of the model's MLPerf scenario."""
    from gigaforge.perf.inference.traffic import dataset_of

    data = None if mlperf is None else dataset_of(model)
    if mlperf is not None and data is None:
        raise InputError(f"MLPerf has no data set for {model}; give --input-len and --output-len", "--mlperf")
    if data is not None and mlperf != "offline" and mlperf not in data.targets:
        known = ", ".join(("offline", *data.targets))
        raise InputError(f"{mlperf!r} is not a scenario of {data.name}; known: {known}", "--mlperf")
    if data is None and (input_len is None or output_len is None):
        option = "--input-len" if input_len is None else "--output-len"
        raise InputError("the mean tokens of a request are needed, or --mlperf for a benchmark's", option)
    scenario_offline = offline or mlperf == "offline"
    if scenario_offline and (ttft is not None or tpot is not None):
        option = "--ttft" if ttft is not None else "--tpot"
        raise InputError("offline means no latency target; drop it, or drop --offline", option)
    limits = data.targets.get(str(mlperf), (None, None)) if data is not None else (None, None)
    finite = [None if t is None or math.isinf(t) else t for t in limits]
    return {
        "input_len": input_len if input_len is not None or data is None else data.input_len,
        "output_len": output_len if output_len is not None or data is None else data.output_len,
        "output_spread": spread if spread is not None else data.output_spread if data is not None else 0.0,
        "ttft_s": finite[0] if ttft is None else _quantity(ttft, "duration", "--ttft"),
        "tpot_s": finite[1] if tpot is None else _quantity(tpot, "duration", "--tpot"),
        "offline": scenario_offline,
        "longest": 0.0 if data is None else data.longest,
    }


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


def _quantity(text: str | None, dimension: str, where: str) -> float | None:
    return None if text is None else quantity(text, dimension, where)


def _power_cap(text: str | None, hardware: Hardware) -> float | None:
    """Cap per accelerator [W]; one that its slowest clock exceeds cannot be kept."""
    from gigaforge.perf.power import least_cap_w

    cap_w, least_w = _quantity(text, "power", "--power-cap"), float(least_cap_w(hardware))
    if cap_w is not None and not (math.isfinite(cap_w) and cap_w >= least_w):
        idle_w = float(hardware.idle_w)
        why = f"draws idle ({idle_w:.0f} W)" if not cap_w > idle_w else "can keep at its lowest clock under load"
        raise InputError(
            f"{text!r} is below what a {hardware.chip} {why}; give a cap from {math.ceil(least_w)} W to its limit,"
            f" {float(hardware.power_limit_w):.0f} W",
            "--power-cap",
        )
    return cap_w


def _chunk(text: str) -> float:
    """Tokens of a prefill pass; infinite for whole prompts."""
    try:
        tokens = math.inf if text == "whole" else float(text)
    except ValueError:
        raise InputError(f"{text!r}; a number of tokens or 'whole' is expected", "--chunk-tokens") from None
    if not tokens >= 1:
        raise InputError(f"{text!r}; at least 1 token is needed", "--chunk-tokens")
    return tokens


def _energy(text: str, pue: float) -> float:
    """Price of energy [USD/J], once it and the PUE make sense."""
    if not (math.isfinite(pue) and pue >= 1.0):
        raise InputError(f"{pue} is not facility over IT energy; give a number of at least 1, such as 1.2", "--pue")
    usd_j = quantity(text, "energy_price", "--energy-price")
    if not (math.isfinite(usd_j) and usd_j >= 0.0):
        raise InputError(f"{text!r}; a price of zero or more is expected, such as '$60/MWh'", "--energy-price")
    return usd_j


def _check_software(software: str, parameters: Mapping[str, Any] | None) -> None:
    """Only what the parameter file was fitted to; another name would silently be predicted as an average stack."""
    from gigaforge.perf.parameters import load_parameters

    table = (load_parameters("serving") if parameters is None else parameters)["quantities"]
    known = sorted({name for entry in table.values() for name in entry.get("software", {})})
    if known and software not in known:
        raise InputError(f"{software!r} is not known; known: {', '.join(known)}", "--software")


def _precision(asked: str | None, hardware: Hardware) -> tuple[str, str]:
    """The precision to evaluate, and what is to be said of it where the chip lacks the arithmetic of the one asked for."""
    from gigaforge.perf.hardware import precision_family
    from gigaforge.perf.kernels import weight_only

    if asked is None:
        return _lowest(hardware), ""
    precision_family(asked)
    run = weight_only(asked, hardware)
    if run == asked:
        return run, ""
    return run, (
        f"{hardware.name} does not compute in {asked}: taken as weight-only (weights in {asked}, arithmetic in bf16)"
    )


def _lowest(hardware: Hardware) -> str:
    """nvfp4 where the chip computes in it, else fp8, else bf16."""
    return "nvfp4" if hardware.supports("nvfp4") else "fp8" if hardware.supports("fp8") else "bf16"


def _modes(mode: str, only_aggregated: bool, only_disaggregated: bool) -> tuple[str, ...]:
    if only_aggregated and only_disaggregated:
        raise InputError("give one of --aggregated and --disaggregated, or neither for both", "--mode")
    if only_aggregated or only_disaggregated:
        return ("aggregated",) if only_aggregated else ("disaggregated",)
    known = {"aggregated": ("aggregated",), "disaggregated": ("disaggregated",)}
    if mode == "both":
        return ("aggregated", "disaggregated")
    if mode not in known:
        raise InputError(f"{mode!r}; aggregated, disaggregated and both are known", "--mode")
    return known[mode]


def serving_parameters(path: Path | None) -> dict[str, Any] | None:
    """Read a parameter file of `gigaforge calibrate inference`; `InputError` says what is wrong with it."""
    if path is None:
        return None
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(f"cannot be read: {problem}", f"--parameters {path}") from None
    if not isinstance(loaded, dict) or "quantities" not in loaded:
        raise InputError(
            "no 'quantities' in it; write one with gigaforge calibrate inference", f"--parameters {path}"
        )
    return loaded
