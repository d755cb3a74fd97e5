"""What is to be trained, and the ways to spread it: struct-of-arrays strategies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from gigaforge.errors import InputError
from gigaforge.perf.hardware import precision_family
from gigaforge.perf.training.constants import software_families, software_family
from gigaforge.perf.training.exchange import CONTEXT_MODES

__all__ = ["RECOMPUTE", "SCHEDULES", "SHARDING", "TrainingJob", "TrainingStrategies"]

RECOMPUTE: Final = ("none", "selective", "full")
"""Selective recomputes attention scores (cheap with fused attention); full keeps only each block's input."""
SHARDING: Final = ("none", "optimizer", "gradients", "full")
"""ZeRO stage 0 to 3; full is FSDP."""
SCHEDULES: Final = ("1f1b", "zero-bubble-1p", "zero-bubble-2p", "v-half")
"""With `virtual_pipeline` above one, 1f1b is interleaved."""


@dataclass(frozen=True)
class TrainingJob:
    """One training run as planned.

    Parameters
    ----------
    accelerators : int
        Accelerators that the run uses.
    global_batch : int
        Sequences per optimizer step.
    seq_len : int
        [tokens]
    precision : str
        Of the matrix multiplications: bf16, fp8, mxfp8, nvfp4.
    software : str
        Software family whose measured overheads apply (see `software_families`).
    expert_load : float
        Work of the fullest expert rank over the mean: 1 where routing is balanced. [unitless]

    Raises
    ------
    InputError
        A count or load below one, an unknown precision or unknown software.

    """

    accelerators: int
    global_batch: int
    seq_len: int
    precision: str = "bf16"
    software: str = "megatron-bridge"
    expert_load: float = 1.0

    def __post_init__(self) -> None:
        for field in ("accelerators", "global_batch", "seq_len", "expert_load"):
            value = getattr(self, field)
            if not value >= 1:
                raise InputError(f"{value!r} must be at least 1", field)
        precision_family(self.precision)
        known = software_families()
        if self.software not in known and software_family(self.software) == "other":
            raise InputError(f"{self.software!r} is not known; take one of {', '.join(known)}", "software")

    @property
    def tokens(self) -> int:
        """Tokens of one step."""
        return self.global_batch * self.seq_len


@dataclass(frozen=True)
class TrainingStrategies:
    """Strategies as arrays of one shape (any integer type); `recompute`, `sharding`, `schedule` and `context_mode` index
    their lists.

    `sharding_group` 0 shards over the whole data-parallel group, else over so many ranks (hybrid sharding).
    `expert_tensor_parallel` 0 takes `tensor_parallel`. `vocab_parallel` 1 spreads head and embedding over the pipeline. `recompute_share` is the share of the
    blocks (0 to 1) that recompute.
    """

    tensor_parallel: npt.NDArray[Any]
    pipeline_parallel: npt.NDArray[Any]
    virtual_pipeline: npt.NDArray[Any]
    context_parallel: npt.NDArray[Any]
    expert_parallel: npt.NDArray[Any]
    expert_tensor_parallel: npt.NDArray[Any]
    data_parallel: npt.NDArray[Any]
    micro_batch: npt.NDArray[Any]
    recompute: npt.NDArray[Any]
    recompute_share: npt.NDArray[Any]
    sharding: npt.NDArray[Any]
    sharding_group: npt.NDArray[Any]
    sequence_parallel: npt.NDArray[Any]
    schedule: npt.NDArray[Any]
    vocab_parallel: npt.NDArray[Any]
    context_mode: npt.NDArray[Any]

    @classmethod
    def of(cls, **columns: Any) -> Self:
        """Build from any of the columns; the rest are 1 (degrees), 0 (choices) or optimizer sharding.

        >>> TrainingStrategies.of(tensor_parallel=[1, 2], data_parallel=[8, 4]).size
        2
        """
        default = {
            "recompute": 0,
            "recompute_share": 1.0,
            "sharding": 1,
            "sharding_group": 0,
            "schedule": 0,
            "vocab_parallel": 0,
            "context_mode": 0,
            "expert_tensor_parallel": 0,
        }
        unknown = set(columns) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"unknown strategy columns {sorted(unknown)}", "strategies")
        given = {f.name: np.atleast_1d(columns.get(f.name, default.get(f.name, 1))) for f in fields(cls)}
        arrays = np.broadcast_arrays(*given.values())
        return cls(**dict(zip(given, arrays, strict=True)))

    @property
    def size(self) -> int:
        """How many."""
        return int(self.tensor_parallel.size)

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """All arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def take(self, index: Any) -> Self:
        """Some of them (NumPy indexing)."""
        return type(self)(**{k: v[index] for k, v in self.columns().items()})

    @classmethod
    def concatenate(cls, several: Iterable[TrainingStrategies]) -> Self:
        """One after the other."""
        parts = list(several)
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def row(self, i: int) -> dict[str, int | float | str | bool]:
        """One strategy in words."""
        out: dict[str, int | float | str | bool] = {k: int(v[i]) for k, v in self.columns().items()}
        out["recompute_share"] = float(self.recompute_share[i]) if out["recompute"] else 0.0
        for name, words in _WORDS.items():
            out[name] = words[int(out[name])]
        out["sequence_parallel"] = bool(out["sequence_parallel"])
        out["vocab_parallel"] = bool(out["vocab_parallel"])
        if not out["expert_tensor_parallel"]:
            out["expert_tensor_parallel"] = out["tensor_parallel"]
        return out


_WORDS: Final = {
    "recompute": RECOMPUTE, "sharding": SHARDING, "schedule": SCHEDULES, "context_mode": CONTEXT_MODES,
}  # fmt: skip
