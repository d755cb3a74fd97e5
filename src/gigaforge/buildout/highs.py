"""HiGHS as this house takes it: a programme's matrix, a solver without its banner, a run whatever ran before, and Ctrl-C while it works."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import highspy
import linopy
import numpy as np

__all__ = ["in_background", "program_of", "quiet_highs", "run_highs"]

_POLL_S = 0.05
_BANNER = threading.Lock()


def program_of(model: linopy.Model) -> tuple[Any, Any]:
    """The matrix as HiGHS takes it, without whole numbers, and as linopy has it."""
    matrices: Any = model.matrices
    lp = highspy.HighsLp()
    a = matrices.A.tocsc()
    lp.num_col_, lp.num_row_ = a.shape[1], a.shape[0]
    lp.col_cost_ = np.asarray(matrices.c, dtype=float)
    lp.col_lower_, lp.col_upper_ = np.asarray(matrices.lb, float), np.asarray(matrices.ub, float)
    rhs, sense = np.asarray(matrices.b, float), np.asarray(matrices.sense)
    infinity = highspy.kHighsInf
    lp.row_lower_ = np.where(sense == "<", -infinity, rhs)
    lp.row_upper_ = np.where(sense == ">", infinity, rhs)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_, lp.a_matrix_.value_ = a.indptr, a.indices, a.data
    lp.sense_ = highspy.ObjSense.kMaximize if model.objective.sense == "max" else highspy.ObjSense.kMinimize
    return lp, matrices


def quiet_highs() -> Any:
    """Make a HiGHS object; its constructor prints a banner on the first call, which would spoil ``--json``."""
    with _BANNER:  # a descriptor belongs to all threads
        return _silently()


def _silently() -> Any:
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a descriptor, not a path)
            os.dup2(nowhere.fileno(), 1)
            return highspy.Highs()  # type: ignore[no-untyped-call]
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def run_highs(highs: Any) -> None:
    """Run HiGHS in this thread, after whatever ran in it before.

    HiGHS keeps one scheduler for each thread of the caller, and answers nothing at all where the next run asks for another number
    of threads than it was begun with.
    """
    highs.resetGlobalScheduler(True)
    highs.run()


def in_background(work: Callable[[], None], asked: threading.Event, given_up: threading.Event | None = None) -> None:
    """Work in a thread of its own until it ends; Ctrl-C sets `asked`, a second one `given_up` and gives up.

    Python delivers signals between byte codes of the main thread only, so the main thread waits in small steps.
    """
    given_up, done, failed = given_up or threading.Event(), threading.Event(), []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (raised again where the work was asked for)
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=guarded, daemon=True).start()
    # Not Thread.join: in Python 3.11 an interrupted join takes the thread for ended.
    while not done.is_set():
        try:
            done.wait(_POLL_S)
        except KeyboardInterrupt:
            if given_up.is_set():
                raise
            (given_up if asked.is_set() else asked).set()
    if given_up.is_set():
        raise KeyboardInterrupt
    if failed:
        raise failed[0]
