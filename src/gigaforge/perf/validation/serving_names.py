"""What people print in tables of serving measurements, and which model, machine, precision or software it means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from typing import Any, Final

import numpy as np

from gigaforge.catalog import Catalog
from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference.known import served_models
from gigaforge.perf.kernels import weight_only
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.models import catalogue_model, nearest_models
from gigaforge.perf.validation.row_cells import UnpredictableError, blank
from gigaforge.perf.validation.row_models import transformer_of as from_dimensions

__all__ = ["Unpredictable", "draft_tokens", "hardware_of", "model_of", "precision_of", "runnable", "software_of"]


class Unpredictable(Exception):  # noqa: N818 (a reason, not an error)
    """A row that cannot be predicted, and why."""


_SYSTEMS: Final = (
    (r"h100.*nvl|h100-nvl", "h100-nvl-8"), (r"h200.*nvl|h200-nvl", "h200-nvl-8"), (r"h100.*pcie", "h100-pcie-8"),
    (r"gh200|grace.?hopper", "gh200-node"), (r"gb200", "gb200-nvl72"), (r"gb300", "gb300-nvl72"),
    (r"a100.*40 ?gb", "dgx-a100-40gb"), (r"a100", "dgx-a100"), (r"h100", "dgx-h100"), (r"h200", "dgx-h200"),
    (r"h800", "hgx-h800"), (r"h20(?!0)", "hgx-h20"), (r"b200", "dgx-b200"), (r"b300", "dgx-b300"),
    (r"l40s", "l40s-8"), (r"rtx.?pro.?6000", "rtx-pro-6000-8"), (r"rtx.?6000.?ada|6000.?ada", "rtx-6000-ada-8"),
    (r"a6000", "rtx-a6000-8"), (r"4090", "rtx-4090-8"), (r"5090", "rtx-5090-8"), (r"\bl40\b", "l40-8"), (r"\bl4\b", "l4-8"),
    (r"\ba10g\b", "a10g-8"), (r"\ba10\b", "a10-8"), (r"\ba30\b", "a30-8"), (r"\ba40\b", "a40-8"), (r"\bt4\b", "t4-8"),
    (r"mi250", "mi250x-8"), (r"mi300a", "mi300a-4"), (r"mi300x?", "mi300x-8"), (r"mi325x?", "mi325x-8"), (r"mi350x?", "mi350x-8"),
    (r"mi355x?", "mi355x-8"), (r"mi4\d\dx?|helios", "helios-nvl72"), (r"gaudi.?2|hl-?2", "gaudi-2-8"), (r"gaudi.?3|hl-?3", "gaudi-3-8"),
    (r"vera.?rubin|vr200|rubin|\br200\b", "vera-rubin-nvl72-max-p"), (r"v100", "dgx-2"), (r"tpu.*v5.?(e|lite)", "tpu-v5e"),
    (r"tpu.*v5.?p", "tpu-v5p"), (r"tpu.*v6|trillium", "tpu-v6e"), (r"tpu.*v?7|ironwood", "tpu-v7"),
    (r"trainium.?2|trn2", "trainium2-ultraserver"), (r"trainium.?3|trn3", "trainium3-ultraserver"),
)  # fmt: skip


def hardware_of(gpu: str, catalog: Catalog) -> Hardware:
    """The catalogue's system for a printed accelerator name.

    Raises
    ------
    Unpredictable
        The name is unknown, or the catalogue lacks a figure of it.

    """
    text = gpu.lower().strip().replace("_", "-")
    meant = [name for pattern, name in _SYSTEMS if re.search(pattern, text) and name in catalog.systems][:1]
    exact = re.sub(r"\s+", "-", text)
    own = [exact] if exact in catalog.systems else [n for n, s in catalog.systems.items() if s.accelerator == exact]
    # A chip of this very name comes before one whose name it holds ("b200x" of one's own catalogue before "b200").
    for name in (*(n for n in meant if n in own), *own, *meant):
        return _hardware(catalog, name)
    names = {s.accelerator for s in catalog.systems.values()}
    near = get_close_matches(text, sorted(names), n=2, cutoff=0.5)
    hint = f"; nearest in the catalogue: {', '.join(near)}" if near else ""
    raise Unpredictable(
        f"accelerator {gpu!r} is not in the catalogue{hint}; add it and a system of it from its data sheet: --catalog DIR"
        " (docs/catalog.md)"
    )


@cache
def _cached(key: int, name: str) -> Hardware:
    catalog = _CATALOGS[key]
    system = catalog.systems[name]
    return Hardware.from_catalog(system, catalog.accelerator(system.accelerator))


_CATALOGS: dict[int, Catalog] = {}


def _hardware(catalog: Catalog, name: str) -> Hardware:
    _CATALOGS[id(catalog)] = catalog
    try:
        return _cached(id(catalog), name)
    except InputError as problem:
        raise Unpredictable(str(problem)) from None


def model_of(
    name: str, total_b: float = math.nan, active_b: float = math.nan, row: Mapping[str, Any] | None = None
) -> tuple[Transformer, str]:
    """Architecture of a printed model name.

    Served models by pattern, then the catalogue's, then the row's own dimensions; else the served model nearest in size with
    its layers scaled, by printed parameters or those in the name ("Yi-34B", "235B-A22B").

    Parameters
    ----------
    name : str
        As printed.
    total_b, active_b : float
        Parameters in all and active per token [1e9]; only used for a model that is not known.
    row : mapping, optional
        The whole row: ``n_layers, d_model, n_heads, n_kv_heads, d_ff, vocab, n_experts, top_k`` where it prints them.

    Returns
    -------
    transformer : Transformer
    note : str
        Empty, or what had to be assumed.

    Raises
    ------
    Unpredictable
        Neither the name, nor dimensions, nor a parameter count is known.

    """
    text = _DISTILLED.sub(lambda m: {"llama": "llama-3.1-", "qwen": "qwen2.5-"}[m.group(1)], name.lower())
    if row is not None and not (blank(row.get("d_model")) or blank(row.get("n_layers"))):
        return _by_dimensions(name, row)
    for pattern, shape, _, _ in served_models():
        if pattern.search(text):
            return shape, ""
    known = catalogue_model(text)
    if known is not None:
        return replace(known, name=text), ""
    if not (math.isfinite(total_b) and total_b > 0):
        total_b, active_b = _said(text)
    if not (math.isfinite(total_b) and total_b > 0):
        near = ", ".join(nearest_models(text, 2))
        raise Unpredictable(
            f"model {name!r} is not known (nearest: {near}); give n_params_total_b, or n_layers and d_model"
        )
    return _nearest(text, total_b, active_b if math.isfinite(active_b) and active_b > 0 else total_b)


_DISTILLED: Final = re.compile(r"^.*distill-(llama|qwen)-")
"""A distilled model has the architecture of the one that it was distilled into."""
_SIZE: Final = re.compile(r"(?<![\d.a-z])(\d+(?:\.\d+)?)b(?![a-z])")
_ACTIVE: Final = re.compile(r"(?<![a-z])a(\d+(?:\.\d+)?)b(?![a-z])")


def _said(text: str) -> tuple[float, float]:
    """Parameters in all and active that a name says [1e9]; not a number where it does not."""
    total, active = _SIZE.search(text), _ACTIVE.search(text)
    return float(total.group(1)) if total else math.nan, float(active.group(1)) if active else math.nan


def _by_dimensions(name: str, row: Mapping[str, Any]) -> tuple[Transformer, str]:
    assumed: list[str] = []
    try:
        shape = from_dimensions(row, assumed)
    except UnpredictableError as reason:
        raise Unpredictable(str(reason)) from None
    return replace(shape, name=name.lower()), "; ".join(assumed)


def _nearest(text: str, total_b: float, active_b: float) -> tuple[Transformer, str]:
    """The served model nearest in size, of the same kind, with its layers scaled."""
    moe = active_b < 0.7 * total_b

    def distance(row: tuple[Any, Transformer, float, float]) -> float:
        kind = bool(np.asarray(row[1].experts) > 0) != moe
        return float(abs(math.log(row[2] / total_b / 1e9)) + abs(math.log(row[3] / active_b / 1e9)) + 10.0 * kind)

    _, near, parameters, _ = min(served_models(), key=distance)
    scale = max(total_b * 1e9 / parameters, 0.02)
    counts = {
        k: getattr(near, k) * scale
        for k in ("layers", "attention_layers", "dense_layers", "moe_layers", "mamba_layers")
    }
    return replace(near, name=text, **counts), f"architecture unknown: {near.name} with its layers times {scale:.2f}"


_MLPERF_2024: Final = re.compile(r"mlperf.* v[34]\.")


def software_of(text: str, source: str = "") -> str:
    """Family of a printed software name: what the shipped parameters are keyed by."""
    name, origin = text.lower(), source.lower()
    if "splitwise" in origin:
        return "splitwise"
    if "rocm" in name or "mango" in name:
        return "rocm-2024" if _MLPERF_2024.search(origin) else "rocm"
    for family in ("sglang", "vllm"):
        if family in name:
            return family
    if "gptsessionbenchmark" in name or "v0.9" in name:
        return "trtllm-static"
    if "tensorrt-llm" in name or "trtllm-bench" in name:
        return "trtllm-bench"
    if "trtllm" in name or "trt-llm" in name:
        return "trtllm"
    if "mlperf" in origin or "tensorrt" in name:
        return "mlperf-2024" if _MLPERF_2024.search(origin) else "mlperf"
    return name.split()[0] if name.split() else "unknown"


def precision_of(printed: str, model: str, hardware: Hardware, shape: Transformer, software: str) -> str:
    """Precision of the weights as the stack ran it.

    MLPerf submissions with TensorRT print the checkpoint's fp16: they ran fp8 on Hopper and Ada and fp4 on Blackwell
    (their logs' quantisation; at fp16 the printed rates exceed the peak). "nvfp4/mxfp4" is mxfp4 for gpt-oss and on chips
    without fp4 arithmetic, nvfp4 elsewhere. fp8 of mixtures with many experts is block-scaled.
    """
    text, name = printed.lower().strip(), model.lower()
    fp4 = "fp4" in hardware.peak_flop_s
    many_experts = float(np.asarray(shape.experts)) > 16
    if "gpt-oss" in name or "gpt_oss" in name:
        return "mxfp4"
    if text and text != "nan" and not _KNOWN.search(text):
        raise Unpredictable(
            f"precision_weights {printed!r} is not known; known: bf16, fp16, fp8, int8, w8a8, w8a16, int4, w4a16, awq, gptq,"
            " nvfp4, mxfp4"
        )
    if not text or text == "nan":
        text = (
            "nvfp4"
            if "fp4" in name
            else "fp8"
            if "fp8" in name or re.search(_NATIVE_FP8, name)
            else "int4"
            if re.search("int4|awq|gptq", name)
            else "bf16"
        )
    if software.startswith("mlperf") and text in ("fp16", "bf16", "fp32"):
        text = "fp4" if fp4 else "fp8"
    if "fp4" in text:
        return "nvfp4" if fp4 else "mxfp4"
    if "w8a16" in text:
        return "w8a16"
    if re.search(r"fp8|int8|w8a8|e4m3|e5m2", text):
        return "fp8" if not many_experts else "fp8_block"
    if re.search("int4|w4a16|w4a8|awq|gptq", text):
        return "int4"
    return "bf16"


_KNOWN: Final = re.compile(
    r"fp4|fp8|int8|w8a8|w8a16|e4m3|e5m2|int4|w4a16|w4a8|awq|gptq|(bf|fp|float|tf|fp )(16|32)|half"
)
"""Words that a table may give for the precision of the weights."""


def runnable(precision: str, printed: str, gpu: str, hardware: Hardware) -> tuple[str, str]:
    """The precision that the chip runs the weights in, and what is to be said of it where it is not the printed one."""
    run = weight_only(precision, hardware)
    said = printed.strip() or precision
    four = (
        "fp4" in said.lower() and run == "mxfp4" and "fp4" not in hardware.peak_flop_s and "mxfp4" not in said.lower()
    )
    if run == precision and not four:
        return run, ""
    return run, f"{gpu} does not compute in {said}: taken as weight-only (weights in {said}, arithmetic in bf16)"


_NATIVE_FP8: Final = r"deepseek.?-?(v3|r1)|kimi-?k2(?!.5|-thinking)|minimax-?m2"
"""Models that are published in fp8 alone: what a row means that prints no precision."""

_DRAFTS: Final = (
    # (model, software, date) of InferenceX runs with multi-token prediction; runs of the same layouts a few weeks
    # apart differ by the factor that MTP gives, and the benchmark's configuration list names them "mtp".
    (r"deepseek.*r1", r"1\.2\.0rc6\.post3", ""),
    (r"deepseek.*r1", r"1\.1\.0rc2\.post2", "2026-01"),
)


def draft_tokens(model: str, software: str, date: str, notes: str) -> float:
    """Tokens drafted per step where the row says or implies speculative decoding (0: none)."""
    said = re.search(r"MTP ?= ?(\d)", notes)
    if said:
        return float(said.group(1))
    if re.search(r"\bmtp\b", software.lower()):
        return 3.0
    for model_pattern, software_pattern, day in _DRAFTS:
        if re.search(model_pattern, model.lower()) and re.search(software_pattern, software) and date.startswith(day):
            return 3.0
    return 0.0
