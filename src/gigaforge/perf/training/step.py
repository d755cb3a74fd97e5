"""Time, memory and power of one training step for arrays of strategies, given the times of their layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.collectives import all_gather_s, all_reduce_s, local_members, point_to_point_s
from gigaforge.perf.memory import ActivationBytes, RankParameters, in_flight, state_bytes
from gigaforge.perf.training.constants import Constants
from gigaforge.perf.training.exchange import Shape, fabric_of
from gigaforge.perf.training.job import TrainingStrategies
from gigaforge.perf.training.layer import LayerTimes
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.transformer import Transformer

__all__ = ["BREAKDOWN", "MEMORY", "StepMemory", "StepTimes", "stage_blocks", "step_memory", "step_times"]

Floats = Any

BREAKDOWN = (
    "linear", "experts", "attention", "elementwise", "launch", "recompute", "head", "tensor_comm", "context_comm",
    "expert_comm", "pipeline_comm", "bubble", "data_comm", "optimizer", "straggler", "fixed",
)  # fmt: skip
"""Parts of a step, in seconds, that add up to it."""
MEMORY = ("weights", "gradients", "optimizer", "activations", "logits", "buffers")
"""Parts of an accelerator's memory, in bytes, that add up to it."""


@dataclass(frozen=True)
class StepTimes:
    """Seconds of one step: in all, those in which the mean accelerator computes, and by part (`BREAKDOWN`) if asked."""

    step_time_s: Floats
    busy_s: Floats
    parts: Mapping[str, Floats]


@dataclass(frozen=True)
class StepMemory:
    """Bytes of the fullest accelerator by part (`MEMORY`)."""

    weights: Floats
    gradients: Floats
    optimizer: Floats
    activations: Floats
    logits: Floats
    buffers: Floats

    @property
    def total(self) -> Floats:
        """All parts. [B]"""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits + self.buffers


def stage_blocks(layers: Array, pipeline: Array, virtual: Array) -> tuple[Floats, Floats, Floats]:
    """Blocks of the first, a middle and the last stage.

    Even where layers divide; else, where layers plus embedding plus head (or plus head) divide, those count as a
    block each; else the fullest stage has the ceiling.
    """
    n, p, v = (np.asarray(x, dtype=float) for x in (layers, pipeline, virtual))
    chunks = p * v
    even = n % chunks == 0
    both = ~even & ((n + 2) % chunks == 0) & (p > 1)
    last = ~even & ~both & ((n + 1) % chunks == 0) & (p > 1)
    middle = np.where(even, n / p, np.where(both, (n + 2) / p, np.where(last, (n + 1) / p, v * np.ceil(n / chunks))))
    middle = np.minimum(middle, np.where(even | both | last, middle, np.ceil(n / p)))
    first = np.where(both, middle - 1, middle)
    end = np.where(both | last, middle - 1, np.where(even, middle, np.maximum(n - middle * (p - 1), 0)))
    return first, middle, np.where(p > 1, end, n)


def _bubble_share(schedule: Array) -> Floats:
    """Of the 1F1B fill that a schedule leaves [1]_: zero-bubble-1p a third, 2p almost none, V-Half half.

    .. [1] https://arxiv.org/abs/2401.10241, https://arxiv.org/abs/2405.15362
    """
    return np.asarray([1.0, 1.0 / 3.0, 0.02, 0.5])[np.asarray(schedule, dtype=int)]


