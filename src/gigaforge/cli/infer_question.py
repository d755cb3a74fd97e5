"""What ``gigaforge infer`` is asked: options as the values that the model takes, or what is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gigaforge.cli.options import quantity
from gigaforge.errors import InputError

if TYPE_CHECKING:
    from gigaforge.perf.hardware import Hardware

__all__ = [
    "check_software",
    "chunk_of",
    "energy_usd_j",
    "modes_of",
    "power_cap_w",
    "precision_of",
    "replaced",
    "requests_of",
    "serving_parameters",
]


def requests_of(
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


def replaced(model: str, mlperf: str | None, asked: Mapping[str, Any]) -> str:
    """What of an MLPerf scenario the user's own lengths and targets replace; empty where nothing."""
    from gigaforge.perf.inference.traffic import dataset_of

    data = None if mlperf is None else dataset_of(model)
    if data is None:
        return ""
    ttft, tpot = data.targets.get(str(mlperf), (math.inf, math.inf))
    theirs = {
        "input_len": (data.input_len, "--input-len", "tokens"),
        "output_len": (data.output_len, "--output-len", "tokens"),
        "output_spread": (data.output_spread, "--output-spread", "times the mean"),
        "ttft_s": (None if math.isinf(ttft) else ttft, "--ttft", "s"),
        "tpot_s": (None if math.isinf(tpot) else tpot, "--tpot", "s"),
    }
    said = []
    for name, (value, option, unit) in theirs.items():
        if asked[name] != value:
            was = "none" if value is None else f"{value:,g} {unit}"
            said.append(f"{option} {asked[name]:,g} {unit} instead of {was}")
    return f"not MLPerf {mlperf} as it stands: {', '.join(said)}" if said else ""


def _quantity(text: str | None, dimension: str, where: str) -> float | None:
    return None if text is None else quantity(text, dimension, where)


def power_cap_w(text: str | None, hardware: Hardware) -> float | None:
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
    limit_w = float(hardware.power_limit_w)
    if cap_w is not None and cap_w > limit_w * (1 + 1e-9):
        raise InputError(
            f"{text!r} is above the limit of a {hardware.chip}, {limit_w:.0f} W, and would cap nothing", "--power-cap"
        )
    return cap_w


def chunk_of(text: str) -> float:
    """Tokens of a prefill pass; infinite for whole prompts."""
    try:
        tokens = math.inf if text == "whole" else float(text)
    except ValueError:
        raise InputError(f"{text!r}; a number of tokens or 'whole' is expected", "--chunk-tokens") from None
    if not tokens >= 1:
        raise InputError(f"{text!r}; at least 1 token is needed", "--chunk-tokens")
    return tokens


def energy_usd_j(text: str, pue: float) -> float:
    """Price of energy [USD/J], once it and the PUE make sense."""
    if not (math.isfinite(pue) and pue >= 1.0):
        raise InputError(f"{pue} is not facility over IT energy; give a number of at least 1, such as 1.2", "--pue")
    usd_j = quantity(text, "energy_price", "--energy-price")
    if not (math.isfinite(usd_j) and usd_j >= 0.0):
        raise InputError(f"{text!r}; a price of zero or more is expected, such as '$60/MWh'", "--energy-price")
    return usd_j


def check_software(software: str, parameters: Mapping[str, Any] | None) -> None:
    """Only what the parameter file was fitted to; another name would silently be predicted as an average stack."""
    from gigaforge.perf.parameters import load_parameters

    table = (load_parameters("serving") if parameters is None else parameters)["quantities"]
    known = sorted({name for entry in table.values() for name in entry.get("software", {})})
    if known and software not in known:
        raise InputError(f"{software!r} is not known; known: {', '.join(known)}", "--software")


def precision_of(asked: str | None, hardware: Hardware) -> str:
    """The precision to evaluate; `InputError` where the chip lacks the arithmetic of the one asked for."""
    from gigaforge.perf.hardware import precision_family
    from gigaforge.perf.kernels import weight_only

    if asked is None:
        return _lowest(hardware)
    precision_family(asked)
    run = weight_only(asked, hardware)
    if run != asked:
        raise InputError(
            f"{hardware.name} does not compute in {asked}, but in {', '.join(sorted(hardware.peak_flop_s))}; for weights as small,"
            f" unpacked to bf16 for the arithmetic, ask for {run}",
            "--precision",
        )
    return run


def _lowest(hardware: Hardware) -> str:
    """nvfp4 where the chip computes in it, else fp8, else bf16."""
    return "nvfp4" if hardware.supports("nvfp4") else "fp8" if hardware.supports("fp8") else "bf16"


def modes_of(mode: str, only_aggregated: bool, only_disaggregated: bool) -> tuple[str, ...]:
    """Aggregated, disaggregated or both; `InputError` where the options contradict each other."""
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
