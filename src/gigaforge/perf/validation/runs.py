"""Read measured training runs: published tables, or a user's own with only the needed columns."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from gigaforge.errors import InputError
from gigaforge.perf.hardware import precision_family
from gigaforge.perf.training.constants import Key, software_family
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.models import catalogue_model, nearest_models, reshaped

__all__ = ["NEEDED", "Run", "UnpredictableError", "read_runs", "run_of"]

NEEDED: Final = ("seq_len", "global_batch_sequences", "gpu", "n_gpus", "precision")
_ELEMENT: Final = {"bf16": 2.0, "fp8": 1.0, "fp4": 0.5}
_PRECISIONS: Final = {"fp16": "bf16", "bfloat16": "bf16", "int8": "fp8", "fp4": "nvfp4", "mxfp4": "nvfp4"}


class UnpredictableError(Exception):
    """A row that cannot be predicted, and why."""


@dataclass(frozen=True)
class Run:
    """One measured run: what ran, where, how, what came out, and what had to be assumed."""

    identifier: str
    row: Mapping[str, Any]
    transformer: Transformer
    machine: Machine
    key: Key
    strategy: Mapping[str, float]
    global_batch: float
    seq_len: float
    gradient_bytes: float
    trainable: float
    unfused: float
    document_len: float
    recompute_known: bool
    measured_tokens: float
    measured_step_s: float
    measured_memory: float
    assumed: tuple[str, ...]

    @property
    def group(self) -> tuple[str, str]:
        """(source, model): what a cross-validation fold leaves out whole."""
        return str(self.row.get("source") or "own"), str(self.row.get("model_name") or "own")


@cache
def _table(name: str) -> dict[str, Any]:
    text = (files("gigaforge.perf") / "data" / f"{name}.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def read_runs(path: Path) -> tuple[list[Run], dict[str, str]]:
    """Every row of a CSV, as a run or with the reason why it cannot be predicted (by row identifier).

    Raises
    ------
    InputError
        The file cannot be read, or a needed column is missing altogether.

    """
    try:
        table = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            else pd.read_csv(path, low_memory=False, dtype={"id": str})
        )
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read it as CSV ({error})", str(path)) from None
    if "model_name" not in table and not {"n_layers", "d_model", "n_heads", "d_ff"} <= set(table):
        raise InputError("needs a column model_name, or n_layers, d_model, n_heads and d_ff", str(path))
    missing = [c for c in NEEDED if c not in table]
    if missing:
        raise InputError(f"needs the columns {', '.join(missing)}", str(path))
    if not {"step_time_s", "tokens_per_s_per_gpu"} & set(table):
        raise InputError("needs a column step_time_s or tokens_per_s_per_gpu: what to compare with", str(path))
    runs, skipped = [], {}
    for position, record in enumerate(table.to_dict("records")):
        row = {str(k): v for k, v in record.items()}
        name = row.get("id")
        identifier = str(name) if isinstance(name, str) and name else f"row {position + 2}"
        try:
            runs.append(run_of(row, identifier))
        except UnpredictableError as why:
            skipped[identifier] = str(why)
    return runs, skipped


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value == ""


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if _blank(value) else str(value)


def _number(row: Mapping[str, Any], column: str, default: float | None = None, least: float = 0.0) -> float:
    """A number of the row; `UnpredictableError` names column and value when it is nonsense, or blank without default."""
    value = row.get(column)
    if _blank(value):
        if default is None:
            raise UnpredictableError(f"{column} is blank")
        return default
    try:
        number = float(str(value))
    except ValueError:
        raise UnpredictableError(f"{column} is {value!r}, not a number") from None
    if not np.isfinite(number) or number <= least:
        raise UnpredictableError(f"{column} is {value!r}; it must be above {least:g}")
    return number


def run_of(row: Mapping[str, Any], identifier: str) -> Run:
    """Understand one row, or raise `UnpredictableError`."""
    assumed: list[str] = []
    habit = _match("measured_models", "habits", _text(row, "source"))
    transformer = _transformer(row, assumed)
    chip = _chip(row)
    gpus = _number(row, "n_gpus")
    seq_len = _number(row, "seq_len")
    precision = _precision(row, habit, assumed)
    software = str(habit.get("software") or software_family(_text(row, "software")))
    machine = _machine(row, chip, precision, gpus)
    degrees = {name: _degree(row, name) for name in ("tp", "pp", "cp", "ep")}
    model_ranks = degrees["tp"] * degrees["pp"] * degrees["cp"]
    if gpus % model_ranks:
        raise UnpredictableError(f"tp x pp x cp = {model_ranks:g} does not divide n_gpus = {gpus:g}")
    dp = gpus / model_ranks
    printed_dp = _number(row, "dp", dp)
    if abs(printed_dp - dp) > 0.5 and not _blank(row.get("dp")):
        assumed.append(f"dp {printed_dp:g} printed, {dp:g} taken (n_gpus / (tp x pp x cp))")
    batch, micro = _batch(row, dp, assumed)
    strategy = _strategy(row, habit, software, degrees, dp, batch, micro, transformer, assumed)
    step, tokens = _measured(row, batch, seq_len, gpus)
    frozen = bool(_LORA.search(_text(row, "model_name")) or _LORA.search(_text(row, "notes")))
    key = Key(chip["chip"], chip["generation"], precision, software)
    memory = _number(row, "peak_memory_gb", np.nan) * 2**30
    return Run(
        identifier=identifier,
        row=row,
        transformer=transformer,
        machine=machine,
        key=key,
        strategy=strategy,
        global_batch=batch,
        seq_len=seq_len,
        gradient_bytes=_gradient_bytes(software),
        trainable=0.0 if frozen else 1.0,
        unfused=_unfused(software, transformer.name, _text(row, "notes"), assumed),
        document_len=_number(row, "document_len", _packed(row, software)),
        recompute_known=not _blank(row.get("recompute")),
        measured_tokens=tokens,
        measured_step_s=step,
        measured_memory=memory,
        assumed=tuple(assumed),
    )


_LORA: Final = re.compile(r"\blora\b", re.IGNORECASE)
"""The fine-tuning method as a word of its own: the rank of latent attention (kv_lora) is none."""


def _match(file: str, kind: str, text: str) -> dict[str, Any]:
    for entry in _table(file)[kind]:
        if re.search(entry["match"], text):
            return dict(entry)
    return {}


def _degree(row: Mapping[str, Any], name: str) -> float:
    value = _number(row, name, 1.0)
    if value != round(value):
        raise UnpredictableError(f"{name} is {value:g}, not a whole number")
    return value


def _precision(row: Mapping[str, Any], habit: Mapping[str, Any], assumed: list[str]) -> str:
    text = _text(row, "precision").lower()
    if not text:
        precision = str(habit.get("precision", "bf16"))
        assumed.append(f"precision {precision}")
        return precision
    precision = _PRECISIONS.get(text, text)
    try:
        precision_family(precision)
    except InputError:
        raise UnpredictableError(f"precision is {text!r}, which is not known") from None
    return precision


def _chip(row: Mapping[str, Any]) -> dict[str, Any]:
    name = _text(row, "gpu")
    for entry in _table("measured_hardware")["chips"]:
        if re.search(entry["match"], name, re.IGNORECASE):
            return dict(entry)
    raise UnpredictableError(f"gpu is {name!r}, whose data sheet is not known")


def _machine(row: Mapping[str, Any], chip: Mapping[str, Any], precision: str, gpus: float) -> Machine:
    family = precision_family(precision)
    if family not in chip["tflops"]:
        raise UnpredictableError(f"precision {precision} on {_text(row, 'gpu')}, which has no {family} arithmetic")
    out = chip["scale_out_gb_s"]
    for network in _table("measured_hardware")["networks"]:
        fits = re.search(network["match"], _text(row, "source")) and re.search(
            network.get("gpu", ""), _text(row, "gpu")
        )
        if fits and re.search(network.get("note", ""), _text(row, "notes")):
            out = network["scale_out_gb_s"]
            break
    domain = _number(row, "gpus_per_node_or_nvl_domain", chip.get("domain", 8.0))
    domain = chip["domain"] if chip["chip"].startswith("tpu") else domain
    return Machine(
        peak_flop_s=chip["tflops"][family] * 1e12,
        peak_bf16_flop_s=chip["tflops"]["bf16"] * 1e12,
        element_bytes=_ELEMENT[family],
        hbm_bytes=chip["hbm_gb"] * 1e9 if chip["hbm_gb"] > 100 else chip["hbm_gb"] * 2**30,
        hbm_bytes_s=chip["hbm_tb_s"] * 1e12,
        scale_up_bytes_s=chip["scale_up_gb_s"] * 1e9,
        scale_out_bytes_s=out * 1e9,
        domain=min(domain, max(gpus, 1.0)),
        multiprocessors=float(chip["multiprocessors"]),
        power_limit_w=float(chip["power_w"]),
        idle_w=0.12 * chip["power_w"],
        overhead_w=0.6 * chip["power_w"],
    )


def _transformer(row: Mapping[str, Any], assumed: list[str]) -> Transformer:
    name = _text(row, "model_name")
    lacking = _lacking(row)
    if lacking:
        return _from_catalogue(row, name, lacking, assumed)
    extra = _match("measured_models", "models", name)
    d = _number(row, "d_model")
    total = _number(row, "n_params_total_b", 0.0)
    layers = _number(row, "n_layers", 0.0)
    if not layers:
        layers = float(round(total * 1e9 / (12.0 * d * d)))
        assumed.append(f"{layers:g} layers, from the parameter count")
    heads = _number(row, "n_heads", extra.get("heads", 0.0))
    if not heads:
        heads = float(round(d / 128.0))
        assumed.append(f"{heads:g} heads of width 128")
    kv = _number(row, "n_kv_heads", extra.get("kv_heads", heads))
    width = _number(row, "d_ff", extra.get("d_ff", 0.0))
    experts = _number(row, "n_experts", 0.0)
    if not width:
        width = 4.0 * d
        assumed.append("d_ff 4 x d_model")
    vocab = _number(row, "vocab", extra.get("vocab", 0.0))
    if not vocab:
        vocab = 51200.0
        assumed.append("vocabulary 51,200")
    moe = experts > 1
    matrices = float(extra.get("ff_matrices", 2 if not moe and abs(width - 4 * d) < 1 else 3))
    mamba = float(extra.get("mamba_layers", 0))
    dense = float(extra.get("dense_layers", 0 if moe else layers))
    if layers < dense and moe:
        dense = 1.0
    if "truncated" in name and moe:
        dense = min(dense, 1.0)
    base = Transformer(
        name=name,
        layers=layers,
        d_model=d,
        heads=heads,
        kv_heads=kv,
        head_dim=float(extra.get("head_dim", d / heads)),
        d_ff=float(extra.get("dense_d_ff", width)),
        vocab=vocab,
        attention_layers=float(extra.get("attention_layers", layers)),
        dense_layers=dense,
        moe_layers=float(extra.get("moe_layers", layers - dense)) if moe else 0.0,
        mamba_layers=mamba,
        ff_matrices=matrices,
        tied_embeddings=float(extra.get("tied_embeddings", 0)),
    )
    known: dict[str, Any] = {k: float(extra[k]) for k in _EXTRA if k in extra}
    if not moe:
        return replace(base, **known)
    known.setdefault("expert_d_model", d)
    return replace(base, experts=experts, experts_per_token=_number(row, "top_k", 2.0), expert_d_ff=width, **known)


def _lacking(row: Mapping[str, Any]) -> str:
    """The column without which a row does not tell its architecture."""
    if _blank(row.get("d_model")):
        return "d_model"
    return "n_layers" if _blank(row.get("n_layers")) and _blank(row.get("n_params_total_b")) else ""


_DIMENSIONS: Final = {
    "n_layers": "layers", "d_model": "d_model", "n_heads": "heads", "n_kv_heads": "kv_heads", "d_ff": "d_ff",
    "vocab": "vocab", "n_experts": "experts", "top_k": "experts_per_token",
}  # fmt: skip


def _from_catalogue(row: Mapping[str, Any], name: str, lacking: str, assumed: list[str]) -> Transformer:
    """The catalogue's architecture of the row's model, with the dimensions that the row gives."""
    if not name:
        raise UnpredictableError(f"model_name and {lacking} are blank")
    known = catalogue_model(name)
    if known is None:
        near = ", ".join(nearest_models(name))
        raise UnpredictableError(f"model {name!r} is not in the catalogue and {lacking} is blank; nearest: {near}")
    given = {ours: _number(row, column) for column, ours in _DIMENSIONS.items() if not _blank(row.get(column))}
    if not float(known.moe_layers):
        given = {k: v for k, v in given.items() if not k.startswith("experts")}
    assumed.append(f"architecture of {known.name} in the catalogue")
    # The row's own name stays: folds and habits go by it.
    return replace(reshaped(known, given), name=name)


_EXTRA: Final = (
    "shared_d_ff", "expert_d_model", "q_lora_rank", "kv_lora_rank", "rope_head_dim", "v_head_dim", "sliding_window",
    "global_every", "mtp_layers", "mamba_inner", "mamba_state", "mamba_groups", "mamba_heads",
)  # fmt: skip


def _batch(row: Mapping[str, Any], dp: float, assumed: list[str]) -> tuple[float, float]:
    batch = _number(row, "global_batch_sequences", 0.0)
    micro = _number(row, "micro_batch", 0.0)
    if not batch:
        batch = dp * (micro or 1.0)
        assumed.append(f"global batch {batch:g} (no accumulation)")
    each = batch / dp
    if not micro:
        micro = float(max(1.0, min(each, 1.0)))
        assumed.append("micro-batch 1")
    if each < micro:
        assumed.append(f"micro-batch {each:g}: the batch gives each replica no more")
        micro = each
    return batch, micro


_FSDP_GROUP: Final = re.compile(r"(?:FSDP=|\()(\d+)")


def _sharding(row: Mapping[str, Any], habit: Mapping[str, Any], software: str, dp: float) -> tuple[int, int]:
    """ZeRO stage and group from what is printed, else the software's habit."""
    fsdp, optimizer = _text(row, "fsdp"), _text(row, "dist_optimizer")
    if fsdp and fsdp.lower() not in {"no", "yes (1)"}:
        if "ZeRO-2" in fsdp:
            return 2, 0
        if "HSDP" in fsdp:
            return 3, 8
        group = _FSDP_GROUP.search(fsdp)
        size = int(group.group(1)) if group else 0
        return 3, size if 0 < size < dp else 0
    if optimizer:
        group = re.search(r"group (\d+)", optimizer)
        return (0, 0) if optimizer.lower().startswith("no") else (1, int(group.group(1)) if group else 0)
    if "sharding" in habit:
        return int(habit["sharding"]), 0
    return (3 if software in {"torchtitan", "fms-fsdp", "composer", "automodel"} else 1), 0