def step_times(
    t: Transformer,
    machine: Machine,
    c: Constants,
    shape: Shape,
    layer: LayerTimes,
    params: RankParameters,
    s: TrainingStrategies,
    global_batch: Array,
    gradient_bytes: Array,
    trainable: Array = 1.0,
    *,
    parts: bool = True,
) -> StepTimes:
    """One step, all arguments broadcasting over strategies.

    ``step = M·t_max + fill/v·share + sends + exposed reductions + optimizer + stragglers + host``, with t_max the
    slowest stage (head and embedding are uneven), fill the time of all other stages.
    """
    pp = np.asarray(s.pipeline_parallel, dtype=float)
    vpp = np.asarray(s.virtual_pipeline, dtype=float)
    m = np.maximum(np.asarray(global_batch) / (np.asarray(s.data_parallel, dtype=float) * s.micro_batch), 1.0)
    first, middle, last = stage_blocks(t.layers, pp, vpp)
    again = np.asarray(s.recompute)
    forward, backward = layer.compute_f + layer.comm_f, layer.compute_b + layer.comm_b
    redo = np.where(again == 2, c.full_recompute * forward, np.where(again == 1, c.selective * forward, 0.0))
    redo = redo * s.recompute_share
    block = forward + backward + redo
    spread = np.where(np.asarray(s.vocab_parallel) > 0, pp, 1.0)
    head, embedding = layer.head / spread, layer.embedding / spread
    everywhere = np.where(np.asarray(s.vocab_parallel) > 0, head + embedding, 0.0)
    ends = np.where(np.asarray(s.vocab_parallel) > 0, 0.0, 1.0)
    t_mid = middle * block + everywhere
    t_first = first * block + everywhere + ends * embedding
    t_last = last * block + everywhere + ends * head + np.where(pp > 1, 0.0, ends * embedding)
    t_max = np.where(pp > 1, np.maximum(np.maximum(t_first, t_last), np.where(pp > 2, t_mid, 0.0)), t_last)
    total = np.where(pp > 1, t_first + t_last + np.maximum(pp - 2.0, 0.0) * t_mid, t_last)
    # Work of the mean stage is work; while the slowest one holds up the others, they wait.
    mean = total / pp
    waiting = m * (t_max - mean)
    bubble = waiting + np.where(pp > 1, (total - t_max) / vpp * _bubble_share(s.schedule), 0.0)
    sends = _sends_s(t, machine, c, shape, s, m)
    data = _data_parallel_s(machine, c, params, s, m, middle, layer, redo, gradient_bytes)
    data = np.where((np.asarray(trainable) > 0) | (np.asarray(s.sharding) == 3), data, 0.0)
    update = trainable * _optimizer_s(machine, c, params, s, middle)
    accelerators = np.asarray(s.tensor_parallel, dtype=float) * pp * s.context_parallel * s.data_parallel
    doublings = np.log2(np.maximum(accelerators / np.minimum(8.0, machine.domain), 1.0))
    late = c.straggler * doublings * (m * mean + bubble)
    step = m * mean + bubble + sends + data + update + late + c.fixed
    scale = m * np.asarray(t.layers, dtype=float) / pp
    busy = m * mean - scale * (layer.comm_f + layer.comm_b)
    if not parts:
        return StepTimes(step, busy, {})
    by_part = {
        "linear": scale * (layer.linear_f + layer.linear_b),
        "experts": scale * (layer.expert_f + layer.expert_b),
        "attention": scale * (layer.attention_f + layer.attention_b),
        "elementwise": scale * (layer.elementwise_f + layer.elementwise_b),
        "launch": scale * (layer.launch_f + layer.launch_b),
        "recompute": scale * redo,
        "tensor_comm": scale * (layer.tensor_f + layer.tensor_b),
        "context_comm": scale * (layer.context_f + layer.context_b),
        "expert_comm": scale * (layer.experts_comm_f + layer.experts_comm_b),
    }
    by_part["head"] = np.maximum(m * mean - sum(by_part.values()), 0.0)
    by_part |= {
        "bubble": bubble,
        "pipeline_comm": sends,
        "data_comm": data,
        "optimizer": update,
        "straggler": late,
        "fixed": np.asarray(c.fixed, dtype=float),
    }
    return StepTimes(step, busy, {k: np.broadcast_to(v, step.shape) for k, v in by_part.items()})


def _sends_s(
    t: Transformer, machine: Machine, c: Constants, shape: Shape, s: TrainingStrategies, m: Floats
) -> Floats:
    """Activations and their gradients between stages: exposed in part in the steady state, in full while filling.

    Each tensor-parallel rank sends its share; where the sequence is not split too, the receivers gather the rest within
    their domain (scatter-gather of [1]_).

    .. [1] D. Narayanan et al. (2021), section 4.1, https://arxiv.org/abs/2104.04473
    """
    pp = np.asarray(s.pipeline_parallel, dtype=float)
    stride = np.asarray(s.tensor_parallel, dtype=float) * s.context_parallel * s.data_parallel
    inside = np.where(stride * pp <= machine.domain, 1.0, np.maximum(1.0 - stride / machine.domain, 0.0))
    tp, fabric = np.asarray(s.tensor_parallel, dtype=float), fabric_of(machine, c)
    data = 2.0 * shape.tokens * np.asarray(t.d_model)
    whole = np.where(np.asarray(shape.norm_split) > 1, 0.0, data)
    once = point_to_point_s(data / tp, inside, fabric) + all_gather_s(
        tp, local_members(tp, 1.0, machine.domain), whole, fabric
    )
    # Where the pipeline leaves its site, the slowest send sets the pace; while filling, each border is crossed once.
    far = np.where(
        stride * pp > machine.site_accelerators, data / tp / machine.site_bytes_s + machine.site_latency_s, 0.0
    )
    borders = np.ceil(stride * pp / np.asarray(machine.site_accelerators, dtype=float)) - 1.0
    steady = 2.0 * m * np.asarray(s.virtual_pipeline) * c.pp_exposed * np.maximum(once, far)
    return np.where(pp > 1, steady + 2.0 * ((pp - 1.0) * once + borders * far), 0.0)


