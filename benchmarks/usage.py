"""What a process has used: in a module of its own, since workers know modules and not the script that opened them."""

from __future__ import annotations

import os
import resource
import time

__all__ = ["own_usage"]


def own_usage(_: int) -> tuple[int, float, int]:
    """Of the process that runs this: its number, processor time [s], most memory [byte]."""
    time.sleep(0.02)  # so that no worker answers for another
    used = resource.getrusage(resource.RUSAGE_SELF)
    return os.getpid(), used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss
