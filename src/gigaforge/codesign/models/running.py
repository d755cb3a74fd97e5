"""What a model of a given shape costs to train and to serve on a system, by the performance model, at given prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from gigaforge.catalog import Catalog
from gigaforge.catalog.schema import Model
from gigaforge.codesign.hardware.economics import Economics
from gigaforge.codesign.models.contexts import Requests
from gigaforge.errors import GigaforgeError, InputError
from gigaforge.perf.hardware import Hardware, precision_family
from gigaforge.perf.inference import Traffic
from gigaforge.perf.inference import search as search_serving
from gigaforge.perf.training import SearchSpace, TrainingJob
from gigaforge.perf.training import search as search_training
from gigaforge.perf.transformer import Transformer

__all__ = ["ModelCosts", "Running"]

# The batch grows with the data: 63M tokens at 14.8T (https://arxiv.org/abs/2412.19437), to the power 0.47
# (https://arxiv.org/abs/2410.21676).
_BATCH_TOKENS, _BATCH_AT_TOKENS, _BATCH_EXPONENT = 63e6, 14.8e12, 0.47
_WINDOW_S: Final = 90 * 86400.0
"""A run takes about a quarter (assumption: Llama 3 405B took 54 days of it on 16,384 H100, DeepSeek-V3 two months)."""
_FIRST_GUESS_MFU: Final = 0.4
_LARGEST: Final = 2**19
"""Accelerators in one run at most: beyond any announced."""
_SPACE: Final = SearchSpace.usual(
    tensor_parallel=(1, 2, 4, 8, 16),
    context_parallel=(1, 2, 4, 8),
    expert_tensor_parallel=(1,),
    virtual_pipeline=(1, 2),
    micro_batch=(1, 2),
    sequence_parallel=(1,),
    recompute_shares=(0.5, 1.0),
    sharding=(1, 3),
)
_LONG_SPACE: Final = replace(_SPACE, context_parallel=(1, 2, 4, 8, 16, 32, 64))
"""Llama 3 405B trained sequences of 131,072 tokens with 16 ranks each (https://arxiv.org/abs/2407.21783, table 4)."""
_SERVING_NAMES: Final = {"fp4": "nvfp4"}


@dataclass(frozen=True)
class ModelCosts:
    """Of one model; infinite where the system cannot run it.

    Attributes
    ----------
    train_usd_per_token, serve_usd_per_token : float
        A trained token; an answer's token, its share of the prompt included [USD/token].
    mfu : float
        Of the training [1].
    train_accelerators, serve_accelerators : int
        Of the run; of one replica.
    each_serve_usd_per_token : tuple of float
        What `serve_usd_per_token` is the sum of, by workload [USD/token]; empty: one workload.

    """

    train_usd_per_token: float
    serve_usd_per_token: float
    mfu: float
    train_accelerators: int
    serve_accelerators: int
    each_serve_usd_per_token: tuple[float, ...] = ()


@dataclass(frozen=True)
class Running:
    """A system, what an accelerator of it costs, and how models run there.

    Attributes
    ----------
    hardware : Hardware
        The system.
    rack_usd : float
        Price of the system and its share of the network [USD].
    economics : Economics
        What having and running it costs.
    traffic : Traffic
        Requests that the model will serve.
    seq_len : int
        Of training [token].
    train_precision, serve_precision : str
        As `gigaforge train` and `gigaforge infer` take them.
    utilisation : float
        Share of its serving capacity that demand uses over the day [1].
    label : str
        Whose requests, in words.
    spread : float
        Of the prompts' lengths: standard deviation over mean [1]; 0: all alike.

    """

    hardware: Hardware
    rack_usd: float
    economics: Economics
    traffic: Traffic
    seq_len: int = 8192
    train_precision: str = "fp8"
    serve_precision: str = "fp8"
    utilisation: float = 0.5
    label: str = "serving"
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise InputError(f"{self.utilisation}; a share above 0 up to 1 is expected", "utilisation")
        if not self.rack_usd >= 0:
            raise InputError(f"{self.rack_usd}; a price is at least zero", "rack_usd")

    @classmethod
    def on(
        cls,
        catalog: Catalog,
        system: str,
        economics: Economics,
        traffic: Traffic,
        *,
        rack_usd: float | None = None,
        **more: object,
    ) -> Running:
        """On a catalogue system; in fp8 where its chip computes that, in which dense models and mixtures both ship.

        Parameters
        ----------
        rack_usd : float, optional
            Price of the system and its share of the network [USD]; default the catalogue's.

        Raises
        ------
        InputError
            The system has no price.

        """
        entry = catalog.system(system)
        hardware = Hardware.from_catalog(entry, catalog.accelerator(entry.accelerator))
        if rack_usd is None:
            if entry.price is None:
                raise InputError("has no price; give one in your own catalogue (--catalog)", f"system {system}")
            rack_usd = entry.price.value + (entry.network_price.value if entry.network_price else 0.0)
        train = "fp8" if "fp8" in hardware.peak_flop_s else "bf16"
        return cls(
            hardware, rack_usd, economics, traffic,
            **({"train_precision": train, "serve_precision": train} | more),  # type: ignore[arg-type]
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The system."""
        return self.hardware.name

    @property
    def requests(self) -> Requests:
        """How long the requests are that the model will serve."""
        return Requests(self.traffic.input_len, self.traffic.output_len, self.spread)

    def cut_to(self, window: float) -> Running:
        """The same for a model whose window cuts the prompts."""
        kept = max(self.requests.kept(window), 1.0)
        return replace(self, traffic=replace(self.traffic, input_len=kept))

    def usd_per_s(self, power_w: float) -> float:
        """What a second of one accelerator costs, drawing so much IT power with its share of the system. [USD/s]"""
        h, e = self.hardware, self.economics
        nameplate = (float(h.system_power_w) + float(h.overhead_power_w)) / h.accelerators
        owned = self.rack_usd / h.accelerators * e.capital_per_s + nameplate * e.watt_usd_per_s
        return owned + power_w * e.joule_usd

    def costs(self, model: Model, tokens: float) -> ModelCosts:
        """Train a model on so many tokens and serve it.

        Parameters
        ----------
        model : Model
            Its architecture.
        tokens : float
            Of the training, which size the gang and the batch.

        """
        train, mfu, gang = self.train(model, tokens)
        serve, replica = self.serve(model)
        return ModelCosts(train, serve, mfu, gang, replica)

    def train(self, model: Model, tokens: float) -> tuple[float, float, int]:
        """A trained token [USD/token], MFU and accelerators of the run; infinite, 0, 0 where it cannot be run."""
        h, transformer = self.hardware, Transformer.from_catalog(model)
        peak = float(h.peak_flop_s[precision_family(self.train_precision)])
        flop = float(np.asarray(transformer.training_flops_per_token(float(self.seq_len)))) * tokens
        wanted = flop / (peak * _FIRST_GUESS_MFU * _WINDOW_S)
        gang = h.nvlink_domain * 2 ** max(int(np.ceil(np.log2(max(wanted / h.nvlink_domain, 1.0)))), 0)
        return self._train(transformer, tokens, self.seq_len, gang, _SPACE)

    def train_long(self, model: Model, tokens: float, context: int, gang: int) -> tuple[float, float, int]:
        """As `train`, of sequences as long as a context, on the accelerators of the run (more where it does not fit them).

        Parameters
        ----------
        model : Model
            Its architecture.
        tokens : float
            Of the whole training, which size the batch: DeepSeek-V3 kept its 63M tokens at 32K and at 128K
            (https://arxiv.org/abs/2412.19437, section 4.3).
        context : int
            Length of a sequence [token].
        gang : int
            Accelerators of the run.

        """
        return self._train(Transformer.from_catalog(model), tokens, context, gang, _LONG_SPACE)

    def _train(
        self, transformer: Transformer, tokens: float, seq_len: int, gang: int, space: SearchSpace
    ) -> tuple[float, float, int]:
        """The best strategy on a gang, or on the first of its doublings that can run it."""
        h = self.hardware
        odd = h.nvlink_domain // (h.nvlink_domain & -h.nvlink_domain)
        batch = _BATCH_TOKENS * (max(tokens, 1e9) / _BATCH_AT_TOKENS) ** _BATCH_EXPONENT / seq_len
        while 0 < gang <= _LARGEST:
            sequences = odd * 2 ** max(round(np.log2(max(batch / odd, 1.0))), 0)
            job = TrainingJob(gang, max(sequences, odd), seq_len, self.train_precision)
            try:
                best = search_training(transformer, h, job, space=space, keep=1)
            except GigaforgeError:
                best = None
            if best is not None and best.feasible[0]:
                power = float(best.system_power_w[0])
                return self.usd_per_s(power) / float(best.tokens_per_s_per_gpu[0]), float(best.mfu[0]), gang
            gang *= 2
        return float("inf"), 0.0, 0

    def serve(self, model: Model) -> tuple[float, int]:
        """An answer's token [USD/token] and accelerators of one replica; infinite, 0 where it cannot be served in time."""
        transformer = Transformer.from_catalog(model)
        precision = _SERVING_NAMES.get(self.serve_precision, self.serve_precision)
        try:
            # Today's fp4 mixtures keep their attention in bf16 and dense models do not: how they were quantised, not what they are.
            best = search_serving(
                transformer, self.hardware, self.traffic, precision=precision, attention_precision=precision
            ).best()
        except GigaforgeError:
            return float("inf"), 0
        if not len(best):
            return float("inf"), 0
        rate = float(best.tokens_per_s_per_gpu[0]) * self.utilisation
        return self.usd_per_s(float(best.system_power_w[0])) / rate, int(best.configurations.accelerators[0])