def _groups(s: TrainingStrategies, machine: Machine) -> tuple[Floats, Floats, Floats, Floats]:
    """Size and local members of the data-parallel groups of dense and of expert parameters."""
    tp = np.asarray(s.tensor_parallel, dtype=float)
    etp = np.where(np.asarray(s.expert_tensor_parallel) > 0, s.expert_tensor_parallel, tp)
    dense = np.asarray(s.data_parallel, dtype=float) * s.context_parallel
    expert = np.maximum(dense * tp / (etp * s.expert_parallel), 1.0)
    local = local_members(dense, tp, machine.domain)
    return dense, local, expert, local_members(expert, etp * s.expert_parallel, machine.domain)


def _data_parallel_s(
    machine: Machine,
    c: Constants,
    params: RankParameters,
    s: TrainingStrategies,
    m: Floats,
    blocks: Floats,
    layer: LayerTimes,
    redo: Floats,
    gradient_bytes: Array,
) -> Floats:
    """Reduction of gradients and gathering of weights, less what compute hides, plus what that slows. [s]"""
    fabric = fabric_of(machine, c)
    n, local, ne, local_e = _groups(s, machine)
    z = np.asarray(s.sharding)
    pp = np.asarray(s.pipeline_parallel, dtype=float)
    ends = np.where(pp > 1, np.maximum(params.embedding, params.head), params.embedding + params.head)
    dense, expert = params.dense * blocks + ends, params.expert * blocks
    span = n * s.tensor_parallel

    def gather(size: Floats, near: Floats, count: Floats, width: Array) -> Floats:
        return all_gather_s(size, near, count * width, fabric, span)

    backward = blocks * (layer.compute_b + layer.comm_b + redo) + layer.head * 0.67
    forward = blocks * (layer.compute_f + layer.comm_f) + layer.head * 0.33
    # Replicated weights: one reduction and one gathering a step, hidden behind one micro-batch.
    reduce = gather(n, local, dense, gradient_bytes) + gather(ne, local_e, expert, gradient_bytes)
    collect = gather(n, local, dense, 2.0) + gather(ne, local_e, expert, 2.0)
    whole = all_reduce_s(n, local, dense * gradient_bytes, fabric, span)
    whole = whole + all_reduce_s(ne, local_e, expert * gradient_bytes, fabric, span)
    # Sharding within a group: gradients are reduced everywhere, weights gathered in the group.
    group = np.asarray(s.sharding_group)
    apart = (group > 0) & (group < n) & (z > 0)
    collect = np.where(
        apart, gather(np.clip(group, 1, n), np.minimum(local, np.maximum(group, 1)), dense, 2.0), collect
    )
    once = _left(np.where((z == 0) | apart, whole, reduce), backward, c.dp_hidden, c.contention)
    once = once + np.where(z == 0, 0.0, _left(collect, forward, c.dp_hidden, c.contention))
    # Sharded weights: gathered for each forward and backward, gradients scattered, every micro-batch.
    g = np.where(group > 0, np.minimum(np.maximum(group, 1), n), n)
    near = np.minimum(local, g)
    gather_w = gather(g, near, dense, 2.0) + gather(np.minimum(ne, g), np.minimum(local_e, g), expert, 2.0)
    scatter = gather(g, near, dense, gradient_bytes)
    scatter = scatter + gather(np.minimum(ne, g), np.minimum(local_e, g), expert, gradient_bytes)
    each = _left(gather_w, forward, c.fsdp_hidden, c.contention)
    each = each + _left(gather_w + scatter, backward, c.fsdp_hidden, c.contention)
    replicas = np.where(
        g < n, all_reduce_s(n / g, np.maximum(local / g, 1.0), dense * gradient_bytes / g, fabric, span), 0.0
    )
    full = m * each + gather_w / np.maximum(blocks, 1.0) + _left(replicas, backward, c.fsdp_hidden, c.contention)
    return np.where(n * s.tensor_parallel > 1, np.where(z == 3, full, once), 0.0)


def _left(comm: Floats, window: Floats, hidden: Array, contention: Array) -> Floats:
    covered = np.minimum(comm, hidden * window)
    return comm - covered * (1.0 - np.asarray(contention))


