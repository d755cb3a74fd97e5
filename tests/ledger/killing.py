"""Kill writers in the midst of their work, and look what is left. Run as a program it is such a writer."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gigaforge.ledger import Ledger, actions, verify
from tests.ledger.postgres import Cluster
from tests.ledger.world import CHO, new_ledger

_PROCESSES, _THREADS = 2, 50


def write(where: str, worker: int, count: int) -> None:
    """In a process of its own: record events from many threads, and say which were acknowledged."""
    lock = threading.Lock()
    with Ledger.open(where) as ledger:
        drafts = [
            actions.draft(
                "delivery",
                CHO,
                {"racks": [f"W{worker}-{n}"], "system": "rack", "site": "abilene"},
                key=f"{worker}-{n}",
            )
            for n in range(count)
        ]

        def one(n: int) -> None:
            event = ledger.append(drafts[n])
            with lock:
                os.write(1, f"{event.seq} {event.hash}\n".encode())

        os.write(1, b"ready\n")
        sys.stdin.readline()
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(one, range(count)))


class Round:
    """One start and one kill."""

    def __init__(self, where: str, writes: int, after: int) -> None:
        self.acknowledged: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._after = after
        each = writes // _PROCESSES
        self._processes = [
            subprocess.Popen(
                [sys.executable, __file__, where, str(worker), str(each)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
            )
            for worker in range(_PROCESSES)
        ]  # fmt: skip

    def run(self, server: Cluster | None, rng: random.Random) -> None:
        for process in self._processes:
            assert process.stdout.readline() == "ready\n"
        readers = [threading.Thread(target=self._read, args=(p,)) for p in self._processes]
        for process, reader in zip(self._processes, readers, strict=True):
            reader.start()
            process.stdin.write("go\n")
            process.stdin.flush()
        self._enough.wait(120)
        time.sleep(rng.uniform(0, 0.02))  # between two commits as well as in one
        if server is not None:
            server.kill()
        for process in self._processes:
            process.send_signal(signal.SIGKILL)
        for process, reader in zip(self._processes, readers, strict=True):
            process.wait()
            reader.join()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            seq, _, head = line.strip().partition(" ")
            if len(head) == 64:  # a line cut off by the kill was not an acknowledgement
                with self._lock:
                    self.acknowledged.append((int(seq), head))
                    if len(self.acknowledged) >= self._after:
                        self._enough.set()
        self._enough.set()


def trial(where: str, folder: Path, writes: int, rng: random.Random, server: Cluster | None) -> dict:
    """One round; says what was acknowledged, found, lost, and whether the ledger verifies."""
    new_ledger(where, folder, commitment_w=10**12).close()
    this = Round(where, writes, rng.randint(1, writes - 1))
    this.run(server, rng)
    if server is not None:
        server.start()
    with Ledger.open(where) as ledger:
        found = {event.seq: event.hash for event in ledger.all_events()}
        sound = verify(ledger.engine).sound
    lost = [seq for seq, head in this.acknowledged if found.get(seq) != head]
    return {"acknowledged": len(this.acknowledged), "found": len(found) - 4, "lost": len(lost), "sound": sound}


if __name__ == "__main__":
    write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