_SCHEDULE: Final = {"zb-1p": 1, "zb-2p": 2, "v-half": 3}


def _strategy(
    row: Mapping[str, Any],
    habit: Mapping[str, Any],
    software: str,
    degrees: Mapping[str, float],
    dp: float,
    batch: float,
    micro: float,
    t: Transformer,
    assumed: list[str],
) -> dict[str, float]:
    sharding, group = _sharding(row, habit, software, dp)
    parallel = _text(row, "seq_parallel").lower()
    sequence = parallel != "no" if parallel else bool(habit.get("sequence_parallel", 1))
    text = _text(row, "recompute").lower()
    recompute = {"none": 0, "selective": 1, "full": 2}.get(text, 0)
    schedule = _text(row, "schedule").lower()
    vpp = _number(row, "vpp", 0.0)
    if not vpp:
        printed = "interleaved" in _text(row, "notes").lower()
        modern = printed or software.startswith(("megatron-bridge", "nemo", "megatron-core", "mlperf"))
        vpp = _interleaving(t, degrees["pp"], batch / (dp * micro)) if modern and not schedule else 1.0
        if degrees["pp"] > 1 and not schedule:
            assumed.append(f"{vpp:g} chunks a pipeline stage")
    if schedule == "v-half":
        vpp = 1.0
    ep = min(degrees["ep"], float(t.experts) or 1.0)
    etp = re.search(r"(?:expert TP \(ETP\)|ETP) (\d+)", _text(row, "notes"))
    tensor = _number(row, "etp", float(etp.group(1)) if etp else 0.0)
    if not tensor:
        modern = software.startswith(("megatron-bridge", "automodel"))
        tensor = 1.0 if modern or ep * degrees["tp"] > dp * degrees["cp"] * degrees["tp"] else degrees["tp"]
    method = _text(row, "vocab_method").lower()
    return {
        "tensor_parallel": int(degrees["tp"]),
        "pipeline_parallel": int(degrees["pp"]),
        "virtual_pipeline": int(vpp),
        "context_parallel": int(degrees["cp"]),
        "expert_parallel": int(ep),
        "expert_tensor_parallel": int(tensor),
        "data_parallel": int(dp),
        "micro_batch": int(micro) if micro == round(micro) else 1,
        "recompute": recompute,
        "recompute_share": 1.0,
        "sharding": sharding,
        "sharding_group": group,
        "sequence_parallel": int(sequence and degrees["tp"] > 1),
        "schedule": _SCHEDULE.get(schedule, 0),
        "vocab_parallel": int(method.startswith("vocab") or method == "interlaced"),
    }