def _shards(s: TrainingStrategies, machine: Machine) -> tuple[Floats, Floats]:
    n, _, ne, _ = _groups(s, machine)
    group = np.asarray(s.sharding_group)
    limit = np.where(group > 0, group, np.inf)
    return np.minimum(n, limit), np.minimum(ne, limit)


def _optimizer_s(
    machine: Machine, c: Constants, params: RankParameters, s: TrainingStrategies, blocks: Floats
) -> Floats:
    """Adam reads and writes weights and moments: about 30 bytes a parameter that the rank updates. [s]"""
    n, ne = _shards(s, machine)
    shared = np.asarray(s.sharding) > 0
    pp = np.asarray(s.pipeline_parallel, dtype=float)
    ends = np.where(pp > 1, np.maximum(params.embedding, params.head), params.embedding + params.head)
    dense = (params.dense * blocks + ends) / np.where(shared, n, 1.0)
    expert = params.expert * blocks / np.where(shared, ne, 1.0)
    return 30.0 * c.optimizer * (dense + expert) / (np.asarray(machine.hbm_bytes_s) * c.hbm)


def step_memory(
    t: Transformer,
    machine: Machine,
    c: Constants,
    shape: Shape,
    act: ActivationBytes,
    params: RankParameters,
    s: TrainingStrategies,
    global_batch: Array,
    gradient_bytes: Array,
    trainable: Array = 1.0,
) -> StepMemory:
    """Memory of the fullest stage: the first (most micro-batches in flight) or the last (logits)."""
    pp = np.asarray(s.pipeline_parallel, dtype=float)
    m = np.maximum(np.asarray(global_batch) / (np.asarray(s.data_parallel, dtype=float) * s.micro_batch), 1.0)
    first, _middle, last = stage_blocks(t.layers, pp, s.virtual_pipeline)
    again = np.asarray(s.recompute)
    less = np.where(again == 2, act.full, np.where(again == 1, act.selective, act.none))
    kept = (act.none + np.asarray(s.recompute_share) * (less - act.none)) * c.memory_activations
    one_more = np.where(again == 2, act.working * c.memory_activations, 0.0)
    held = in_flight(pp, s.virtual_pipeline, m, s.schedule)
    spread = np.where(np.asarray(s.vocab_parallel) > 0, pp, 1.0)
    logits = c.memory_logits * shape.tokens * np.asarray(t.vocab) / np.asarray(s.tensor_parallel) / spread
    n, ne = _shards(s, machine)
    vocab = np.where(np.asarray(s.vocab_parallel) > 0, (params.embedding + params.head) / pp, 0.0)
    ends = np.where(np.asarray(s.vocab_parallel) > 0, 0.0, 1.0)
    tied = np.asarray(t.tied_embeddings) > 0
    alone = params.embedding + np.where(tied, 0.0, params.head)
    front = np.where(pp > 1, params.embedding, alone) * ends + vocab
    back = np.where(pp > 1, params.head, alone) * ends + vocab

    def states(blocks: Floats, extra: Floats) -> tuple[Floats, Floats, Floats]:
        a = state_bytes(params.dense * blocks + extra, n, s.sharding, gradient_bytes)
        b = state_bytes(params.expert * blocks, ne, s.sharding, gradient_bytes)
        return a[0] + b[0], trainable * (a[1] + b[1]), trainable * (a[2] + b[2])

    at_first, at_last = states(first, front), states(last, back)
    act_first = held * first * kept + one_more
    held_last = np.where(
        np.asarray(s.schedule) == 3, held, np.where(np.asarray(s.virtual_pipeline) > 1, held * 0.5 + 0.5, 1.0)
    )
    held_last = np.where(np.asarray(s.schedule) == 2, held, held_last)
    act_last = np.minimum(held_last, m) * last * kept + one_more
    total_first = sum(at_first) + act_first + np.where(pp > 1, logits * np.where(spread > 1, 1.0, 0.0), logits)
    total_last = sum(at_last) + act_last + logits
    use = (pp > 1) & (total_last > total_first)
    pick = [np.where(use, b, a) for a, b in zip(at_first, at_last, strict=True)]
    # Sharded weights are gathered two blocks at a time.
    gathered = np.where(np.asarray(s.sharding) == 3, 2.0 * 2.0 * (params.dense + params.expert), 0.0)
    return StepMemory(
        weights=pick[0] + gathered,
        gradients=pick[1],
        optimizer=pick[2],
        activations=np.where(use, act_last, act_first),
        logits=np.where(use | (pp == 1) | (spread > 1), logits, 0.0),
        buffers=np.broadcast_to(np.asarray(c.memory_fixed, dtype=float), np.shape(held)),
    )
