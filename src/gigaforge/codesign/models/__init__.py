"""The model roadmap: which model to train for a loss, a cost or a compute, by published scaling laws at a plan's prices."""

from __future__ import annotations

from gigaforge.codesign.models.choose import Choice, Curve, Target, choose, curve, tokens_for_loss
from gigaforge.codesign.models.laws import LAWS, Law, Power, law, optimal_tokens_llama3
from gigaforge.codesign.models.running import ModelCosts, Running
from gigaforge.codesign.models.shapes import EXPANSIONS, shape

__all__ = [
    "EXPANSIONS", "LAWS", "Choice", "Curve", "Law", "ModelCosts", "Power", "Running", "Target", "choose", "curve", "law",
    "optimal_tokens_llama3", "shape", "tokens_for_loss",
]  # fmt: skip
