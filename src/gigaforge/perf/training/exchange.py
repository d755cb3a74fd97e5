"""Communication inside a block, for one micro-batch and its forward pass: tensor, context and expert parallelism.

References
----------
.. [1] V. Korthikanti et al. (2022), https://arxiv.org/abs/2205.05198: tensor with sequence parallelism.
.. [2] H. Liu et al., Ring Attention (2023), https://arxiv.org/abs/2310.01889: keys and values passed round while blocks
   of attention are computed.
.. [3] The Llama 3 Herd of Models (2024), section 3.3.2, https://arxiv.org/abs/2407.21783: keys and values gathered
   first, nothing hidden.
.. [4] S. A. Jacobs et al., DeepSpeed Ulysses (2023), https://arxiv.org/abs/2309.14509: sequence traded for heads by
   all-to-all, and back.
.. [5] DeepEP, https://github.com/deepseek-ai/DeepEP: a token crosses the network once for each domain that it needs and
   is copied to ranks inside.

"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.collectives import Fabric, all_gather_s, all_to_all_s, exchange_s, local_members
from gigaforge.perf.training.constants import Constants
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.transformer import Transformer

__all__ = ["CONTEXT_MODES", "Shape", "context_s", "expert_exchange_s", "fabric_of", "tensor_s"]

Floats = Any
CONTEXT_MODES: Final = ("ring", "all-gather", "ulysses")
"""How context parallelism shares keys and values; an index of these is a strategy's `context_mode`."""
_RING, _GATHER, _ULYSSES = range(3)


@dataclass(frozen=True)
class Shape:
    """What a rank works on: sequences of a micro-batch, their length, and the degrees that cut a layer.

    `trainable` 0 freezes the weights (LoRA): their gradient is not computed. `unfused` 1 writes attention scores to
    memory, as software did before FlashAttention (a fraction: in that share of the layers). `document_len`
    is the length of the documents packed into a sequence, beyond which attention does not look. `context_mode` indexes
    `CONTEXT_MODES`. `grouped_dispatch` 1 sends a token to its experts once per domain, 0 once per expert.
    `expert_load` is the work of the fullest expert rank over the mean (1: balanced).
    """

    micro_batch: Array
    seq_len: Array
    tensor_parallel: Array
    context_parallel: Array
    expert_parallel: Array
    expert_tensor_parallel: Array
    sequence_parallel: Array
    trainable: Array = 1.0
    unfused: Array = 0.0
    document_len: Array = np.inf
    context_mode: Array = 0
    grouped_dispatch: Array = 1.0
    expert_load: Array = 1.0

    @property
    def tokens(self) -> Floats:
        """Tokens of one micro-batch on one rank (context parallelism splits the sequence)."""
        return np.asarray(self.micro_batch, dtype=float) * self.seq_len / self.context_parallel

    @property
    def norm_split(self) -> Floats:
        """Ranks that share element-wise work outside the tensor-parallel region."""
        return np.where(np.asarray(self.sequence_parallel) > 0, self.tensor_parallel, 1.0)


def fabric_of(machine: Machine, c: Constants) -> Fabric:
    """The machine's networks as achieved."""
    return Fabric(
        domain=machine.domain,
        scale_up_bytes_s=machine.scale_up_bytes_s * np.asarray(c.scale_up),
        scale_out_bytes_s=machine.scale_out_bytes_s * np.asarray(c.scale_out),
        oversubscription=machine.oversubscription,
        pod=machine.pod,
        site_bytes_s=machine.site_bytes_s,
        site_accelerators=machine.site_accelerators,
        site_latency_s=machine.site_latency_s,
    )


def _paid(exposed: Array, c: Constants, comm: Floats) -> Floats:
    """Exposed communication, and the slow-down that the hidden rest causes. [s]"""
    return comm * (np.asarray(exposed) + (1.0 - np.asarray(exposed)) * c.contention)


