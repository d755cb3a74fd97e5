"""The model roadmap: which model to train for a loss, a cost or a compute, by published scaling laws at a plan's prices."""

from __future__ import annotations

from gigaforge.codesign.models.answer import Choice, Curve, Target, iso_loss_rows
from gigaforge.codesign.models.choose import MOST_TOKENS, choose, curve, tokens_for_loss
from gigaforge.codesign.models.contexts import CONTEXT_LAW, CONTEXTS, ContextLaw, Requests
from gigaforge.codesign.models.laws import LAWS, Law, Power, law, optimal_tokens_llama3
from gigaforge.codesign.models.life import Lifetime
from gigaforge.codesign.models.running import ModelCosts, Running
from gigaforge.codesign.models.shapes import EXPANSIONS, shape
from gigaforge.codesign.models.windows import LifeWindow, Window, window_of, windows_of

__all__ = [
    "CONTEXTS", "CONTEXT_LAW", "EXPANSIONS", "LAWS", "MOST_TOKENS", "Choice", "ContextLaw", "Curve", "Law", "LifeWindow", "Lifetime",
    "ModelCosts", "Power", "Requests", "Running", "Target", "Window", "choose", "curve", "iso_loss_rows", "law", "optimal_tokens_llama3",
    "shape", "tokens_for_loss", "window_of", "windows_of",
]  # fmt: skip
