"""The shipped calibration of the training model, or one of the user's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
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
    """Fitted deviations by name, and the spread of left-out rows by how well a run is covered."""

    deviations: Mapping[str, float]
    spread: Mapping[str, float]
    fitted: Mapping[str, Any]

    def constants(self, key: Key) -> Constants:
        """Constants of one chip, precision and software family."""
        return constants_of(key, self.deviations)

    def interval(self, key: Key, moe: bool, accelerators: float) -> tuple[float, float]:
        """Factors on step time between which 80 % of left-out runs lay. [unitless]"""
        sd = self.spread["dense" if not moe else "moe"]
        if f"gemm.{key.chip}.{key.precision}" not in self.deviations:
            sd = max(sd, self.spread["new_chip"])
        if f"gemm.{key.software}" not in self.deviations:
            sd = max(sd, self.spread["new_software"])
        del accelerators
        return float(np.exp(-sd)), float(np.exp(sd))

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
        return cls(dict(loaded["deviations"]), dict(loaded["spread"]), dict(loaded.get("fitted", {})))


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
