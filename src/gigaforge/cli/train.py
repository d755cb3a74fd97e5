"""``gigaforge train``: rank training strategies, or explain one."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gigaforge.cli.options import CatalogOption, JsonOption, catalog_from, quantity
from gigaforge.errors import InputError, NoAnswerError
from gigaforge.units import percent

if TYPE_CHECKING:
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.training import TrainingResults

__all__ = ["register"]

_DEGREES = ("tensor_parallel", "pipeline_parallel", "virtual_pipeline", "context_parallel", "expert_parallel",
            "expert_tensor_parallel", "data_parallel", "micro_batch")  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    model: Annotated[str, typer.Argument(help="Model in the catalogue, e.g. llama-3.1-405b.")],
    system: Annotated[str, typer.Argument(help="System in the catalogue, e.g. gb300-nvl72.")],
    gpus: Annotated[int, typer.Option("--gpus", min=1, metavar="N", help="Accelerators that the run uses.")],
    global_batch: Annotated[
        int, typer.Option("--global-batch", min=1, metavar="N", help="Sequences of one optimizer step.")
    ],
    seq: Annotated[int, typer.Option("--seq", min=1, metavar="N", help="Tokens of a sequence.")],
    precision: Annotated[str, typer.Option(help="bf16, fp8, mxfp8 or nvfp4.")] = "bf16",
    tensor_parallel: Annotated[
        int | None, typer.Option("--tensor-parallel", "--tp", min=1, metavar="N", help="Ranks that split each layer.")
    ] = None,
    pipeline_parallel: Annotated[
        int | None, typer.Option("--pipeline-parallel", "--pp", min=1, metavar="N", help="Stages of layers.")
    ] = None,
    virtual_pipeline: Annotated[
        int | None,
        typer.Option("--virtual-pipeline", "--vpp", min=1, metavar="N", help="Chunks of a stage (interleaved)."),
    ] = None,
    context_parallel: Annotated[
        int | None,
        typer.Option("--context-parallel", "--cp", min=1, metavar="N", help="Ranks that split the sequence."),
    ] = None,
    expert_parallel: Annotated[
        int | None,
        typer.Option("--expert-parallel", "--ep", min=1, metavar="N", help="Ranks that share out the experts."),
    ] = None,
    expert_tensor_parallel: Annotated[
        int | None,
        typer.Option("--expert-tensor-parallel", "--etp", min=1, metavar="N", help="Ranks that split each expert."),
    ] = None,
    data_parallel: Annotated[
        int | None, typer.Option("--data-parallel", "--dp", min=1, metavar="N", help="Replicas.")
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option("--micro-batch", "--mbs", min=1, metavar="N", help="Sequences at a time.")
    ] = None,
    recompute: Annotated[str | None, typer.Option(help="none, selective or full.")] = None,
    sharding: Annotated[str | None, typer.Option(help="none, optimizer, gradients or full (FSDP).")] = None,
    schedule: Annotated[
        str | None, typer.Option(help="1f1b (interleaved with --vpp), zero-bubble-1p, zero-bubble-2p, v-half or all.")
    ] = None,
    context_mode: Annotated[
        str | None, typer.Option(help="Context parallelism by ring (default), all-gather, ulysses or all.")
    ] = None,
    sharding_group: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ranks that share states, replicated beyond (hybrid sharding, HSDP)."),
    ] = None,
    expert_load: Annotated[
        float, typer.Option(help="Work of the fullest expert rank over the mean (1: balanced routing).")
    ] = 1.0,
    oversubscription: Annotated[float, typer.Option(help="Of the fat tree beyond --pod accelerators.")] = 1.0,
    pod: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Accelerators below one non-blocking part.")
    ] = None,
    site_gpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Accelerators of one site, of several.")
    ] = None,
    site_bandwidth: Annotated[
        str | None, typer.Option(help="Between sites, one way, per accelerator, e.g. '1 GB/s'.")
    ] = None,
    site_latency: Annotated[str | None, typer.Option(help="Between sites, one way, e.g. '5 ms'.")] = None,
    software: Annotated[
        str, typer.Option(help="Software family whose measured overheads apply.")
    ] = "megatron-bridge",
    parameters: Annotated[Path | None, typer.Option(help="Parameter file of `gigaforge calibrate training`.")] = None,
    power_cap: Annotated[str | None, typer.Option(help="Cap per accelerator, e.g. '900 W'.")] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="How many strategies to show.")] = 10,
    figure: Annotated[Path | None, typer.Option(help="Write the waterfall: .html, .png or .svg.")] = None,
    catalog: CatalogOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank training strategies by step time; with all degrees given, explain that one.

    Example: gigaforge train llama-3.1-405b gb300-nvl72 --gpus 4608 --global-batch 2304 --seq 8192
    """
    from gigaforge.perf.hardware import Hardware
    from gigaforge.perf.training import TrainingJob, TrainingParameters, refuse_degrees, search
    from gigaforge.perf.transformer import Transformer

    books = catalog_from(catalog)
    machine = books.system(system)
    hardware = Hardware.from_catalog(machine, books.accelerator(machine.accelerator))
    transformer = Transformer.from_catalog(books.model(model))
    hardware = _beyond_the_pod(hardware, oversubscription, pod, site_gpus, site_bandwidth, site_latency)
    job = TrainingJob(gpus, global_batch, seq, precision, software, expert_load)
    given = {
        "tensor_parallel": tensor_parallel, "pipeline_parallel": pipeline_parallel,
        "virtual_pipeline": virtual_pipeline, "context_parallel": context_parallel, "expert_parallel": expert_parallel,
        "expert_tensor_parallel": expert_tensor_parallel, "data_parallel": data_parallel, "micro_batch": micro_batch,
    }  # fmt: skip
    space = _space(given, recompute, sharding, schedule, context_mode)
    if sharding_group is not None:
        space = replace(space, sharding_group=(_group(sharding_group, gpus),))
    refuse_degrees(transformer, job, space)
    own = TrainingParameters.read(parameters) if parameters else None
    cap = None if power_cap is None else _cap(power_cap, hardware)
    results = search(transformer, hardware, job, space=space, keep=max(top, 20), parameters=own, power_cap_w=cap)
    _write_figure(results, figure)
    problem = _problem(results)
    if as_json:
        # One object whatever happens: the reason travels in it.
        told = _summary(results, model, system, job, top)
        print(json.dumps(told | ({"error": str(problem)} if problem else {})))
        if problem:
            raise typer.Exit(problem.exit_code)
        return
    _show(results, f"{model} on {gpus} x {system}", hardware.hbm_bytes, top)
    if problem:
        raise problem


