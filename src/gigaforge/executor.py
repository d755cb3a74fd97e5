"""One machine or many: the interface of ``concurrent.futures``, and tasks that survive a killed worker.

Processes on this machine by default; a Dask scheduler's address when ``distributed`` is installed (the ``cluster``
extra; its client has the same ``submit``). Work sent out must be a module-level function and plain values, so that it
reads the same in this process, another one or another machine.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from gigaforge.errors import GigaforgeError, InputError

__all__ = ["SerialExecutor", "default_workers", "map_ordered", "open_executor", "run_tasks"]

R = TypeVar("R")
_PATIENCE_S = 30  # for the first worker of a cluster
_TRIES = 3  # a task that has killed so many workers is given up


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
        Fewer than one worker, a scheduler that does not answer or has no workers, workers of other versions, or no
        ``distributed`` installed.

    """
    count = _checked(workers)
    if scheduler:
        with _dask(scheduler) as client:
            yield client.get_executor()
    elif count == 1:
        yield SerialExecutor()
    else:
        with _pool(count) as pool:
            yield pool


def _checked(workers: int | None) -> int:
    count = default_workers() if workers is None else workers
    if count < 1:
        raise InputError(f"{count} workers; at least 1 is needed", "--workers")
    return count


def _pool(count: int, *shared: Any) -> ProcessPoolExecutor:
    # forkserver: workers start clean, so threads of the caller (Arrow, HiGHS) cannot deadlock them
    context: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    apart: Any = _Apart(context)
    return ProcessPoolExecutor(count, mp_context=apart, initializer=_keep, initargs=shared)


