"""The options of ``gigaforge infer``, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Acceptance",
    "AggregatedOnly",
    "ChunkTokens",
    "Concurrency",
    "DisaggregatedOnly",
    "DraftTokens",
    "EnergyPrice",
    "Figure",
    "Gpus",
    "InputLen",
    "KvPrecision",
    "MlperfScenario",
    "Mode",
    "Model",
    "Offline",
    "OutputLen",
    "OutputSpread",
    "Parameters",
    "Percentile",
    "PowerCap",
    "Precision",
    "PrefixHit",
    "Pue",
    "Rate",
    "Software",
    "SystemName",
    "Top",
    "TpotTarget",
    "TtftTarget",
]

Model = Annotated[str, typer.Argument(help="Model in the catalogue, e.g. deepseek-r1.")]
SystemName = Annotated[str, typer.Argument(help="System in the catalogue, e.g. gb300-nvl72.")]
InputLen = Annotated[float | None, typer.Option("--input-len", help="Mean tokens of a prompt.")]
OutputLen = Annotated[float | None, typer.Option("--output-len", help="Mean tokens of an answer.")]
MlperfScenario = Annotated[
    str | None,
    typer.Option(
        help="Lengths and targets of the model's MLPerf data set, a ten-minute run with the drain of its longest answers:"
        " offline, server or interactive. Lengths and targets given beside it replace the benchmark's, and the answer says so."
    ),
]
TtftTarget = Annotated[str | None, typer.Option(help="Target time to first token, e.g. '2 s'.")]
TpotTarget = Annotated[str | None, typer.Option(help="Target time per output token, e.g. '30 ms'.")]
Percentile = Annotated[str, typer.Option(help="What the targets bind: mean or p99.")]
Precision = Annotated[
    str | None, typer.Option(help="bf16, fp8, nvfp4, mxfp4, int4; default the lowest that the chip computes in.")
]
KvPrecision = Annotated[str | None, typer.Option(help="Cache: bf16 or fp8; default as serving stacks choose.")]
Software = Annotated[
    str | None,
    typer.Option(help="trtllm, vllm, sglang or mlperf (tuned submissions); default trtllm, mlperf with --mlperf."),
]
Gpus = Annotated[
    int | None,
    typer.Option(min=1, help="Accelerators in all; default one system, or as many as --rate needs."),
]
Mode = Annotated[str, typer.Option("--mode", help="aggregated, disaggregated or both.")]
DisaggregatedOnly = Annotated[bool, typer.Option("--disaggregated", help="Separate prefill pools only.")]
AggregatedOnly = Annotated[bool, typer.Option("--aggregated", help="No separate prefill pools.")]
Offline = Annotated[bool, typer.Option("--offline", help="No latency targets: the largest throughput.")]
Rate = Annotated[
    float | None, typer.Option(help="Open loop: requests/s that arrive at random; says how many GPUs serve them.")
]
Concurrency = Annotated[float | None, typer.Option(help="Closed loop: requests always in flight.")]
ChunkTokens = Annotated[
    str, typer.Option(help="Tokens that a prefill pass takes at most, or 'whole' for prompts in one pass.")
]
PrefixHit = Annotated[float, typer.Option(help="Share of the prompt found in the prefix cache.")]
OutputSpread = Annotated[
    float | None, typer.Option(help="Standard deviation of answer lengths over their mean; default 0.")
]
DraftTokens = Annotated[int, typer.Option(help="Tokens drafted per step (MTP or a draft model).")]
Acceptance = Annotated[float, typer.Option(help="Probability that a drafted token is kept.")]
PowerCap = Annotated[str | None, typer.Option(help="Cap per accelerator, e.g. '900 W'.")]
EnergyPrice = Annotated[str, typer.Option(help="For the cost of tokens.")]
Pue = Annotated[float, typer.Option(help="Facility over IT energy, for the cost of tokens.")]
Parameters = Annotated[Path | None, typer.Option(help="Parameter file of `gigaforge calibrate inference`.")]
Top = Annotated[int, typer.Option(min=1, help="How many rows of the Pareto set to show.")]
Figure = Annotated[Path | None, typer.Option(help="Write the Pareto figure: .html, .png or .svg.")]
