"""The check against history: from 2020's work, prices and technology limits, which accelerator should come next?

Nothing here is fitted to the accelerator that came (H100, 2022): kernel efficiencies are A100's, process gains are those
TSMC gave in 2020, memory and power limits are HBM3's and 700 W. docs/hardware-roadmap.md discusses the outcome.

References
----------
.. [1] T. Brown et al., Language Models are Few-Shot Learners (2020), https://arxiv.org/abs/2005.14165, table 2.1.
.. [2] J. Devlin et al., BERT (2018), https://arxiv.org/abs/1810.04805; MLPerf Inference v0.7 serves BERT-large on SQuAD at
   384 tokens within 130 ms, https://arxiv.org/abs/1911.02549.
.. [3] A. Radford et al., Language Models are Unsupervised Multitask Learners (2019), GPT-2 XL:
   https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf.
.. [4] C. Raffel et al., Exploring the Limits of Transfer Learning (2019), T5-11B: https://arxiv.org/abs/1910.10683.
.. [5] D. Patterson et al., The Carbon Footprint of Machine Learning Training Will Plateau, Then Shrink (2022),
   https://arxiv.org/abs/2204.05149: of Google's ML energy 2019-2021, three fifths is inference.

"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gigaforge.codesign.hardware.design import Designs, design_of
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.hardware.evolve import Evolution, evolve
from gigaforge.codesign.hardware.score import Limits, Question, Scorer
from gigaforge.codesign.hardware.technologies import technology
from gigaforge.codesign.hardware.technology import Technology
from gigaforge.codesign.hardware.work import ServingWork, TrainingWork, Work
from gigaforge.perf.hardware import Hardware
from gigaforge.perf.inference import Traffic
from gigaforge.perf.transformer import Transformer

__all__ = ["RATIOS", "Retrodiction", "question_of_2020", "ratios", "retrodict"]

RATIOS: Final = {
    "flop_per_hbm_byte": "dense bf16 FLOP per byte of HBM bandwidth",
    "hbm_byte_per_flop_s": "HBM bytes per FLOP/s",
    "nvlink_per_hbm": "NVLink over HBM bandwidth",
}

ECONOMICS_OF_2020: Final = Economics.market(
    # Four years straight and a tenth for money and upkeep; $120-150/kW-month of leased IT power (CBRE, H2 2020,
    # https://www.cbre.com/insights/books/us-data-center-trends-2020); 7 ¢/kWh industrial (EIA) at PUE 1.4.
    capital_per_year=0.35,
    watt_usd_per_year=1.6,
    joule_usd=0.07 / 3.6e6 * 1.4,
    source="2020's leases and electricity",
)
TRAINING_SHARE: Final = 0.4
"""Of what is spent on accelerators [5]_."""


def ratios(designs: Designs, i: int = 0) -> dict[str, float]:
    """What a design's balance is, by the names of `RATIOS`."""
    r = designs.row(i)
    return {
        "flop_per_hbm_byte": r["bf16_flop_s"] / r["hbm_bandwidth_bytes_s"],
        "hbm_byte_per_flop_s": r["hbm_bytes"] / r["bf16_flop_s"],
        "nvlink_per_hbm": r["scale_up_bytes_s"] / r["hbm_bandwidth_bytes_s"],
    }


def _gpt(name: str, layers: int, width: int, heads: int, inner: int, vocab: int, *, head: int = 0) -> Transformer:
    """A transformer of its time: full attention, two matrices a feed-forward block, learned positions."""
    return Transformer(
        name=name, layers=layers, d_model=width, heads=heads, kv_heads=heads, head_dim=head or width // heads,
        d_ff=inner, vocab=vocab, attention_layers=layers, dense_layers=layers, ff_matrices=2, tied_embeddings=1,
    )  # fmt: skip


def works_of_2020() -> list[Work]:
    """GPT-3-class training [1]_, and serving of BERT-large [2]_, GPT-2 XL [3]_ and T5-11B [4]_, in 16-bit floats.

    T5 is stated as a decoder with its encoder's and decoder's blocks. Latency of answers: 50 ms a token, faster than people
    read (assumption).
    """
    bert = _gpt("bert-large", 24, 1024, 16, 4096, 30522)
    gpt2 = _gpt("gpt2-xl", 48, 1600, 25, 6400, 50257)
    t5 = _gpt("t5-11b", 48, 1024, 128, 65536, 32128, head=128)
    gpt3 = _gpt("gpt3-175b", 96, 12288, 96, 49152, 50257)

    def answer(prompt: float, length: float) -> Traffic:
        return Traffic(prompt, length, ttft_s=1.0, tpot_s=0.05, percentile="mean")

    return [
        TrainingWork("GPT-3 training", gpt3, 1024, 3.2e6, 2048, "bf16"),
        ServingWork(
            "BERT-large", bert, Traffic(384, 1, ttft_s=0.13, percentile="mean"), "prefill", "bf16"
        ),
        ServingWork("GPT-2 XL", gpt2, answer(256, 256), "serve", "bf16"),
        ServingWork("T5-11B", t5, answer(512, 128), "serve", "bf16"),
    ]  # fmt: skip


def question_of_2020(
    reference: Hardware, built_in: Technology | None = None, training_share: float = TRAINING_SHARE
) -> Question:
    """What was asked in 2020, with amounts of work on which A100 owners spend the given shares.

    Parameters
    ----------
    reference : Hardware
        DGX A100, from the catalogue.
    built_in : Technology
        Default: the 5 nm class and HBM3 as 2020 could foresee them.
    training_share : float
        Of spending; the rest is shared evenly by the serving works.

    """
    works = works_of_2020()
    now = Question(technology("n7-hbm2e"), works, [1.0] * len(works), ECONOMICS_OF_2020)
    usd = Scorer(now).score(design_of(reference)).usd_by_work[0]
    shares = [training_share, *[(1 - training_share) / (len(works) - 1)] * (len(works) - 1)]
    amounts = [share / float(u) for share, u in zip(shares, usd, strict=True)]
    # A DGX baseboard joins eight; NVLink Network beyond it came with H100 and hardly shipped.
    limits = Limits({"nvlink_domain": (8.0, 8.0), "power_w": (250.0, 700.0)})
    return replace(now, technology=built_in or technology("n5-foreseen-2020"), amounts=amounts, limits=limits)


@dataclass(frozen=True)
class Retrodiction:
    """The design that 2020's question asks for, its balance and what came.

    Attributes
    ----------
    found : Evolution
        The search's result.
    predicted, real : dict
        By the names of `RATIOS`.
    factor : dict
        Predicted over real.

    """

    found: Evolution
    predicted: dict[str, float]
    real: dict[str, float]

    @property
    def factor(self) -> dict[str, float]:
        """Predicted over real, by ratio."""
        return {name: self.predicted[name] / self.real[name] for name in RATIOS}

    def within(self, factor: float = 1.5) -> dict[str, bool]:
        """Whether each ratio lies within a factor of the real one."""
        return {name: 1 / factor <= f <= factor for name, f in self.factor.items()}


def retrodict(question: Question, came: Hardware, seed: int = 0, generations: int = 30) -> Retrodiction:
    """Search the best accelerator of a past question and compare its balance with the one that came."""
    found = evolve(question, seed=seed, generations=generations)
    return Retrodiction(found, ratios(found.designs), ratios(design_of(came)))