def _beyond_the_pod(
    hardware: Hardware,
    oversubscription: float,
    pod: int | None,
    site_gpus: int | None,
    bandwidth: str | None,
    latency: str | None,
) -> Hardware:
    """The machine on a network that is narrower beyond a pod, or spread over sites."""
    if not 1.0 <= oversubscription < math.inf:
        raise InputError(f"{oversubscription:g} must be at least 1", "--oversubscription")
    if oversubscription > 1 and pod is None:
        raise InputError("beyond how many accelerators? give --pod", "--oversubscription")
    if (site_gpus is None) != (bandwidth is None):
        raise InputError("sites need both --site-gpus and --site-bandwidth", "--site-gpus")
    if site_gpus is None and latency is not None:
        raise InputError("needs --site-gpus and --site-bandwidth", "--site-latency")
    between = math.inf if bandwidth is None else quantity(bandwidth, "bandwidth", "--site-bandwidth")
    if not between > 0:
        raise InputError(f"{bandwidth!r} must be above 0", "--site-bandwidth")
    return replace(
        hardware,
        oversubscription=oversubscription,
        pod=pod or math.inf,
        site_bytes_s=between,
        site_accelerators=site_gpus or math.inf,
        site_latency_s=0.0 if latency is None else quantity(latency, "duration", "--site-latency"),
    )


def _group(size: int, gpus: int) -> int:
    if gpus % size:
        raise InputError(f"{size} does not divide {gpus:,} GPUs", "--sharding-group")
    return size


def _cap(text: str, hardware: Hardware) -> float:
    """A cap that the board can keep. [W]"""
    from gigaforge.perf.power import least_cap_w
    from gigaforge.units import parse_quantity

    where, least = "--power-cap", float(least_cap_w(hardware))
    try:
        cap = parse_quantity(text, "power")
    except ValueError:
        raise InputError(f"{text!r} is not a power with a unit; write it like '900 W'", where) from None
    if not cap > 0:
        raise InputError(f"{text!r} must be above 0 W", where)
    if cap < least:
        idle = float(hardware.idle_w)
        why = f"below its idle {idle:,.0f} W" if cap < idle else "out of reach even at its lowest clock"
        raise InputError(f"{text!r} on {hardware.name} is {why}; the least cap is {math.ceil(least):,} W", where)
    return cap


def _problem(results: TrainingResults) -> NoAnswerError | None:
    """Why there is no answer, if nothing fits."""
    if results.feasible_count:
        return None
    over = float(results.memory_over_bytes[0]) / 1e9
    nearest = _words(results.strategies.row(0))
    return NoAnswerError(f"no strategy fits in memory; the nearest is {over:.1f} GB over", [nearest])


