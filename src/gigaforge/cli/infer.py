"""``gigaforge infer``: the Pareto set of serving configurations, and the best one under latency targets."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from, quantity
from gigaforge.errors import InputError, NoAnswerError

if TYPE_CHECKING:
    from gigaforge.catalog import System
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import ServingResults, Traffic

__all__ = ["register", "serving_parameters"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("infer")(infer)


def infer(
    model: Annotated[str, typer.Argument(help="Model in the catalogue, e.g. deepseek-r1.")],
    system: Annotated[str, typer.Argument(help="System in the catalogue, e.g. gb300-nvl72.")],
    input_len: Annotated[float, typer.Option("--input-len", help="Mean tokens of a prompt.")],
    output_len: Annotated[float, typer.Option("--output-len", help="Mean tokens of an answer.")],
    ttft: Annotated[str | None, typer.Option(help="Target time to first token, e.g. '2 s'.")] = None,
    tpot: Annotated[str | None, typer.Option(help="Target time per output token, e.g. '30 ms'.")] = None,
    percentile: Annotated[str, typer.Option(help="What the targets bind: mean or p99.")] = "p99",
    precision: Annotated[
        str | None, typer.Option(help="bf16, fp8, nvfp4, mxfp4, int4; default the lowest that the chip computes in.")
    ] = None,
    kv_precision: Annotated[
        str | None, typer.Option(help="Cache: bf16 or fp8; default as serving stacks choose.")
    ] = None,
    software: Annotated[str, typer.Option(help="trtllm, vllm, sglang or mlperf (tuned submissions).")] = "trtllm",
    gpus: Annotated[int | None, typer.Option(min=1, help="Accelerators in all; default one system.")] = None,
    disaggregated: Annotated[str, typer.Option("--mode", help="aggregated, disaggregated or both.")] = "both",
    only_disaggregated: Annotated[bool, typer.Option("--disaggregated", help="Separate prefill pools only.")] = False,
    only_aggregated: Annotated[bool, typer.Option("--aggregated", help="No separate prefill pools.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="No latency targets: the largest throughput.")] = False,
    rate: Annotated[float | None, typer.Option(help="Requests per second to serve.")] = None,
    concurrency: Annotated[float | None, typer.Option(help="Closed loop: requests always in flight.")] = None,
    prefix_hit: Annotated[float, typer.Option(help="Share of the prompt found in the prefix cache.")] = 0.0,
    output_spread: Annotated[float, typer.Option(help="Standard deviation of answer lengths over their mean.")] = 0.0,
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
    """Show what a system serves: tokens/s per GPU against tokens/s per user, and the best under targets."""
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.inference import Speculation, Traffic, search
    from gigaforge.perf.transformer import Transformer

    books = catalog_from(catalog)
    machine, shape = books.system(system), books.model(model)
    hardware = Hardware.from_catalog(machine, books.accelerator(machine.accelerator))
    traffic = Traffic(
        input_len,
        output_len,
        prefix_hit,
        output_spread,
        _quantity(ttft, "duration", "--ttft"),
        _quantity(tpot, "duration", "--tpot"),
        percentile,
        concurrency,
        rate,
        offline,
    )
    traffic.check_context(shape.max_context, model)
    cap_w = _power_cap(power_cap, hardware)
    energy_usd_j = _energy(energy_price, pue)
    own = serving_parameters(parameters)
    _check_software(software, own)
    chosen = precision or _lowest(hardware, shape.family)
    results = search(
        Transformer.from_catalog(shape),
        hardware,
        traffic,
        accelerators=gpus,
        precision=chosen,
        kv_precision=kv_precision,
        software=software,
        modes=_modes(disaggregated, only_aggregated, only_disaggregated),
        speculation=Speculation(draft_tokens, acceptance) if draft_tokens else None,
        parameters=own,
        power_cap_w=cap_w,
    )
    if not len(results):
        raise NoAnswerError(
            f"{model} in {chosen} does not fit: weights and one request need more memory than"
            f" {gpus or machine.accelerators} x {float(hardware.hbm_bytes) / 1e9:.0f} GB in any layout"
        )
    price = _price(machine, energy_usd_j, pue)
    front = results.pareto()
    best = results.best()
    if figure is not None:
        _figure(front, figure, f"{model} on {system}, {chosen}")
    if as_json:
        print(json.dumps(_summary(results, front, best, price, model, system, chosen, software)))
    else:
        _show(
            results,
            front,
            best,
            price,
            f"{model} on {system}, {chosen}, {software}",
            hardware,
            gpus or machine.accelerators,
            top,
        )
    _capacity(best, traffic, gpus or machine.accelerators)
    if not len(best):
        raise _closest(results, traffic)


def _quantity(text: str | None, dimension: str, where: str) -> float | None:
    return None if text is None else quantity(text, dimension, where)


def _power_cap(text: str | None, hardware: Hardware) -> float | None:
    """Cap per accelerator [W]; one that the idle board already exceeds cannot be kept."""
    cap_w = _quantity(text, "power", "--power-cap")
    idle_w = float(hardware.idle_w)
    if cap_w is not None and not (math.isfinite(cap_w) and cap_w >= idle_w):
        raise InputError(
            f"{text!r} is below what a {hardware.chip} draws idle ({idle_w:.0f} W); give a cap from there to its limit,"
            f" {float(hardware.power_limit_w):.0f} W",
            "--power-cap",
        )
    return cap_w


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


def _lowest(hardware: Any, family: str) -> str:
    """nvfp4 where the chip computes in it, else fp8, else bf16."""
    _ = family
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


def _price(machine: System, energy_usd_j: float, pue: float) -> Any:
    """USD per second of one accelerator from its capital, and a function of its power; None without a price."""
    if machine.price is None:
        return None
    capital = machine.price.value + (machine.network_price.value if machine.network_price else 0.0)
    seconds = machine.life_years * 365.25 * 86400.0
    fixed = capital / machine.accelerators / seconds
    return lambda power_w, tokens_s: (fixed + power_w * pue * energy_usd_j) / tokens_s * 1e6


def _rows(results: ServingResults, price: Any) -> list[dict[str, Any]]:
    out = []
    c = results.configurations
    for i in range(len(results)):
        tokens, power = float(results.tokens_per_s_per_gpu[i]), float(results.system_power_w[i])
        layout: dict[str, Any] = {
            "accelerators": int(c.accelerators[i]),
            "tensor_parallel": round(
                float(c.accelerators[i] / c.pipeline_parallel[i] / c.attention_data_parallel[i])
            ),
            "attention_data_parallel": int(c.attention_data_parallel[i]),
            "expert_parallel": int(c.expert_parallel[i]),
            "pipeline_parallel": int(c.pipeline_parallel[i]),
            "disaggregated": bool(c.prefill_accelerators[i] > 0),
        }
        if layout["disaggregated"]:
            layout["prefill"] = {
                "accelerators": int(c.prefill_accelerators[i]),
                "attention_data_parallel": int(c.prefill_attention_data_parallel[i]),
                "expert_parallel": int(c.prefill_expert_parallel[i]),
                "workers_per_decode_worker": float(c.prefill_share[i]),
            }
        out.append(
            {
                "layout": layout,
                "batch": float(c.batch[i]),
                "ttft_s": {"mean": float(results.ttft_s[i]), "p99": float(results.ttft_p99_s[i])},
                "tpot_s": {"mean": float(results.tpot_s[i]), "p99": float(results.tpot_p99_s[i])},
                "tokens_per_s_per_gpu": tokens,
                "tokens_per_s_per_user": float(results.tokens_per_s_per_user[i]),
                "tokens_per_s_per_mw": tokens / power * 1e6,
                "memory_bytes": float(results.memory_bytes[i]),
                "power_w": float(results.power_w[i]),
                "system_power_w": power,
                "joules_per_token": float(results.joules_per_token[i]),
                "usd_per_mtok": None if price is None else float(price(power, tokens)),
                "meets_targets": bool(results.meets_targets[i]),
            }
        )
    return out


def _summary(
    results: ServingResults,
    front: ServingResults,
    best: ServingResults,
    price: Any,
    model: str,
    system: str,
    precision: str,
    software: str,
) -> dict[str, Any]:
    low, high = results.low or {}, results.high or {}
    chosen = _rows(best, price)
    return {
        "model": model,
        "system": system,
        "precision": precision,
        "software": software,
        "evaluated": results.evaluated,
        "wall_s": results.wall_s,
        "interval_80": {k: [low[k], high[k]] for k in low},
        "best": chosen[0] if chosen else None,
        "pareto": _rows(front, price),
    }


def _degrees(layout: dict[str, Any]) -> str:
    """Degrees of parallelism in the field's letters: "TP8 EP8"; DP is that of attention."""
    parts = [f"TP{layout['tensor_parallel']}"]
    for name, short in (("attention_data_parallel", "DP"), ("expert_parallel", "EP"), ("pipeline_parallel", "PP")):
        if layout.get(name, 1) > 1:
            parts.append(f"{short}{layout[name]}")
    return " ".join(parts)