class _Apart:
    """A way to start processes that leaves the caller's script out of them.

    Python runs the script again in every new process, so one without ``if __name__ == "__main__"`` would start the work that
    it is in. What is sent out here lives in modules, which workers import themselves; the script has nothing that they need.
    """

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def Process(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802 (the name that executors call)
        """A process whose start does not tell it where the script is."""
        process = self._context.Process(*args, **kwargs)

        def apart() -> None:
            del process.start  # it travels to the worker with all else that the process has
            with _script_aside():
                process.start()

        process.start = apart
        return process


_ASIDE = threading.Lock()


@contextmanager
def _script_aside() -> Iterator[None]:
    """Without the two attributes by which a new process finds the script of this one."""
    main = sys.modules["__main__"]
    with _ASIDE:
        kept: dict[str, Any] = {name: vars(main)[name] for name in ("__file__", "__spec__") if name in vars(main)}
        try:
            vars(main).pop("__file__", None)
            main.__spec__ = None
            yield
        finally:
            for name, value in kept.items():
                setattr(main, name, value)


@contextmanager
def _dask(address: str) -> Iterator[Any]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise InputError(
            f"{address!r} needs dask.distributed; install it with 'pip install \"gigaforge[cluster]\"'", "--scheduler"
        ) from None
    try:
        client = distributed.Client(address, timeout="5s")
    except (OSError, ValueError, TimeoutError) as problem:
        why = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise InputError(f"no Dask scheduler answers at {address!r} ({why})", "--scheduler") from None
    with client:
        _check_workers(client, address)
        yield client


def _check_workers(client: Any, address: str) -> None:
    """Somebody is there to do the work, with the Python and the libraries that make the same digits."""
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError:
        raise InputError(
            f"the scheduler at {address!r} has no worker after {_PATIENCE_S} s; start some with 'dask worker {address}'",
            "--scheduler",
        ) from None
    there = client.run(_versions)
    here = _versions()
    for worker, found in there.items():
        other = {k: (v, here[k]) for k, v in found.items() if v != here[k]}
        if other:
            listed = ", ".join(f"{k} {theirs or 'missing'} there, {ours} here" for k, (theirs, ours) in other.items())
            raise InputError(
                f"worker {worker} has other versions ({listed}), which would give other digits; install the same there",
                "--scheduler",
            )


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in ("gigaforge", "highspy", "numpy", "scipy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


def map_ordered(function: Callable[..., R], items: Iterable[tuple[Any, ...]], executor: Executor) -> Iterator[R]:
    """Results in the order of the items, each as soon as it and those before it are done."""
    if isinstance(executor, SerialExecutor):
        # One at a time as they are asked for, so that whoever counts them can.
        yield from (function(*item) for item in items)
        return
    futures = [executor.submit(function, *item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


# -- tasks that share one large value, and outlive the workers that do them -----------------------------------------

_SHARED: list[Any] = []


def _keep(*shared: Any) -> None:
    _SHARED[:] = shared


def _with_kept(function: Callable[[Any, Any], R], item: Any) -> R:
    return function(_SHARED[0], item)


def run_tasks(
    function: Callable[[Any, Any], R],
    shared: Any,
    items: Iterable[Any],
    *,
    workers: int | None = None,
    scheduler: str = "",
) -> Iterator[tuple[Any, R]]:
    """Call ``function(shared, item)`` for every item, wherever there is a core; yield each item with its result.

    Results come as they are done, in any order. `shared` travels once to each worker. A worker that dies takes
    nothing along: what it was doing is done again elsewhere, three times at most.

    Parameters
    ----------
    function : callable
        Of a module, so that other processes can import it.
    shared, items : picklable values
        Items are hashable.
    workers, scheduler
        As `open_executor`.

    Raises
    ------
    GigaforgeError
        The same item has killed three workers. Exceptions of the function itself are raised as they are.

    """
    count = _checked(workers)
    todo = list(items)
    if scheduler:
        yield from _on_cluster(function, shared, todo, scheduler)
    elif count == 1:
        for item in todo:
            yield item, function(shared, item)
    else:
        yield from _on_processes(function, shared, todo, min(count, max(len(todo), 1)))


def _on_processes(
    function: Callable[[Any, Any], R], shared: Any, todo: list[Any], count: int
) -> Iterator[tuple[Any, R]]:
    lost: dict[Any, int] = {}
    while todo:
        running: dict[Future[R], Any] = {}
        waiting = iter(todo)
        finished: set[Any] = set()
        with _pool(count, shared) as pool:
            try:
                # Few at a time: when a worker dies the pool is lost, and only what was under way is to blame.
                while True:
                    while len(running) < 2 * count and (item := next(waiting, _END)) is not _END:
                        running[pool.submit(_with_kept, function, item)] = item
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        item = running.pop(future)
                        finished.add(item)
                        yield item, result
            except BrokenExecutor:
                for item in [i for f, i in running.items() if not (f.done() and f.exception() is None)]:
                    lost[item] = lost.get(item, 0) + 1
                    if lost[item] >= _TRIES:
                        raise GigaforgeError(
                            f"task {item!r} was lost with its worker {_TRIES} times; is there enough memory?"
                        ) from None
            finally:
                for future in running:
                    future.cancel()
        todo = [item for item in todo if item not in finished]


_END = object()


def _on_cluster(
    function: Callable[[Any, Any], R], shared: Any, todo: list[Any], address: str
) -> Iterator[tuple[Any, R]]:
    with _dask(address) as client:
        distributed: Any = importlib.import_module("distributed")
        # Not scattered: data scattered to a worker dies with it, data inside the graph is kept by the scheduler.
        value = client.submit(_same, shared, pure=False)
        futures = {client.submit(function, value, item, pure=False, retries=_TRIES - 1): item for item in todo}
        try:
            for future in distributed.as_completed(list(futures)):
                try:
                    yield futures[future], future.result()
                except distributed.KilledWorker:
                    raise GigaforgeError(
                        f"task {futures[future]!r} was lost with its worker; is there enough memory?"
                    ) from None
        finally:
            client.cancel(list(futures))


def _same(value: R) -> R:
    return value
