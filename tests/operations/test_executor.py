"""One interface, whoever does the work."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gigaforge.errors import GigaforgeError, InputError
from gigaforge.executor import default_workers, map_ordered, open_executor, run_tasks


def test_order_is_kept_and_workers_change_nothing():
    items = [(float(i),) for i in range(20)]
    answers = []
    for workers in (1, 2):
        with open_executor(workers) as executor:
            answers.append(list(map_ordered(math.sqrt, items, executor)))
    assert answers[0] == answers[1] == [math.sqrt(i) for i in range(20)]


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import math, sys\n"
        "from gigaforge.executor import map_ordered, open_executor\n"
        "with open_executor(2) as executor:\n"
        "    print(list(map_ordered(math.sqrt, [(4.0,), (9.0,)], executor)))\n"
        "print(sys.modules['__main__'].__file__)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n") == ["[2.0, 3.0]", str(script), ""]
    assert done.stderr == ""


def test_failures_reach_the_caller():
    with open_executor(1) as executor, pytest.raises(ValueError, match=r"math domain|nonnegative|positive"):
        list(map_ordered(math.sqrt, [(1.0,), (-1.0,)], executor))


def test_wrong_requests_are_explained():
    with pytest.raises(InputError, match="at least 1"), open_executor(0):
        pass
    with pytest.raises(InputError, match="at least 1"):
        list(run_tasks(math.pow, 2.0, [1.0], workers=0))
    assert default_workers() >= 1


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let worker processes import this module."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


def deadly(folder: str, item: int) -> int:
    """Squares; item 3 kills its worker the first time, item 99 every time."""
    marker = Path(folder) / f"{item}"
    if item == 99 or (item == 3 and not marker.exists()):
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item * item


def test_a_killed_worker_loses_nothing(tmp_path):
    results = dict(run_tasks(deadly, str(tmp_path), range(8), workers=2))
    assert results == {i: i * i for i in range(8)}
    assert (tmp_path / "3").exists()  # it did kill


def test_a_task_that_kills_every_worker_is_given_up(tmp_path):
    with pytest.raises(GigaforgeError, match=r"lost with its worker 3 times"):
        list(run_tasks(deadly, str(tmp_path), [99], workers=2))


def test_errors_of_a_task_are_raised_as_they_are():
    with pytest.raises(OverflowError):
        list(run_tasks(math.pow, 10.0, [1e9], workers=2))


def slow_square(offset: float, item: int) -> float:
    time.sleep(0.05)
    return math.sin(item) + offset


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers, each a process of its own, on this machine."""
    started = []

    def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
            command = [sys.executable, "-m", "distributed.cli." + module, *arguments]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path))
        return started[-1]

    file = tmp_path / "scheduler.json"
    start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    import json

    address = json.loads(file.read_text())["address"]
    workers = [start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard") for _ in range(2)]
    yield address, workers
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_cluster_gives_the_same_answers_though_a_worker_is_killed(cluster):
    """To the last digit, as one process, two processes and a cluster that loses half of itself."""
    address, workers = cluster
    alone = dict(run_tasks(slow_square, 0.1, range(60), workers=1))
    assert dict(run_tasks(slow_square, 0.1, range(60), workers=2)) == alone
    got = {}
    for item, value in run_tasks(slow_square, 0.1, range(60), scheduler=address):
        got[item] = value
        if len(got) == 10:
            workers[0].send_signal(signal.SIGKILL)
    assert got == alone
    assert workers[0].wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named():
    with pytest.raises(InputError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        list(run_tasks(slow_square, 0.1, [1], scheduler="tcp://127.0.0.1:9"))
