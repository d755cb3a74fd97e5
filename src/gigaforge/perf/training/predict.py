"""One prediction for many strategies: layers, step, memory, power in one pass over arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gigaforge.perf.arrays import Array
from gigaforge.perf.memory import ActivationBytes, RankParameters, activation_bytes, rank_parameters
from gigaforge.perf.training.constants import Constants
from gigaforge.perf.training.exchange import Shape
from gigaforge.perf.training.job import TrainingStrategies
from gigaforge.perf.training.layer import LayerTimes, layer_times
from gigaforge.perf.training.machine import Machine
from gigaforge.perf.training.step import StepMemory, StepTimes, step_memory, step_times
from gigaforge.perf.transformer import Transformer

__all__ = ["LayerTable", "Prediction", "layer_table", "predict", "shape_of"]


@dataclass(frozen=True)
class LayerTable:
    """Everything about a block that depends on the shape alone."""

    times: LayerTimes
    activations: ActivationBytes
    parameters: RankParameters


@dataclass(frozen=True)
class Prediction:
    """Time and memory of arrays of strategies."""

    times: StepTimes
    memory: StepMemory


def shape_of(
    s: TrainingStrategies,
    seq_len: Array,
    trainable: Array = 1.0,
    unfused: Array = 0.0,
    document_len: Array = np.inf,
    grouped_dispatch: Array = 1.0,
    expert_load: Array = 1.0,
) -> Shape:
    """The part of a strategy that a block's time depends on."""
    tp = np.asarray(s.tensor_parallel)
    etp = np.where(np.asarray(s.expert_tensor_parallel) > 0, s.expert_tensor_parallel, tp)
    return Shape(
        micro_batch=s.micro_batch,
        seq_len=seq_len,
        tensor_parallel=tp,
        context_parallel=s.context_parallel,
        expert_parallel=s.expert_parallel,
        expert_tensor_parallel=etp,
        sequence_parallel=s.sequence_parallel,
        trainable=trainable,
        unfused=unfused,
        document_len=document_len,
        context_mode=s.context_mode,
        grouped_dispatch=grouped_dispatch,
        expert_load=expert_load,
    )


def layer_table(t: Transformer, machine: Machine, c: Constants, shape: Shape) -> LayerTable:
    """Times, activations and parameters of one block for each shape."""
    # Softmax, dropout mask and dropped scores: 5 bytes for each pair of query and key.
    scores = 5.0 * np.asarray(shape.unfused) * np.asarray(t.heads) / np.asarray(shape.tensor_parallel) * shape.seq_len
    activations = activation_bytes(
        t,
        shape.tokens,
        shape.tensor_parallel,
        shape.norm_split,
        shape.expert_tensor_parallel,
        machine.element_bytes,
        scores,
        shape.expert_load,
    )
    parameters = rank_parameters(t, shape.tensor_parallel, shape.expert_parallel, shape.expert_tensor_parallel)
    return LayerTable(layer_times(t, machine, c, shape), activations, parameters)


def predict(
    t: Transformer,
    machine: Machine,
    c: Constants,
    s: TrainingStrategies,
    global_batch: Array,
    seq_len: Array,
    gradient_bytes: Array = 2.0,
    trainable: Array = 1.0,
    unfused: Array = 0.0,
    document_len: Array = np.inf,
    grouped_dispatch: Array = 1.0,
) -> Prediction:
    """Time and memory for strategies whose model, machine and constants may differ row by row."""
    shape = shape_of(s, seq_len, trainable, unfused, document_len, grouped_dispatch)
    table = layer_table(t, machine, c, shape)
    last = (table.parameters, s, global_batch, gradient_bytes, trainable)
    return Prediction(
        step_times(t, machine, c, shape, table.times, *last),
        step_memory(t, machine, c, shape, table.activations, *last),
    )