def _prefill_words(layout: dict[str, Any]) -> str:
    """The prefill pool of a disaggregated layout, per decode worker: "+0.5x TP4"; empty without one."""
    if not layout["disaggregated"]:
        return ""
    p = layout["prefill"]
    tensor = round(p["accelerators"] / p["attention_data_parallel"])
    return f"+{p['workers_per_decode_worker']:.2g}x {_degrees({**p, 'tensor_parallel': tensor})}"


def _layout_words(layout: dict[str, Any]) -> str:
    prefill = _prefill_words(layout)
    return _degrees(layout) + (f" {prefill} (prefill)" if prefill else "")


_HEADS = (
    "layout", "batch", "TTFT\nmean\np99", "TPOT\nmean\np99", "tok/s\n/user", "tok/s\n/GPU", "tok/s\n/MW", "GB\nW\n/GPU",
    "$\n/Mtok",
)  # fmt: skip


def _show(
    results: ServingResults,
    front: ServingResults,
    best: ServingResults,
    price: Any,
    title: str,
    hardware: Any,
    accelerators: int,
    top: int,
) -> None:
    """Two lines a row, so that nothing is cut at 80 columns."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for head in _HEADS:
        layout = head == "layout"
        table.add_column(head, justify="left" if layout else "right", no_wrap=not layout, overflow="fold")
    keep = np.unique(np.linspace(0, len(front) - 1, min(top, len(front))).round().astype(int))
    chosen = _rows(best, price)[:1]
    rows = [r for r in _rows(front.take(keep), price) if r not in chosen] + chosen
    for row in sorted(rows, key=lambda r: -r["tokens_per_s_per_user"]):
        table.add_row(*_cells(row, row in chosen, accelerators), style="bold green" if row in chosen else None)
    console.print(table)
    low, high = (results.low or {}), (results.high or {})
    words = ", ".join(f"{k} x{low[k]:.2f} to x{high[k]:.2f}" for k in low)
    console.print(
        "* best under the targets. TP, EP, PP: tensor, expert, pipeline parallel; DP: attention data parallel; x2:"
        " replicas; +0.5x: prefill workers for each decode worker.\n"
        f"{results.evaluated:,} configurations evaluated in {results.wall_s:.2f} s, {len(results):,} fit in"
        f" {float(hardware.hbm_bytes) / 1e9:.0f} GB; 80 % intervals: {words or 'not calibrated'}",
        style="dim",
    )


def _cells(row: dict[str, Any], chosen: bool, accelerators: int) -> list[str]:
    layout = row["layout"]
    replicas = 1 if layout["disaggregated"] else accelerators // layout["accelerators"]
    words = ("* " if chosen else "  ") + _degrees(layout) + (f" x{replicas}" if replicas > 1 else "")
    prefill = _prefill_words(layout)
    return [
        words + (f"\n  {prefill}" if prefill else ""),
        f"{row['batch']:.0f}",
        f"{_seconds(row['ttft_s']['mean'])}\n{_seconds(row['ttft_s']['p99'])}",
        f"{_seconds(row['tpot_s']['mean'])}\n{_seconds(row['tpot_s']['p99'])}",
        f"{row['tokens_per_s_per_user']:.0f}",
        f"{row['tokens_per_s_per_gpu']:,.0f}",
        _short(row["tokens_per_s_per_mw"]),
        f"{row['memory_bytes'] / 1e9:.0f} GB\n{row['power_w']:.0f} W",
        "-" if row["usd_per_mtok"] is None else f"{row['usd_per_mtok']:.2g}",
    ]


def _short(value: float) -> str:
    """Three digits and a letter: "9.4k", "1.1M"."""
    for scale, letter in ((1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.3g}{letter}"
    return f"{value:.3g}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1.0 else f"{value * 1e3:.3g} ms"


def _figure(front: ServingResults, path: Path, title: str) -> None:
    from gigaforge.report.serving_figures import serving_pareto, write_chart

    rows = _rows(front, None)
    table = front.to_pandas().assign(
        layout=[_layout_words(r["layout"]) for r in rows],
        mode=["disaggregated" if r["layout"]["disaggregated"] else "aggregated" for r in rows],
    )
    low, high = (front.low or {}).get("throughput", 1.0), (front.high or {}).get("throughput", 1.0)
    write_chart(serving_pareto(table, title, low, high), path)


def _capacity(best: ServingResults, traffic: Traffic, accelerators: int) -> None:
    """Refuse a rate that the whole system cannot serve within its targets."""
    if traffic.rate is None or not len(best):
        return
    most = float(best.requests_per_s_per_gpu[0]) * accelerators
    if most < traffic.rate:
        raise NoAnswerError(
            f"{accelerators} accelerators serve at most {most:,.3g} requests/s within the targets, not {traffic.rate:,.3g}",
            [f"{traffic.rate / most * accelerators:,.0f} accelerators would do"],
        )


def _closest(results: ServingResults, traffic: Traffic) -> NoAnswerError:
    """No configuration meets the targets: name the one that misses by least."""
    import numpy as np

    ttft = results.ttft_s if traffic.percentile == "mean" else results.ttft_p99_s
    tpot = results.tpot_s if traffic.percentile == "mean" else results.tpot_p99_s
    over = np.maximum(ttft / (traffic.ttft_s or np.inf), tpot / (traffic.tpot_s or np.inf))
    i = int(np.argmin(over))
    row = _rows(results.take(np.array([i])), None)[0]
    wanted = " and ".join(
        f"{_seconds(target)} {name}"
        for target, name in ((traffic.ttft_s, "TTFT"), (traffic.tpot_s, "TPOT"))
        if target
    )
    return NoAnswerError(
        f"no configuration meets {wanted} ({traffic.percentile}); the closest is {_layout_words(row['layout'])} at batch"
        f" {row['batch']:.0f}: TTFT {_seconds(float(ttft[i]))}, TPOT {_seconds(float(tpot[i]))},"
        f" {row['tokens_per_s_per_gpu']:,.0f} tokens/s per GPU"
    )
