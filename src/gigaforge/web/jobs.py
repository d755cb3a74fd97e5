"""Long work (plans, risk studies, verification) in processes of its own, with its progress to watch."""

from __future__ import annotations

import multiprocessing
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

from gigaforge.ledger.errors import RefusedError, UnknownError
from gigaforge.ledger.event import Actor

__all__ = ["Job", "Jobs", "Report", "Work"]

_KEPT: Final = 100
"""Finished jobs that can still be asked for."""
_WAITING: Final = 20
"""Jobs that may wait for their turn."""
_STEPS: Final = 2000
"""Progress messages kept for one job; the oldest go first."""

Report = Callable[[dict[str, Any]], None]
Work = Callable[[dict[str, Any], Report], dict[str, Any]]


@dataclass
class Job:
    """One piece of long work.

    Attributes
    ----------
    status : str
        waiting, running, done, failed or cancelled.
    steps : list of dict
        Progress so far, numbered from `first`.
    result, error : dict
        What came out, or why nothing did.

    """

    id: str
    kind: str
    owner: Actor
    work: Work
    request: dict[str, Any]
    status: str = "waiting"
    steps: list[dict[str, Any]] = field(default_factory=list)
    first: int = 0
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    started: float = 0.0
    seconds: float = 0.0

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.status in ("done", "failed", "cancelled")

    def row(self) -> dict[str, Any]:
        """As JSON output shows it."""
        seconds = time.monotonic() - self.started if self.status == "running" else self.seconds
        return {
            "id": self.id, "kind": self.kind, "status": self.status, "owner": str(self.owner), "seconds": round(seconds, 1),
            "progress": self.steps[-1] if self.steps else None, "result": self.result, "error": self.error,
        }  # fmt: skip


class Jobs:
    """Runs jobs, some at once, the rest in order.

    Parameters
    ----------
    at_once : int
        Processes.

    """

    def __init__(self, at_once: int = 1) -> None:
        self._at_once = at_once
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._running: dict[str, Any] = {}
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, kind: str, owner: Actor, work: Work, request: dict[str, Any]) -> Job:
        """Start a job, or let it wait; `work` is a module-level function that runs in another process."""
        job = Job(secrets.token_hex(8), kind, owner, work, request)
        with self._changed:
            if sum(j.status == "waiting" for j in self._jobs.values()) >= _WAITING:
                raise RefusedError("busy", f"{_WAITING} jobs wait already; try again later")
            self._jobs[job.id] = job
            over = [j.id for j in self._jobs.values() if j.over]
            for name in over[: max(len(self._jobs) - _KEPT, 0)]:
                del self._jobs[name]
            self._start_waiting()
        return job

    def get(self, identifier: str, party: str) -> Job:
        """A party's job; `UnknownError` where it has none of that name."""
        job = self._jobs.get(identifier)
        if job is None or job.owner.party != party:
            raise UnknownError(f"there is no job {identifier[:40]!r}")
        return job

    def all(self, party: str) -> list[Job]:
        """A party's jobs, newest first."""
        with self._changed:
            return [job for job in reversed(self._jobs.values()) if job.owner.party == party]

    def cancel(self, identifier: str, party: str) -> Job:
        """Stop a job."""
        job = self.get(identifier, party)
        with self._changed:
            if not job.over:
                process = self._running.get(job.id)
                self._finish(job, "cancelled")
                if process is not None:
                    process.terminate()
                self._start_waiting()
        return job

    def watch(self, job: Job, after: int = 0, wait_s: float = 15.0) -> Iterator[dict[str, Any] | None]:
        """Progress messages from a number on, as they come; None now and then when nothing does; ends with the job."""
        number = max(after, job.first)
        while True:
            with self._changed:
                if number >= job.first + len(job.steps) and not job.over and not self._closed:
                    self._changed.wait(wait_s)
                number = max(number, job.first)
                news = job.steps[number - job.first :]
                ended = job.over or self._closed
            if not news and not ended:
                yield None
            for step in news:
                yield {"number": number, **step}
                number += 1
            if ended:
                return

    def close(self) -> None:
        """Stop everything."""
        with self._changed:
            self._closed = True
            for process in self._running.values():
                process.terminate()
            self._changed.notify_all()

    # Inside: always with the lock held

    def _start_waiting(self) -> None:
        for job in self._jobs.values():
            if len(self._running) >= self._at_once or self._closed:
                return
            if job.status == "waiting":
                self._start(job)

    def _start(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")  # a server's threads must not be forked
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(theirs, job.work, job.request), daemon=False)
        job.status, job.started = "running", time.monotonic()
        self._running[job.id] = process
        process.start()
        theirs.close()
        threading.Thread(target=self._follow, args=(job, process, ours), daemon=True).start()

    def _follow(self, job: Job, process: Any, pipe: Connection) -> None:
        last: dict[str, Any] = {"failed": {"error": "the process ended without a word", "exit_code": 70}}
        try:
            while True:
                last = pipe.recv()
                with self._changed:
                    if "step" in last and not job.over:
                        job.steps.append(last["step"])
                        if len(job.steps) > _STEPS:
                            del job.steps[0]
                            job.first += 1
                        self._changed.notify_all()
        except (EOFError, OSError):
            pass
        process.join()
        with self._changed:
            if not job.over:
                job.result, job.error = last.get("done"), last.get("failed")
                if job.result is None and job.error is None:
                    job.error = {"error": "the process was stopped", "exit_code": 70}
                self._finish(job, "done" if job.error is None else "failed")
            self._running.pop(job.id, None)
            self._start_waiting()

    def _finish(self, job: Job, status: str) -> None:
        job.seconds = time.monotonic() - job.started if job.started else 0.0
        job.status = status
        self._changed.notify_all()


def _run(pipe: Connection, work: Work, request: dict[str, Any]) -> None:
    """In the job's own process: do the work and tell of it."""
    from gigaforge.errors import GigaforgeError, NoAnswerError  # noqa: PLC0415

    try:
        pipe.send({"done": work(request, lambda step: pipe.send({"step": step}))})
    except GigaforgeError as problem:
        reasons = problem.reasons if isinstance(problem, NoAnswerError) else []
        pipe.send({"failed": {"error": str(problem), "exit_code": problem.exit_code, "reasons": reasons}})
    except Exception as bug:  # noqa: BLE001 (whatever happens, the watcher hears of it)
        pipe.send({"failed": {"error": f"internal error: {type(bug).__name__}: {bug}", "exit_code": 70}})
