"""What is asked of a serving system: lengths, load and latency targets; and the data sets that benchmarks use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gigaforge.errors import InputError
from gigaforge.perf.arrays import Array

__all__ = ["DATASETS", "RUN_S", "Dataset", "Speculation", "Traffic", "dataset_of", "run_share"]

RUN_S: Final = 600.0
"""Shortest run of MLPerf's loads (https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc): after it
the longest answers drain with a shrinking batch, and the rate counts that time."""
_DRAIN: Final = (0.5, 0.2)
"""Mean time per token while draining over the one under load, under a latency target and offline (assumption: offline a step
soon costs a fifth as the batch shrinks; a server that was never full gains less, and its first answers come late)."""


def run_share(longest: Array, tpot_s: Array, targeted: Array) -> Any:
    """Rate of a benchmark's run over the steady one: the longest answers [token] drain after `RUN_S`. [unitless]"""
    return RUN_S / (RUN_S + np.where(targeted, *_DRAIN) * longest * tpot_s)


@dataclass(frozen=True)
class Speculation:
    """Multi-token prediction or a draft model.

    Attributes
    ----------
    draft_tokens : int
        Tokens drafted per step (0: none).
    acceptance : float
        Probability that a drafted token is accepted, given the ones before were. [unitless]
    draft_cost : float
        Time of drafting one token over a step of the main model (an MTP layer of 61: about 0.03). [unitless]

    """

    draft_tokens: int = 0
    acceptance: float = 0.8
    draft_cost: float = 0.04

    def __post_init__(self) -> None:
        if self.draft_tokens < 0 or not 0.0 <= self.acceptance <= 1.0 or self.draft_cost < 0:
            raise InputError(
                f"{self.draft_tokens} draft tokens at acceptance {self.acceptance}; acceptance lies in 0..1",
                "speculation",
            )

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens kept per step: 1 + a + a² + ... + a^k (https://arxiv.org/abs/2211.17192, eq. 1)."""
        return float(sum(self.acceptance**i for i in range(self.draft_tokens + 1)))


@dataclass(frozen=True)
class Traffic:
    """Requests: their lengths, how many, and what latency they want.

    Attributes
    ----------
    input_len, output_len : float
        Mean tokens of a prompt and of an answer.
    prefix_hit : float
        Share of the prompt found in the prefix cache. [unitless]
    output_spread : float
        Standard deviation of answer lengths over their mean. [unitless]
    ttft_s, tpot_s : float or None
        Targets on `percentile`: time to first token, time per output token. [s]
    percentile : {"mean", "p99"}
        What the targets bind.
    concurrency : float or None
        Closed loop: requests always in flight on the whole system.
    rate : float or None
        Open loop: requests per second on the whole system.
    offline : bool
        No latency target at all: the largest throughput.
    longest : float
        Tokens of the longest answer of a benchmark whose run is short (`RUN_S`): its rate counts the time in which these
        drain. Zero: steady state.

    """

    input_len: float
    output_len: float
    prefix_hit: float = 0.0
    output_spread: float = 0.0
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: str = "p99"
    concurrency: float | None = None
    rate: float | None = None
    offline: bool = False
    longest: float = 0.0

    def __post_init__(self) -> None:
        for field in ("input_len", "output_len"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 1):
                raise InputError(f"{value} tokens; at least 1 is needed", f"traffic.{field}")
        if not 0.0 <= self.prefix_hit < 1.0:
            raise InputError(f"{self.prefix_hit}; a share from 0 up to but not 1 is expected", "traffic.prefix_hit")
        for field in ("ttft_s", "tpot_s", "concurrency", "rate"):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{value}; a positive number is expected", f"traffic.{field}")
        if self.concurrency is not None and self.concurrency < 1:
            raise InputError(f"{self.concurrency}; at least one request in flight is expected", "traffic.concurrency")
        if not 0.0 <= self.output_spread <= 10.0:
            raise InputError(f"{self.output_spread}; a ratio from 0 to 10 is expected", "traffic.output_spread")
        if self.percentile not in ("mean", "p99"):
            raise InputError(f"{self.percentile!r}; mean or p99 is expected", "traffic.percentile")
        if self.concurrency is not None and self.rate is not None:
            raise InputError("give a concurrency (closed loop) or a rate (open loop), not both", "traffic")

    def check_context(self, max_context: int, model: str) -> None:
        """Refuse a request that the model's context cannot hold.

        Raises
        ------
        InputError
            Prompt and answer together are longer than the context.

        """
        if self.input_len + self.output_len > max_context:
            raise InputError(
                f"prompt and answer take {self.input_len + self.output_len:,.0f} tokens, but {model} holds"
                f" {max_context:,}; shorten one of them",
                "traffic.output_len",
            )


@dataclass(frozen=True)
class Dataset:
    """Requests of a benchmark: mean lengths [token], spread (standard deviation over mean), p99 targets, longest answer.

    Attributes
    ----------
    pattern : str
        Regular expression that finds the benchmark in a lower-case model name.
    targets : mapping of scenario to (TTFT, TPOT)
        p99. [s]

    """

    name: str
    pattern: str
    input_len: float
    output_len: float
    input_spread: float
    output_spread: float
    targets: Mapping[str, tuple[float, float]]
    longest: float
    source: str


_RULES: Final = "https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc"
_BLOG: Final = "https://mlcommons.org/2025/04/llm-inference-v5"
DATASETS: Final[tuple[Dataset, ...]] = (
    # Output lengths: reference tokens per sample of the rules [_RULES]; targets: p99 limits of the same rules. Input
    # lengths: 405B and DeepSeek-R1 as MLCommons' announcements state them (9,400; 800); the others are assumptions from the
    # data sets (OpenOrca prompts kept below 1,024 tokens; CNN/DailyMail articles). Spreads: assumption, broad.
    Dataset(
        "llama2-70b",
        r"llama-?2.*70b",
        294.0,
        294.45,
        0.9,
        0.9,
        {"server": (2.0, 0.2), "interactive": (0.45, 0.04)},
        1024.0,
        _RULES,
    ),
    Dataset("mixtral-8x7b", r"mixtral.*8x7b", 280.0, 144.84, 0.9, 1.0, {"server": (2.0, 0.2)}, 1024.0, _RULES),
    Dataset(
        "llama3.1-405b",
        r"llama.*405b",
        9400.0,
        684.68,
        0.8,
        0.7,
        {"server": (6.0, 0.175), "interactive": (4.5, 0.08)},
        2000.0,
        _BLOG,
    ),
    Dataset(
        "llama3.1-8b",
        r"llama-?3\.1-?8b",
        778.0,
        128.0,
        0.5,
        0.05,
        {"server": (2.0, 0.1), "interactive": (0.5, 0.03)},
        128.0,
        _RULES,
    ),
    Dataset("gpt-j", r"gpt-?j", 778.0, 69.0, 0.5, 0.3, {"server": (20.0, math.inf)}, 128.0, _RULES),
    Dataset(
        "deepseek-r1",
        r"deepseek",
        800.0,
        3880.0,
        1.2,
        1.0,
        {"server": (2.0, 0.08), "interactive": (1.5, 0.015)},
        20000.0,
        _RULES,
    ),
    Dataset(
        "gpt-oss-120b",
        r"gpt-?oss",
        1200.0,
        1400.0,
        1.0,
        1.0,
        {"server": (3.0, 0.08), "interactive": (2.0, 0.02)},
        10240.0,
        _RULES,
    ),
)
"""MLPerf Inference data sets."""


def dataset_of(model: str) -> Dataset | None:
    """The MLPerf data set that a model is measured with, by its printed name."""
    text = model.lower()
    return next((d for d in DATASETS if re.search(d.pattern, text)), None)
