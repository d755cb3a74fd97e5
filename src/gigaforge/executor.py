"""One machine or many: the interface of ``concurrent.futures`` and nothing more.

Processes on this machine by default; a Dask scheduler's address when the ``dask.distributed`` extra is installed
(its client has the same ``submit``/``map``). Work sent out must be a module-level function and plain values, so
that it reads the same in this process, another one or another machine.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from gigaforge.errors import InputError

__all__ = ["SerialExecutor", "default_workers", "map_ordered", "open_executor"]

R = TypeVar("R")


class SerialExecutor(Executor):
    """Runs each call where it is submitted: for one worker, tests and debuggers."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """Call at once; the future is already done."""
        future: Future[R] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as problem:  # noqa: BLE001 (a future carries any failure to its reader)
            future.set_exception(problem)
        return future


def default_workers() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def open_executor(workers: int | None = None, scheduler: str = "") -> Iterator[Executor]:
    """Open an executor, and close it when done.

    Parameters
    ----------
    workers : int, optional
        Processes; default one for each core, 1 runs in this process.
    scheduler : str
        Address of a Dask scheduler, e.g. ``"tcp://10.0.0.1:8786"``; empty for this machine.

    Raises
    ------
    InputError
        Fewer than one worker, or a scheduler without ``dask.distributed`` installed.

    """
    count = default_workers() if workers is None else workers
    if count < 1:
        raise InputError(f"{count} workers; at least 1 is needed", "--workers")
    if scheduler:
        with _dask(scheduler) as executor:
            yield executor
    elif count == 1:
        yield SerialExecutor()
    else:
        # forkserver: workers start clean, so threads of the caller (Arrow, HiGHS) cannot deadlock them
        context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
        with ProcessPoolExecutor(count, mp_context=context) as pool:
            yield pool


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 (an extra)
    except ImportError:
        raise InputError(
            f"{address!r} needs dask.distributed; install it with 'pip install distributed'", "--scheduler"
        ) from None
    with Client(address) as client:
        yield client.get_executor()


def map_ordered(function: Callable[..., R], items: Iterable[tuple[Any, ...]], executor: Executor) -> Iterator[R]:
    """Results in the order of the items, each as soon as it and those before it are done."""
    futures = [executor.submit(function, *item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