def _interleaving(t: Transformer, pp: float, micro_batches: float) -> float:
    """Recipes of Megatron-Core and after interleave wherever blocks and micro-batches divide, in 2 to 8 chunks."""
    if pp == 1 or micro_batches % pp:
        return 1.0
    layers = float(t.layers)
    each = layers / pp if layers % pp == 0 else (layers + 2) / pp
    if each != round(each):
        return 1.0
    return float(max(v for v in range(1, 9) if each % v == 0))


_UNFUSED: Final = ("vtrain", "megatron-deepspeed", "megatron-2021", "zero-bubble")
_SINKS_UNFUSED: Final = ("megatron-bridge-2509", "megatron-bridge-2604")


def _unfused(software: str, model: str, notes: str, assumed: list[str]) -> float:
    """Software before FlashAttention, and attention sinks before cuDNN fused them, write scores to memory."""
    sinks = "gpt-oss" in model.lower()
    if sinks and "cuDNN regression" in notes:
        assumed.append("a cuDNN regression is noted: attention sinks not fused")
    elif not (sinks and software in _SINKS_UNFUSED):
        return float(software in _UNFUSED)
    return 0.15


_SQUAD_TOKENS: Final = 250.0
"""Mean length of the SQuAD samples that NeMo's fine-tuning recipes pack into a sequence (context, question, answer)."""


def _packed(row: Mapping[str, Any], software: str) -> float:
    tuned = re.search(r"\((LoRA|SFT)\)", _text(row, "model_name"))
    return _SQUAD_TOKENS if tuned and software.startswith(("nemo", "megatron-bridge")) else np.inf


def _gradient_bytes(software: str) -> float:
    """Megatron-Core and FSDP reduce in fp32; NeMo and Megatron-Bridge recipes, MLPerf and older fp16 runs in 2 bytes."""
    return (
        2.0
        if software.startswith(("nemo", "megatron-bridge", "mlperf", "jax", "fms", "internevo", "vtrain"))
        else 4.0
    )


def _measured(row: Mapping[str, Any], batch: float, seq_len: float, gpus: float) -> tuple[float, float]:
    tokens = _number(row, "tokens_per_s_per_gpu", 0.0)
    step = _number(row, "step_time_s", 0.0)
    if not tokens and not step:
        raise UnpredictableError("neither step_time_s nor tokens_per_s_per_gpu is given")
    tokens = tokens or batch * seq_len / step / gpus
    return batch * seq_len / gpus / tokens, tokens
