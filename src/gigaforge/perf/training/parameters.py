"""The shipped calibration of the training model, or one of the user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.training.constants import Constants, Key, constants_of, software_family

__all__ = ["TrainingParameters", "key_of", "shipped"]

_NEAREST: Mapping[str, str] = {
    # A generation that nobody has trained on takes the deviations of the last one that was.
    "rubin": "blackwell ultra",
    "rubin ultra": "blackwell ultra",
    "feynman": "blackwell ultra",
}


@dataclass(frozen=True)
class TrainingParameters:
    """A calibration.

    Parameters
    ----------
    deviations : mapping
        Fitted deviations by name (see `gigaforge.perf.training.constants`).
    spread : mapping
        Half-width in log of the 80 % interval, by kind of run.
    fitted : mapping
        Facts about the fit: rows, errors.
    uncertainty : mapping
        Standard deviation of each deviation.
    folds, fold_of_group : list of mapping, mapping
        Deviations fitted without each fold, and the fold of every (source, model) group: a row of a known group is
        validated by constants that never saw it.

    """

    deviations: Mapping[str, float]
    spread: Mapping[str, float]
    fitted: Mapping[str, Any] = field(default_factory=dict)
    uncertainty: Mapping[str, float] = field(default_factory=dict)
    folds: Sequence[Mapping[str, float]] = ()
    fold_of_group: Mapping[str, int] = field(default_factory=dict)

    def constants(self, key: Key) -> Constants:
        """Constants of one chip, precision and software family."""
        return constants_of(key, self.deviations)

    def left_out(self, group: tuple[str, str]) -> Mapping[str, float] | None:
        """Deviations fitted without a group's fold; none if the fit never saw the group."""
        fold = self.fold_of_group.get("|".join(group))
        return None if fold is None or fold >= len(self.folds) else self.folds[fold]

    def interval(self, key: Key, moe: bool) -> tuple[float, float]:
        """Factors on step time between which 80 % of left-out runs lay. [unitless]"""
        kind = "moe" if moe else "dense"
        group = {"mxfp8": "fp8"}.get(key.precision, key.precision)
        width = self.spread.get(f"{kind}-{group}", self.spread[kind])
        if not any(name.startswith(f"gemm.{key.chip}.") for name in self.deviations):
            width = max(width, self.spread["new_chip"])
        if f"launch.{key.software}" not in self.deviations:
            width = max(width, self.spread["new_software"])
        return float(np.exp(-width)), float(np.exp(width))

    @classmethod
    def read(cls, path: Path) -> Self:
        """A file that `gigaforge calibrate training` wrote.

        Raises
        ------
        InputError
            Not such a file.

        """
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"not a parameter file of `gigaforge calibrate training` ({error})", str(path)) from None

    @classmethod
    def parse(cls, loaded: Mapping[str, Any]) -> Self:
        """From the file's content."""
        names = loaded.get("names", [])
        return cls(
            deviations=dict(loaded["deviations"]),
            spread=dict(loaded["spread"]),
            fitted=dict(loaded.get("fitted", {})),
            uncertainty=dict(loaded.get("uncertainty", {})),
            folds=[dict(zip(names, row, strict=True)) for row in loaded.get("folds", [])],
            fold_of_group=dict(loaded.get("fold_of_group", {})),
        )

    def text(self) -> str:
        """The file's content; small deviations are dropped, the rest rounded well below their uncertainty."""
        names = sorted({n for f in self.folds for n, v in f.items() if abs(v) >= _SMALL})
        content = {
            "about": "Deviations of the training model's constants from their defaults, written by "
            "`gigaforge calibrate training`. folds: the same fitted without each tenth of the (source, model) groups.",
            "fitted": dict(self.fitted),
            "spread": {k: round(v, 4) for k, v in self.spread.items()},
            "deviations": {k: round(v, 4) for k, v in sorted(self.deviations.items())},
            "uncertainty": {k: round(v, 3) for k, v in sorted(self.uncertainty.items())},
            "fold_of_group": dict(sorted(self.fold_of_group.items())),
            "names": names,
            "folds": [[round(f.get(n, 0.0), 3) for n in names] for f in self.folds],
        }
        return json.dumps(content, separators=(",", ":")).replace('},"', '},\n"').replace("],[", "],\n[") + "\n"


_SMALL = 5e-4


@cache
def shipped() -> TrainingParameters:
    """What the product carries: the output of `gigaforge calibrate training` on the shipped runs."""
    text = (files("gigaforge.perf") / "data" / "training.json").read_text(encoding="utf-8")
    return TrainingParameters.parse(json.loads(text))


def key_of(hardware: Hardware, precision: str, software: str) -> Key:
    """What the constants of this job depend on."""
    generation = _NEAREST.get(hardware.generation, hardware.generation)
    known = {"fp16": "bf16", "mxfp4": "nvfp4", "fp4": "nvfp4", "fp8_block": "mxfp8", "int8": "fp8"}
    family = {"megatron-bridge": "megatron-bridge-2606"}.get(software, software_family(software))
    return Key(hardware.chip, generation, known.get(precision, precision), family)
