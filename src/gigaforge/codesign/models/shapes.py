"""An architecture of a given size: whole layers and heads in the proportions of published models.

References
----------
.. [1] Llama 3 (https://arxiv.org/abs/2407.21783, table 3): width over layers 128, heads of 128, eight key-value heads,
   feed-forward 3.25-3.5 times the width, vocabulary 128,000.
.. [2] DeepSeek-V3 (https://arxiv.org/abs/2412.19437, section 4.2): width 7,168, 61 layers, 256 experts of width 2,048, eight
   for a token and one shared; Qwen3-235B (https://arxiv.org/abs/2505.09388): 128 experts, eight for a token.

"""

from __future__ import annotations

from typing import Final

import numpy as np

from gigaforge.catalog.schema import Model
from gigaforge.errors import InputError

__all__ = ["CONTEXT", "DENSE_WIDTHS", "EXPANSIONS", "granularity_of", "shape", "shaped_granularity"]

_HEAD: Final = 128
_ASPECT: Final = 128.0
"""Width over layers [1]_; mixtures are a little shallower."""
_WIDTHS: Final = np.concatenate([np.arange(1024, 4096, 512), np.arange(4096, 262145, 1024)])
"""Widths whose heads divide over four tensor-parallel ranks, large ones over eight."""
_VOCAB: Final = 128256
_USED: Final = 8
"""Experts for a token [2]_."""
DENSE_WIDTHS: Final = 3.5
"""Width of a dense block's feed-forward part over that of the model [1]."""
CONTEXT: Final = 131072
"""Longest sequence where nothing says how long requests are [token]: what Llama 3 and DeepSeek-V3 hold."""
EXPANSIONS: Final = (1, 2, 4, 8, 16, 32)
"""Experts held over experts used, as the joint law was fitted; eight are used, so 256 experts at most, as DeepSeek-V3 has."""


def shape(name: str, active: float, experts: int = 1, *, context: int = CONTEXT) -> Model:
    """An architecture with about so many active parameters.

    Parameters
    ----------
    name : str
        Of the catalogue entry.
    active : float
        Parameters that a token passes through, output embedding included.
    experts : int
        Expansion: experts held over experts used (1: dense).
    context : int
        Longest sequence [token].

    Raises
    ------
    InputError
        Fewer than 2·10^8 active parameters or more than 10^14, or an expansion that is not a power of two up to 64.

    """
    if not 2e8 <= active <= 1e14:
        raise InputError(f"{active:.3g} active parameters; 2e8 to 1e14 can be shaped", "active")
    if experts not in (*EXPANSIONS, 64):
        raise InputError(f"an expansion of {experts}; known: {', '.join(map(str, (*EXPANSIONS, 64)))}", "experts")
    width, layers = _width(active)
    ff = _feed_forward(active, width, layers)
    common = {
        "name": name, "label": name, "assumption": "shaped in the proportions of Llama 3 and DeepSeek-V3", "layers": layers,
        "d_model": width, "heads": width // _HEAD, "kv_heads": 8 if width // _HEAD % 8 == 0 else 4, "head_dim": _HEAD, "vocab": _VOCAB,
        "max_context": context, "status": "assumption",
    }  # fmt: skip
    if experts == 1:
        return Model.model_validate({**common, "family": "dense", "d_ff": ff})
    # Eight of the experts and the shared one do the work of one dense block.
    each = max(round(ff / (_USED + 1) / 128), 1) * 128
    return Model.model_validate(
        {
            **common, "family": "moe", "d_ff": ff, "experts": _USED * experts, "experts_per_token": _USED,
            "shared_experts": 1, "expert_d_ff": each,
        }
    )  # fmt: skip


def shaped_granularity(experts: float) -> float:
    """How many experts of a shaped mixture make up a dense block's width: those at work, the shared one among them; 1 if dense."""
    return float(_USED + 1) if experts > 1 else 1.0


def granularity_of(model: Model) -> float:
    """The same of a catalogue model: `DENSE_WIDTHS` times its width over the width of an expert."""
    return DENSE_WIDTHS * model.d_model / model.expert_d_ff if model.family == "moe" and model.expert_d_ff else 1.0


def _per_layer(width: float) -> float:
    """Attention of a layer: queries and output, and eight heads of keys and values."""
    return 2.0 * width * width + 2.0 * width * min(8 * _HEAD, width)


def _width(active: float) -> tuple[int, int]:
    """Width and layers whose blocks with a feed-forward of 3.5 widths come nearest."""
    widths = _WIDTHS
    layers = np.maximum(np.round(widths / _ASPECT / 4) * 4, 4)
    layers = np.where(widths > 16384, layers**0.75 * 128.0**0.25 // 4 * 4, layers)
    sizes = (
        layers * (2.0 * widths**2 + 2.0 * widths * np.minimum(1024, widths) + 3.0 * DENSE_WIDTHS * widths**2)
        + _VOCAB * widths
    )
    best = int(np.argmin(np.abs(np.log(sizes / active))))
    return int(widths[best]), int(layers[best])


def _feed_forward(active: float, width: int, layers: int) -> int:
    """Hidden width that makes up the rest, in multiples of 256."""
    rest = (active - _VOCAB * width) / layers - _per_layer(width)
    return int(np.clip(round(rest / (3.0 * width) / 256), 1, 64 * width // 256)) * 256
