"""Traces in and out: published job and request logs, read through a named mapping of their columns.

A mapping says which column holds what and in which unit; the shipped ones follow the public formats below. Files are
CSV, or JSON lines where a name ends in ``.jsonl``.

References
----------
.. [1] Philly: https://github.com/msr-fiddle/philly-traces (flattened to one line a job)
.. [2] Alibaba PAI: https://github.com/alibaba/clusterdata/tree/master/cluster-trace-gpu-v2020
.. [3] Azure: https://github.com/Azure/AzurePublicDataset/blob/master/AzureLLMInferenceDataset2023.md
.. [4] BurstGPT: https://github.com/HPMLL/BurstGPT
.. [5] Mooncake: https://github.com/kvcache-ai/Mooncake/tree/main/FAST25-release

"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from gigaforge.errors import InputError

__all__ = [
    "JOB_FORMATS",
    "REQUEST_FORMATS",
    "JobFormat",
    "RequestFormat",
    "longest_gap_s",
    "read_jobs",
    "read_requests",
    "sample_path",
]


@dataclass(frozen=True, slots=True)
class JobFormat:
    """Columns of a job log. ``end`` is a time, or with ``duration`` empty the difference to ``start`` is taken."""

    job: str
    submit: str
    accelerators: str
    duration: str = ""
    start: str = ""
    end: str = ""
    scale_s: float = 1.0
    per_cent: bool = False


@dataclass(frozen=True, slots=True)
class RequestFormat:
    """Columns of a request log; ``scale_s`` turns numbers into seconds, texts are read as times."""

    time: str
    input_tokens: str
    output_tokens: str
    scale_s: float = 1.0


JOB_FORMATS: Final[dict[str, JobFormat]] = {
    "gigaforge": JobFormat("job_id", "submit_s", "accelerators", "duration_s"),
    "philly": JobFormat("jobid", "submitted_time", "gpus", start="start_time", end="end_time"),
    "alibaba": JobFormat("job_name", "submit_time", "plan_gpu", start="start_time", end="end_time", per_cent=True),
}
REQUEST_FORMATS: Final[dict[str, RequestFormat]] = {
    "azure": RequestFormat("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    "burstgpt": RequestFormat("Timestamp", "Request tokens", "Response tokens"),
    "mooncake": RequestFormat("timestamp", "input_length", "output_length", 1e-3),
}


def sample_path(name: str) -> Path:
    """A made-up sample of a format: ``philly.csv``, ``azure.csv``, ..."""
    return Path(__file__).parent / "data" / "samples" / name


def _load(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_json(path, lines=True) if path.suffix == ".jsonl" else pd.read_csv(path)
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except pd.errors.ParserError as problem:
        odd = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(problem))
        why = f"line {odd[2]} has {odd[3]} fields, the head {odd[1]}" if odd else "no table of lines and columns"
        raise InputError(
            f"is not a CSV trace: {why}; CSV, or JSON lines in a .jsonl file, is expected", str(path)
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(
            "is empty; a CSV trace with a head and a line for each job or request is expected", str(path)
        ) from None
    except (ValueError, OSError) as problem:
        raise InputError(f"is not a readable trace ({str(problem).splitlines()[0]})", str(path)) from None
    if table.empty:
        raise InputError("has a head and no line below it; nothing to replay", str(path))
    return table


def _choose(columns: list[str], formats: dict[str, Any], name: str, path: Path) -> Any:
    if name:
        if name not in formats:
            raise InputError(f"unknown trace format {name!r}; known: {', '.join(formats)}", "--format")
        return formats[name]
    for known in formats.values():
        needed = [c for c in (getattr(known, f) for f in known.__slots__) if isinstance(c, str) and c]
        if set(needed) <= set(columns):
            return known
    raise InputError(f"columns {', '.join(columns)} fit no known format ({', '.join(formats)}); name one", str(path))


def _seconds(column: Any, scale: float, path: Path, name: str) -> Any:
    if pd.api.types.is_numeric_dtype(column):
        endless = np.flatnonzero(~np.isfinite(column.to_numpy(dtype=float)))
        if endless.size:
            raise _wrong(column, endless, name, path, "a finite number is expected")
        return column.astype(float) * scale
    numbers = pd.to_numeric(column, errors="coerce")
    times = pd.to_datetime(column.where(numbers.isna()), errors="coerce", format="ISO8601", utc=True)
    if (odd := numbers.isna() & times.isna()).any():  # not ISO: each in a form of its own, which is slower
        times = times.where(~odd, pd.to_datetime(column.where(odd), errors="coerce", format="mixed", utc=True))
    bad = np.flatnonzero((numbers.isna() & times.isna()).to_numpy())
    if bad.size:
        raise _wrong(column, bad, name, path, "a number or a time such as 2023-11-16 18:15:46.68 is expected")
    if numbers.notna().any():
        mixed = np.flatnonzero(
            (numbers.isna() if numbers.notna().sum() * 2 > len(column) else numbers.notna()).to_numpy()
        )
        if mixed.size:
            raise _wrong(column, mixed, name, path, "numbers and dates are mixed in this column")
        return numbers.astype(float) * scale
    return times.dt.tz_localize(None).astype("datetime64[ns]").astype("int64").astype(float) * 1e-9


def _wrong(column: Any, bad: Any, name: str, path: Path, wanted: str) -> InputError:
    more = f", and {bad.size - 1:,} more lines" if bad.size > 1 else ""
    return InputError(
        f"{name} is {str(column.iloc[int(bad[0])])!r} on line {int(bad[0]) + 2}{more}; {wanted}", str(path)
    )


def _number(table: pd.DataFrame, column: str, path: Path) -> Any:
    if column not in table.columns:
        raise InputError(f"lacks the column {column!r}", str(path))
    values = table[column]
    blank = np.flatnonzero(values.isna().to_numpy())
    if blank.size:
        more = f" and {blank.size - 1} more" if blank.size > 1 else ""
        raise InputError(f"{column} is blank on line {int(blank[0]) + 2}{more}; fill or drop such lines", str(path))
    return values


def _positive(values: Any, column: str, path: Path) -> Any:
    numbers = pd.to_numeric(values, errors="coerce")
    size = numbers.to_numpy(dtype=float)
    bad = np.flatnonzero(~((size >= 0.0) & np.isfinite(size)))
    if bad.size:
        raise _wrong(values, bad, column, path, "a number from 0 is expected")
    return numbers.astype(float)


def read_jobs(path: Path | str, form: str = "") -> pd.DataFrame:
    """Jobs in order of submission: ``job, submit_s`` (from 0), ``accelerators, duration_s``.

    Jobs without an accelerator are left out; ``attrs["without"]`` counts them.

    Parameters
    ----------
    path : path
        CSV, or JSON lines.
    form : str
        A key of `JOB_FORMATS`; default by the columns.

    Raises
    ------
    InputError
        Missing columns, blanks, times that run backwards, counts below zero.

    """
    path = Path(path)
    table = _load(path)
    how: JobFormat = _choose(list(table.columns), JOB_FORMATS, form, path)
    submit = _seconds(_number(table, how.submit, path), how.scale_s, path, how.submit)
    if how.duration:
        duration = _positive(_number(table, how.duration, path), how.duration, path) * how.scale_s
    else:
        times = [_seconds(_number(table, c, path), how.scale_s, path, c) for c in (how.start, how.end)]
        duration = times[1] - times[0]
        bad = np.flatnonzero(duration.to_numpy() < 0.0)
        if bad.size:
            raise InputError(f"ends before it starts on line {int(bad[0]) + 2}", str(path))
    count = _positive(_number(table, how.accelerators, path), how.accelerators, path)
    part = np.flatnonzero((count != np.floor(count)).to_numpy())
    if part.size and not how.per_cent:
        raise _wrong(
            table[how.accelerators], part, how.accelerators, path, "a whole number of accelerators is expected"
        )
    count = np.ceil(count / 100.0) if how.per_cent else count
    out = pd.DataFrame({"job": table[how.job].astype(str), "submit_s": submit - submit.min(), "accelerators": count.astype(np.int64),
                        "duration_s": duration})  # fmt: skip
    used = out[out["accelerators"] > 0].sort_values(["submit_s", "job"], kind="stable").reset_index(drop=True)
    used.attrs["without"] = len(out) - len(used)
    return used


def read_requests(path: Path | str, form: str = "") -> pd.DataFrame:
    """Requests in order of time: ``time_s`` (from 0), ``input_tokens, output_tokens``."""
    path = Path(path)
    table = _load(path)
    how: RequestFormat = _choose(list(table.columns), REQUEST_FORMATS, form, path)
    time = _seconds(_number(table, how.time, path), how.scale_s, path, how.time)
    out = pd.DataFrame({
        "time_s": time - time.min(),
        "input_tokens": _positive(_number(table, how.input_tokens, path), how.input_tokens, path),
        "output_tokens": _positive(_number(table, how.output_tokens, path), how.output_tokens, path),
    })  # fmt: skip
    return out.sort_values("time_s", kind="stable").reset_index(drop=True)


def longest_gap_s(times: Any) -> float:
    """Longest time without an entry [s]."""
    values = np.asarray(times, dtype=float)
    return float(np.diff(values).max(initial=0.0))
