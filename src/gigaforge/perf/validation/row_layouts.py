"""How a measured row was spread and run: batch, degrees, sharding, and the habits of its software."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.row_cells import UnpredictableError, number, text

__all__ = ["batch_of", "gradient_bytes_of", "packed", "strategy_of", "unfused"]


def batch_of(row: Mapping[str, Any], dp: float, assumed: list[str]) -> tuple[float, float]:
    """Sequences of a step and of a micro-batch; what had to be assumed is noted."""
    batch = number(row, "global_batch_sequences", 0.0)
    micro = number(row, "micro_batch", 0.0)
    if not batch:
        batch = dp * (micro or 1.0)
        assumed.append(f"global batch {batch:g} (no accumulation)")
    each = batch / dp
    if micro and micro != round(micro):
        raise UnpredictableError(f"micro_batch is {micro:g}, not a whole number")
    if not micro:
        micro = float(max(1.0, min(each, 1.0)))
        assumed.append("micro-batch 1")
    if each < micro:
        assumed.append(f"micro-batch {each:g}: the batch gives each replica no more")
        micro = each
    elif each % micro:
        assumed.append(f"global batch {batch:g} is no multiple of dp {dp:g} x micro-batch {micro:g}")
    return batch, micro


_FSDP_GROUP: Final = re.compile(r"(?:FSDP=|\()(\d+)")


def _sharding(row: Mapping[str, Any], habit: Mapping[str, Any], software: str, dp: float) -> tuple[int, int]:
    """ZeRO stage and group from what is printed, else the software's habit."""
    fsdp, optimizer = text(row, "fsdp"), text(row, "dist_optimizer")
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


def strategy_of(
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
    """The strategy's columns (see `TrainingStrategies`), habits in place of what is not printed."""
    sharding, group = _sharding(row, habit, software, dp)
    parallel = text(row, "seq_parallel").lower()
    sequence = parallel != "no" if parallel else bool(habit.get("sequence_parallel", 1))
    again = text(row, "recompute").lower()
    recompute = {"none": 0, "selective": 1, "full": 2}.get(again, 0)
    schedule = text(row, "schedule").lower()
    vpp = number(row, "vpp", 0.0)
    if not vpp:
        printed = "interleaved" in text(row, "notes").lower()
        modern = printed or software.startswith(("megatron-bridge", "nemo", "megatron-core", "mlperf"))
        vpp = _interleaving(t, degrees["pp"], batch / (dp * micro)) if modern and not schedule else 1.0
        if degrees["pp"] > 1 and not schedule:
            assumed.append(f"{vpp:g} chunks a pipeline stage")
    if schedule == "v-half":
        vpp = 1.0
    ep = min(degrees["ep"], float(t.experts) or 1.0)
    etp = re.search(r"(?:expert TP \(ETP\)|ETP) (\d+)", text(row, "notes"))
    tensor = number(row, "etp", float(etp.group(1)) if etp else 0.0)
    if not tensor:
        modern = software.startswith(("megatron-bridge", "automodel"))
        tensor = 1.0 if modern or ep * degrees["tp"] > dp * degrees["cp"] * degrees["tp"] else degrees["tp"]
    method = text(row, "vocab_method").lower()
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


def unfused(software: str, model: str, notes: str, assumed: list[str]) -> float:
    """Software before FlashAttention, and attention sinks before cuDNN fused them, write scores to memory."""
    sinks = "gpt-oss" in model.lower()
    if sinks and "cuDNN regression" in notes:
        assumed.append("a cuDNN regression is noted: attention sinks not fused")
    elif not (sinks and software in _SINKS_UNFUSED):
        return float(software in _UNFUSED)
    return 0.15


_SQUAD_TOKENS: Final = 250.0
"""Mean length of the SQuAD samples that NeMo's fine-tuning recipes pack into a sequence (context, question, answer)."""


def packed(row: Mapping[str, Any], software: str) -> float:
    """Length of the documents in a sequence, beyond which attention does not look. [tokens]"""
    tuned = re.search(r"\((LoRA|SFT)\)", text(row, "model_name"))
    return _SQUAD_TOKENS if tuned and software.startswith(("nemo", "megatron-bridge")) else np.inf


def gradient_bytes_of(software: str) -> float:
    """Megatron-Core and FSDP reduce in fp32; NeMo and Megatron-Bridge recipes, MLPerf and older fp16 runs in 2 bytes."""
    return (
        2.0
        if software.startswith(("nemo", "megatron-bridge", "mlperf", "jax", "fms", "internevo", "vtrain"))
        else 4.0
    )