def tensor_s(
    t: Transformer, machine: Machine, c: Constants, shape: Shape, blocks: Floats, tp: Floats, etp: Floats
) -> Floats:
    """Forward all-gathers and reduce-scatters (or all-reduces, the same volume) of one block [1]_. [s]"""
    cut_experts = np.where(etp > 1, 1.0, 0.0) * np.asarray(t.moe_layers)
    parts = np.asarray(t.attention_layers) + np.asarray(t.mamba_layers) + np.asarray(t.dense_layers)
    parts = (parts + np.maximum(np.where(np.asarray(t.shared_d_ff) > 0, t.moe_layers, 0), cut_experts)) / blocks
    data = 2.0 * shape.tokens * np.asarray(t.d_model)
    local = local_members(tp, 1.0, machine.domain)
    once = all_gather_s(tp, local, data, fabric_of(machine, c))
    return _paid(c.tp_exposed, c, 2.0 * parts * once)


def context_s(t: Transformer, machine: Machine, c: Constants, shape: Shape, blocks: Floats, tp: Floats) -> Floats:
    """Sharing of keys and values in one forward block. [s]

    A ring [2]_ and an all-gather [3]_ move as much, the ring hidden in part behind attention; Ulysses [4]_ exchanges
    queries, keys, values and outputs of its own tokens, none of it hidden (assumption: as published).
    """
    cp = np.asarray(shape.context_parallel, dtype=float)
    mode, fabric = np.asarray(shape.context_mode), fabric_of(machine, c)
    layers = np.asarray(t.attention_layers) / blocks
    local = local_members(cp, tp, machine.domain)
    span = cp * tp
    gather = all_gather_s(cp, local, 2.0 * shape.tokens * cp * np.asarray(t.kv_width) / tp * layers, fabric, span)
    ring_or_gather = _paid(np.where(mode == _RING, c.cp_exposed, 1.0), c, gather)
    if not np.any(mode == _ULYSSES):
        return ring_or_gather
    heads, kv = np.asarray(t.heads, dtype=float), np.asarray(t.kv_heads, dtype=float)
    # Key-value heads fewer than ranks are repeated; latent ones are expanded before they are exchanged.
    kv = np.where(np.asarray(t.is_mla) > 0, heads, np.minimum(np.maximum(kv, cp * tp), heads))
    width = heads * (t.query_dim + t.value_dim) + kv * (t.query_dim + t.value_dim)
    traded = 2.0 * all_to_all_s(cp, local, shape.tokens * width / tp * layers, fabric, span)
    return np.where(mode == _ULYSSES, traded, ring_or_gather)


def expert_exchange_s(
    t: Transformer, machine: Machine, c: Constants, shape: Shape, moe: Floats, tp: Floats, etp: Floats
) -> Floats:
    """Dispatch and combine of one forward block. [s]

    Grouped [5]_, a token goes over the network once for each domain and inside it once for each rank that holds one of
    its experts; else one copy goes to each expert, as with NCCL's all-to-all.
    """
    ep = np.asarray(shape.expert_parallel, dtype=float)
    chosen = np.asarray(t.experts_per_token, dtype=float)
    local = local_members(ep, etp, machine.domain)
    domains = ep / local
    copy = 2.0 * shape.tokens / tp * etp * np.asarray(t.expert_d_model) * np.asarray(shape.expert_load)

    def needed(places: Floats) -> Floats:
        """Different places among so many that the chosen experts of a token lie in."""
        return places * (1.0 - (1.0 - 1.0 / places) ** chosen)

    grouped = np.asarray(shape.grouped_dispatch) > 0
    inside = np.where(grouped, needed(ep) * (local - 1.0) / local, chosen * (local - 1.0) / ep)
    outside = np.where(grouped, needed(domains) * (domains - 1.0) / domains, chosen * (ep - local) / ep)
    once = exchange_s(ep, local, copy * inside, copy * outside, fabric_of(machine, c), ep * etp)
    return _paid(c.ep_exposed, c, 2.0 * moe * once)
