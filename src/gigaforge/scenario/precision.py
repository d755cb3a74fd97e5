"""In which precisions work may run: the narrowest that its quality allows and every wider one, or exactly those named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from gigaforge.errors import did_you_mean

__all__ = ["SERVING_PRECISIONS", "TRAINING_PRECISIONS", "ServingPrecision", "TrainingPrecision", "precisions_of"]

_BITS: Final = {
    "fp4": 4, "nvfp4": 4, "mxfp4": 4, "int4": 4,
    "fp8": 8, "fp8_block": 8, "mxfp8": 8, "w8a16": 8,
    "bf16": 16, "fp16": 16,
}  # fmt: skip
"""Of a weight, its scales not counted."""
_WIDER: Final = ("fp8", "bf16")
"""What a search tries beyond the precision that is stated: those of more bits."""
_SAME: Final = {"fp4": "nvfp4"}
"""Names for one format: fp4 that a chip computes in."""

SERVING_PRECISIONS: Final = tuple(_BITS)
TRAINING_PRECISIONS: Final = ("fp4", "nvfp4", "fp8", "mxfp8", "bf16", "fp16")


def precisions_of(asked: str | Sequence[str]) -> tuple[str, ...]:
    """Formats that a workload or run may take, narrowest first.

    Parameters
    ----------
    asked : str or sequence of str
        A scenario's ``precision``. A string is the narrowest that quality allows: it, and fp8 and bf16 where they are wider. A
        list is exactly these.

    """
    names = [asked, *(p for p in _WIDER if _BITS[p] > _BITS[asked])] if isinstance(asked, str) else asked
    return tuple(dict.fromkeys(_SAME.get(p, p) for p in sorted(names, key=lambda p: _BITS[p])))


def _reader(known: Sequence[str]) -> Callable[[Any], str | tuple[str, ...]]:
    """Takes a known name or a list of them; `ValueError` names the known ones."""

    def read(value: Any) -> str | tuple[str, ...]:
        several = isinstance(value, list | tuple)
        names = list(value) if several else [value]
        if not names:
            raise ValueError(f"is an empty list; name at least one of {', '.join(known)}")
        for name in names:
            if name not in known:
                hint = did_you_mean(str(name), known)
                raise ValueError(f"{name!r} is no precision that is modelled here; known: {', '.join(known)}{hint}")
        return tuple(names) if several else str(value)

    return read


def _schema(known: Sequence[str]) -> WithJsonSchema:
    one = {"type": "string", "enum": list(known)}
    return WithJsonSchema({"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]})


ServingPrecision = Annotated[
    str | tuple[str, ...], BeforeValidator(_reader(SERVING_PRECISIONS)), _schema(SERVING_PRECISIONS)
]
TrainingPrecision = Annotated[
    str | tuple[str, ...], BeforeValidator(_reader(TRAINING_PRECISIONS)), _schema(TRAINING_PRECISIONS)
]
