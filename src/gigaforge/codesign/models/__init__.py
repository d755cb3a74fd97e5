"""The model roadmap: which model to train for a loss, a cost or a compute, by published scaling laws at a plan's prices."""

from __future__ import annotations

from gigaforge.codesign.models.answer import Choice, Curve, Target, iso_loss_rows
from gigaforge.codesign.models.choose import MOST_TOKENS, choose, curve, tokens_for_loss
from gigaforge.codesign.models.laws import LAWS, Law, Power, law, optimal_tokens_llama3
from gigaforge.codesign.models.life import Lifetime
from gigaforge.codesign.models.running import ModelCosts, Running
from gigaforge.codesign.models.shapes import EXPANSIONS, shape

__all__ = [
    "EXPANSIONS", "LAWS", "MOST_TOKENS", "Choice", "Curve", "Law", "Lifetime", "ModelCosts", "Power", "Running", "Target", "choose", "curve", "iso_loss_rows", "law",
    "optimal_tokens_llama3", "shape", "tokens_for_loss",
]  # fmt: skip
