"""Why degrees that were asked for cannot be: which one does not divide or multiply to what."""

from __future__ import annotations

from collections.abc import Iterator

from gigaforge.errors import InputError
from gigaforge.perf.training.job import TrainingJob
from gigaforge.perf.training.space import SearchSpace, pipelines
from gigaforge.perf.transformer import Transformer

__all__ = ["refuse_degrees"]

_RANKS = ("tensor_parallel", "pipeline_parallel", "context_parallel", "data_parallel")


def refuse_degrees(t: Transformer, job: TrainingJob, space: SearchSpace) -> None:
    """Raise `InputError` for the first degree, fixed by the space to one value, with which no layout can be.

    Silent where the reason is not one of the model, the batch or the machine alone: the search then tells.
    """
    names = (*_RANKS, "virtual_pipeline", "expert_parallel", "micro_batch")
    axes: dict[str, tuple[int, ...]] = {name: getattr(space, name) for name in names}
    given = {name: values[0] for name, values in axes.items() if len(values) == 1}
    for problem in (*_model(t, space, given), *_machine(job, given), *_batch(job, given)):
        raise InputError(problem, "degrees")


def _model(t: Transformer, space: SearchSpace, given: dict[str, int]) -> Iterator[str]:
    tp, pp, ep = (given.get(k, 1) for k in ("tensor_parallel", "pipeline_parallel", "expert_parallel"))
    heads, kv, layers, experts = int(t.heads), int(t.kv_heads), int(t.layers), int(t.experts)
    if heads % tp:
        yield f"{heads} heads are not divisible by tensor parallel {tp}"
    if kv % tp and tp % kv:
        yield f"{kv} key-value heads neither divide nor are divisible by tensor parallel {tp}"
    if pp > layers:
        yield f"pipeline parallel {pp} exceeds {layers} layers"
    elif "pipeline_parallel" in given and not pipelines(t, space, pp):
        vpp = given.get("virtual_pipeline", 1)
        chunks = f" x virtual pipeline {vpp}" if vpp > 1 else ""
        if pp == 1:
            yield f"virtual pipeline {vpp} needs pipeline parallel above 1"
        else:
            yield f"{layers} layers do not divide into pipeline parallel {pp}{chunks}"
    if ep > 1 and not experts:
        yield f"expert parallel {ep} on {t.name}, which has no experts"
    elif experts % ep:
        yield f"{experts} experts are not divisible by expert parallel {ep}"


def _machine(job: TrainingJob, given: dict[str, int]) -> Iterator[str]:
    ranks = {name: given[name] for name in _RANKS if name in given}
    product = 1
    for degree in ranks.values():
        product *= degree
    terms = " x ".join(f"{name.removesuffix('_parallel')} {degree}" for name, degree in ranks.items())
    gpus = f"{job.accelerators:,} GPUs"
    if len(ranks) == 1 and job.accelerators % product:
        yield f"{terms.replace(' ', ' parallel ', 1)} does not divide {gpus}"
    elif len(ranks) == len(_RANKS) and product != job.accelerators:
        yield f"{terms} = {product:,}, not {gpus}"
    elif job.accelerators % product:
        yield f"{terms} = {product:,}, {'not' if 'data_parallel' in ranks else 'which does not divide'} {gpus}"


def _batch(job: TrainingJob, given: dict[str, int]) -> Iterator[str]:
    dp, micro, cp = (given.get(k, 1) for k in ("data_parallel", "micro_batch", "context_parallel"))
    if job.global_batch % dp:
        yield f"a global batch of {job.global_batch:,} is not divisible by data parallel {dp}"
    elif job.global_batch % (dp * micro):
        replicas = f"data parallel {dp} x " if "data_parallel" in given else ""
        yield f"a global batch of {job.global_batch:,} is not divisible by {replicas}micro-batch {micro}"
    if job.seq_len % (2 * cp):
        yield f"{job.seq_len:,} tokens of a sequence are not divisible by 2 x context parallel {cp}"
