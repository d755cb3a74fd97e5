"""Which of the precisions that work allows a machine runs, and what to say of one that has none of them."""

from __future__ import annotations

from collections.abc import Sequence

from gigaforge.errors import NoAnswerError
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.kernels import PRECISIONS
from gigaforge.scenario.precision import precisions_of

__all__ = ["serving_precisions", "spoken", "training_precisions"]

_PACKED = "mxfp4"
"""How a chip without fp4 arithmetic serves a model of four bits: weights stay packed in memory, arithmetic is in bf16. Measured on
H100 and H200 (gpt-oss-120b); weights of eight bits unpacked alike were not, so those are run only where they are asked for."""


def serving_precisions(hardware: Hardware, asked: str | Sequence[str]) -> tuple[str, ...]:
    """Formats in which a machine serves, narrowest first: it has their arithmetic, or unpacks their weights.

    Parameters
    ----------
    hardware : Hardware
        The machine.
    asked : str or sequence of str
        A scenario's ``precision``; see `gigaforge.scenario.precision.precisions_of`. Where a string asks for fp4 and the machine
        lacks its arithmetic, weights of four bits are unpacked to bf16 ("mxfp4"), as serving stacks do.

    Raises
    ------
    NoAnswerError
        It runs none of them; the message follows the machine's name.

    """
    allowed = precisions_of(asked)
    if isinstance(asked, str) and allowed[0] == "nvfp4" and not hardware.supports("nvfp4"):
        allowed = (_PACKED, *allowed[1:])
    return _those_with(hardware, allowed, [p for p in allowed if PRECISIONS[p].weight_only])


def training_precisions(hardware: Hardware, asked: str | Sequence[str]) -> tuple[str, ...]:
    """Formats in which a machine trains, narrowest first: it has their arithmetic; parameters and errors as `serving_precisions`."""
    return _those_with(hardware, precisions_of(asked))


def _those_with(hardware: Hardware, allowed: Sequence[str], unpacked: Sequence[str] = ()) -> tuple[str, ...]:
    found = tuple(p for p in allowed if p in unpacked or hardware.supports(p))
    if not found:
        has = spoken(tuple(hardware.peak_flop_s), "and")
        raise NoAnswerError(f"it computes in {has}, and precision allows {spoken(allowed)} only")
    return found


def spoken(words: Sequence[str], last: str = "or") -> str:
    """``"nvfp4, fp8 or bf16"``."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)
