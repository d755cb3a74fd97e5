"""One call for any trace: jobs go through the scheduler, requests become demand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pandas as pd

from gigaforge.errors import InputError
from gigaforge.operations.modes import RackClass
from gigaforge.operations.requests import Engine, replay_requests
from gigaforge.operations.scheduler import replay_jobs
from gigaforge.operations.traces import JOB_FORMATS, REQUEST_FORMATS, longest_gap_s, read_jobs, read_requests

__all__ = ["DEFAULT_ENGINE", "replay"]

DEFAULT_ENGINE: Final = Engine(20_000.0, 0.03, 64)  # assumption: a 70B model on one 8-GPU node


def replay(path: Path | str, form: str = "", *, racks: int = 64, domain: int = 8, engine: Engine = DEFAULT_ENGINE,
           seed: int = 0) -> tuple[dict[str, Any], pd.DataFrame]:  # fmt: skip
    """Replay a trace file.

    Parameters
    ----------
    path : path
        CSV or JSON lines.
    form : str
        A key of `JOB_FORMATS` or `REQUEST_FORMATS`; default by the columns.
    racks, domain : int
        Cluster of a job replay: racks, accelerators a rack.
    engine : Engine
        Of a request replay.
    seed : int
        Of a job replay's failures.

    Returns
    -------
    summary : dict
    table : DataFrame
        One row a job, or a 5-minute bin.

    """
    if racks < 1 or domain < 1:
        raise InputError(f"{racks} racks of {domain} accelerators; at least 1 each", "--racks")
    if form and form not in JOB_FORMATS and form not in REQUEST_FORMATS:
        raise InputError(
            f"unknown trace format {form!r}; known: {', '.join([*JOB_FORMATS, *REQUEST_FORMATS])}", "--format"
        )
    jobs = form in JOB_FORMATS if form else _looks_like_jobs(Path(path))
    if jobs:
        table = read_jobs(path, form)
        if table.empty:
            raise InputError("no job in it uses an accelerator; nothing to replay", str(path))
        try:
            outcome = replay_jobs(table, racks, RackClass("rack", domain), seed=seed)
        except InputError as problem:
            raise InputError(problem.problem, str(path)) from None
        submit = table["submit_s"]
        span = float(submit.max() - submit.min()) if len(table) else 0.0
        left = {"jobs_without_accelerators": table.attrs["without"]} if table.attrs["without"] else {}
        return {**outcome.summary(), **left, "span_s": span, "longest_gap_s": longest_gap_s(submit)}, outcome.jobs
    requests = read_requests(path, form)
    demand = replay_requests(requests, engine)
    bins = demand.to_pandas()
    return {
        "requests": len(requests),
        "mean_input_tokens": float(requests["input_tokens"].mean()),
        "mean_output_tokens": float(requests["output_tokens"].mean()),
        "peak_over_mean": float(demand.requests_per_s.max() / max(demand.requests_per_s.mean(), 1e-12)),
        "engines_at_peak": float(demand.engines.max()),
        "engines_mean": float(demand.engines.mean()),
        "span_s": float(requests["time_s"].max()),
        "longest_gap_s": demand.longest_gap_s,
    }, bins


def _looks_like_jobs(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8") as file:
            head = file.readline()
    except (OSError, UnicodeDecodeError):
        return False
    columns = {c.strip() for c in head.strip().split(",")}
    return any(f.job in columns and f.submit in columns for f in JOB_FORMATS.values())