def _space(
    given: dict[str, int | None],
    recompute: str | None,
    sharding: str | None,
    schedule: str | None,
    context_mode: str | None,
) -> Any:
    from gigaforge.perf.training import CONTEXT_MODES, RECOMPUTE, SCHEDULES, SHARDING, SearchSpace

    fixed: dict[str, Any] = {name: (value,) for name, value in given.items() if value is not None}
    for name, word, words in (
        ("recompute", recompute, RECOMPUTE),
        ("sharding", sharding, SHARDING),
        ("schedule", None if schedule == "all" else schedule, SCHEDULES),
        ("context_mode", None if context_mode == "all" else context_mode, CONTEXT_MODES),
    ):
        if word is not None:
            fixed[name] = (_choice(name, word, words),)
    usual: dict[str, Any] = {} if schedule else {"schedule": (0,), "vocab_parallel": (0,)}
    usual |= {} if context_mode else {"context_mode": (0,)}
    return SearchSpace(**(usual | fixed))


def _choice(name: str, word: str, words: tuple[str, ...]) -> int:
    if word not in words:
        raise InputError(f"{word!r} is none of {', '.join(words)}", f"--{name.replace('_', '-')}")
    return words.index(word)


def _summary(results: TrainingResults, model: str, system: str, job: Any, top: int) -> dict[str, Any]:
    return {
        "model": model,
        "system": system,
        "gpus": job.accelerators,
        "global_batch": job.global_batch,
        "seq_len": job.seq_len,
        "precision": job.precision,
        "software": job.software,
        "evaluated": results.evaluated,
        "feasible": results.feasible_count,
        "wall_s": results.wall_s,
        "best": results.records(top),
    }


def _write_figure(results: TrainingResults, path: Path | None) -> None:
    if path is None:
        return
    from gigaforge.report.performance_figures import training_waterfall, write_figure

    write_figure(training_waterfall(results), path)


def _words(row: dict[str, Any]) -> str:
    names = {"tensor_parallel": "tp", "pipeline_parallel": "pp", "virtual_pipeline": "vpp", "context_parallel": "cp",
             "expert_parallel": "ep", "expert_tensor_parallel": "etp", "data_parallel": "dp", "micro_batch": "mbs"}  # fmt: skip
    degrees = " ".join(
        f"{short}={row[name]}" for name, short in names.items() if row[name] > 1 or short in {"tp", "dp"}
    )
    again = row["recompute"] + (f" {percent(row['recompute_share'])}" if row["recompute"] == "full" else "")
    modes = [] if row["context_mode"] == "ring" else [row["context_mode"]]
    group = f" in {row['sharding_group']}" if row["sharding_group"] else ""
    extra = modes + ["sp"] * row["sequence_parallel"] + ["vocab-parallel"] * row["vocab_parallel"]
    plan = [] if row["schedule"] == "1f1b" else [row["schedule"]]
    return ", ".join([degrees, f"recompute {again}", f"sharding {row['sharding']}{group}", *plan, *extra])


def _show(results: TrainingResults, title: str, hbm_bytes: Any, top: int) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("strategy", overflow="fold")
    for head in ("step", "tok/s/GPU", "MFU", "memory", "W/GPU", "J/tok"):
        table.add_column(head, justify="right", no_wrap=True)
    for r in results.records(top):
        over = r["memory_over_bytes"] / 1e9
        memory = f"{r['memory_bytes'] / 1e9:.0f} GB" + (f"\n[red]{over:.1f} over[/red]" if over else "")
        table.add_row(
            _words(r), _seconds(r["step_time_s"]), f"{r['tokens_per_s_per_gpu']:,.0f}", percent(r["mfu"], 1), memory,
            f"{r['power_w']:,.0f}", f"{r['joules_per_token']:.3g}",
        )  # fmt: skip
    console.print(table)
    spread = f"80 % interval of step time: x{results.low:.2f} to x{results.high:.2f}"
    console.print(
        f"{results.evaluated:,} strategies evaluated in {results.wall_s:.2f} s, {results.feasible_count:,} fit in "
        f"{float(hbm_bytes) / 1e9:.0f} GB; {spread}",
        style="dim",
    )
    best = results.records(1)[0]
    console.print(f"\nWhere the time of the {'only' if results.evaluated == 1 else 'first'} one goes")
    _bars(console, best["breakdown"], best["step_time_s"], _seconds)
    console.print("\nand its memory")
    _bars(console, best["memory"], best["memory_bytes"], lambda x: f"{x / 1e9:.2f} GB")


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"


def _bars(console: Any, parts: dict[str, float], total: float, text: Any) -> None:
    """A waterfall: each bar starts where the last one ended."""
    width, start = 44, 0.0
    for name, value in parts.items():
        if value <= 0:
            continue
        left = round(start / total * width)
        bar = " " * left + "█" * max(round((start + value) / total * width) - left, 0)
        start += value
        share = value / total
        console.print(
            f"  {name.replace('_', ' '):14} {bar or ' ':{width}} {text(value):>9} {percent(share, 1):>7}",
            highlight=False,
        )
