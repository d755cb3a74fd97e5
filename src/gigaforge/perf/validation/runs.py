"""Read measured training runs: published tables, or a user's own with only the needed columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from gigaforge.errors import InputError
from gigaforge.perf.training.constants import Key, software_family
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.transformer import Transformer
from gigaforge.perf.validation.row_cells import UnpredictableError, blank, degree, match, number, text
from gigaforge.perf.validation.row_layouts import batch_of, gradient_bytes_of, packed, strategy_of, unfused
from gigaforge.perf.validation.row_machines import chip_of, machine_of, precision_of
from gigaforge.perf.validation.row_models import transformer_of

__all__ = ["NEEDED", "Run", "UnpredictableError", "read_runs", "run_of"]

NEEDED: Final = ("seq_len", "global_batch_sequences", "gpu", "n_gpus", "precision")


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


def run_of(row: Mapping[str, Any], identifier: str) -> Run:
    """Understand one row, or raise `UnpredictableError`."""
    assumed: list[str] = []
    habit = match("measured_models", "habits", text(row, "source"))
    transformer = transformer_of(row, assumed)
    chip = chip_of(row)
    gpus = number(row, "n_gpus")
    if gpus != round(gpus):
        raise UnpredictableError(f"n_gpus is {gpus:g}, not a whole number")
    seq_len = number(row, "seq_len")
    precision = precision_of(row, habit, assumed)
    software = str(habit.get("software") or software_family(text(row, "software")))
    machine = machine_of(row, chip, precision, gpus)
    degrees = {name: degree(row, name) for name in ("tp", "pp", "cp", "ep")}
    model_ranks = degrees["tp"] * degrees["pp"] * degrees["cp"]
    if gpus % model_ranks:
        raise UnpredictableError(f"tp x pp x cp = {model_ranks:g} does not divide n_gpus = {gpus:g}")
    _refuse_degrees(transformer, degrees, guessed=any("heads of width" in a for a in assumed))
    dp = gpus / model_ranks
    printed_dp = number(row, "dp", dp)
    if abs(printed_dp - dp) > 0.5 and not blank(row.get("dp")):
        assumed.append(f"dp {printed_dp:g} printed, {dp:g} taken (n_gpus / (tp x pp x cp))")
    batch, micro = batch_of(row, dp, assumed)
    strategy = strategy_of(row, habit, software, degrees, dp, batch, micro, transformer, assumed)
    step, tokens = measured_of(row, batch, seq_len, gpus)
    frozen = bool(_LORA.search(text(row, "model_name")) or _LORA.search(text(row, "notes")))
    key = Key(chip["chip"], chip["generation"], precision, software)
    memory = number(row, "peak_memory_gb", np.nan) * 2**30
    return Run(
        identifier=identifier,
        row=row,
        transformer=transformer,
        machine=machine,
        key=key,
        strategy=strategy,
        global_batch=batch,
        seq_len=seq_len,
        gradient_bytes=gradient_bytes_of(software),
        trainable=0.0 if frozen else 1.0,
        unfused=unfused(software, transformer.name, text(row, "notes"), assumed),
        document_len=number(row, "document_len", packed(row, software)),
        recompute_known=not blank(row.get("recompute")),
        measured_tokens=tokens,
        measured_step_s=step,
        measured_memory=memory,
        assumed=tuple(assumed),
    )


def _refuse_degrees(t: Transformer, degrees: Mapping[str, float], *, guessed: bool) -> None:
    """Raise `UnpredictableError` for degrees that the architecture cannot be cut into; names column and value.

    Heads that were `guessed` cannot speak against a run that was measured.
    """
    tp, pp, ep = (degrees[k] for k in ("tp", "pp", "ep"))
    if float(t.heads) % tp and not guessed:
        raise UnpredictableError(f"tp is {tp:g}, which does not divide the model's {float(t.heads):g} heads")
    # Embedding, last norm, head, cast and loss may each be a stage of their own (nanotron).
    if pp > float(t.layers) + 5:
        raise UnpredictableError(f"pp is {pp:g}, more than the model's {float(t.layers):g} layers")
    if float(t.experts) and float(t.experts) % ep:
        raise UnpredictableError(f"ep is {ep:g}, which does not divide the model's {float(t.experts):g} experts")


_LORA: Final = re.compile(r"\blora\b", re.IGNORECASE)
"""The fine-tuning method as a word of its own: the rank of latent attention (kv_lora) is none."""


def measured_of(row: Mapping[str, Any], batch: float, seq_len: float, gpus: float) -> tuple[float, float]:
    """Step time and throughput per accelerator. [s], [tokens/s]"""
    tokens = number(row, "tokens_per_s_per_gpu", 0.0)
    step = number(row, "step_time_s", 0.0)
    if not tokens and not step:
        raise UnpredictableError("neither step_time_s nor tokens_per_s_per_gpu is given")
    tokens = tokens or batch * seq_len / step / gpus
    return batch * seq_len / gpus / tokens, tokens
