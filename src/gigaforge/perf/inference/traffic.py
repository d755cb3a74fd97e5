"""What is asked of a serving system: lengths, load and latency targets; and the data sets that benchmarks use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from gigaforge.errors import InputError

__all__ = ["DATASETS", "Dataset", "Speculation", "Traffic"]


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

    """

    input_len: float
    output_len: float
    prefix_hit: float = 0.0
    ttft_s: float | None = None
    tpot_s: float | None = None
    percentile: str = "p99"
    concurrency: float | None = None
    rate: float | None = None
    offline: bool = False

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
    """Lengths of a benchmark's requests: mean and spread (coefficient of variation), and where they were read."""

    name: str
    input_len: float
    output_len: float
    input_spread: float
    output_spread: float
    source: str


_RULES: Final = "https://github.com/mlcommons/inference_policies/blob/master/inference_rules.adoc"
DATASETS: Final[tuple[Dataset, ...]] = (
    # Mean output lengths are the reference tokens per sample of the rules. Mean prompt lengths: assumption, from the
    # data sets' descriptions (OpenOrca kept to 1,024 tokens; CNN/DailyMail articles; LongBench, Ruler, GovReport).
    Dataset("llama2-70b", 294.0, 294.45, 0.9, 0.9, _RULES),
    Dataset("mixtral-8x7b", 280.0, 144.84, 0.9, 1.0, _RULES),
    Dataset("llama3.1-405b", 9428.0, 684.68, 0.8, 0.7, _RULES),
    Dataset("llama3.1-8b", 778.0, 128.0, 0.5, 0.05, _RULES),
    Dataset("gptj", 778.0, 69.0, 0.5, 0.3, _RULES),
    Dataset("deepseek-r1", 800.0, 3880.0, 1.2, 1.0, _RULES),
    Dataset("gpt-oss-120b", 1200.0, 1400.0, 1.0, 1.0, _RULES),
    Dataset("llama3.1-70b", 294.0, 294.45, 0.9, 0.9, _RULES),
)
"""MLPerf Inference data sets."""
