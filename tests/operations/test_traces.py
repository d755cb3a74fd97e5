"""Published trace formats are read, replayed and written; wrong ones are explained."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigaforge.errors import InputError
from gigaforge.operations.modes import RackClass, default_failures
from gigaforge.operations.replay import replay
from gigaforge.operations.requests import Engine, replay_requests
from gigaforge.operations.scheduler import _Cluster, replay_jobs
from gigaforge.operations.traces import read_jobs, read_requests, sample_path


@pytest.mark.parametrize("name", ["philly.csv", "alibaba.csv"])
def test_job_samples_replay(name):
    summary, table = replay(sample_path(name), racks=16)
    assert summary["jobs"] == len(table) > 100
    assert 0.0 < summary["utilisation"] <= 1.0
    assert (table["wait_s"] >= 0).all()
    assert (table["end_s"] > table["start_s"]).all()


@pytest.mark.parametrize(
    ("name", "mean_in"), [("azure.csv", 1155), ("burstgpt.csv", 1155), ("mooncake.jsonl", 12035)]
)
def test_request_samples_replay(name, mean_in):
    summary, table = replay(sample_path(name))
    assert summary["mean_input_tokens"] == pytest.approx(mean_in, rel=0.25)
    assert summary["engines_at_peak"] > 0
    assert np.isfinite(table.to_numpy()).all()


def test_units_of_the_formats():
    jobs = read_jobs(sample_path("alibaba.csv"))
    assert jobs["accelerators"].max() == 8  # 800 per cent of a GPU
    requests = read_requests(sample_path("mooncake.jsonl"))
    assert requests["time_s"].max() < 600  # milliseconds in the file
    assert requests["time_s"].min() == 0.0


def test_requests_by_bin_add_up():
    requests = read_requests(sample_path("azure.csv"))
    demand = replay_requests(requests, Engine(20000, 0.03, 32), bin_s=60.0)
    assert demand.requests_per_s.sum() * 60 == pytest.approx(len(requests))
    assert demand.tokens_per_s.sum() * 60 == pytest.approx(requests["output_tokens"].sum())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "fit no known format"),
        ("job_id,submit_s,accelerators,duration_s\nx,0,,5\n", "accelerators is blank on line 2"),
        ("job_id,submit_s,accelerators,duration_s\nx,0,1,5\ny,1,2,-5\n", "duration_s is '-5' on line 3"),
        (
            "job_id,submit_s,accelerators,duration_s\nx,0,1,5\ny,soon,1,5\n",
            "submit_s is 'soon' on line 3; a number or a time",
        ),
        ("job_id,submit_s,accelerators,duration_s\nx,0,1,5\ny,2020-01-01,1,5\n", "numbers and dates are mixed"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2020-01-01 00:00:00.5,1,3\n2020-01-01 00:00:01,abc,3\n",
            "ContextTokens is 'abc' on line 3; a number from 0",
        ),
        (
            "jobid,submitted_time,start_time,end_time,gpus\nx,2020-01-01,2020-01-03,2020-01-02,1\n",
            "ends before it starts",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2020-01-01,,3\n", "ContextTokens is blank"),
        (
            "job_id,submit_s,accelerators,duration_s\nx,0,100000,5\n",
            "trace.csv: job x needs 100,000 accelerators; the cluster has 512",
        ),
        ("job_id,submit_s,accelerators,duration_s\n", "has a head and no line below it"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "has a head and no line below it"),
        ("", "is empty"),
        ("name: x\nyears: 1\nsystems: [a, b, c]\n", "is not a CSV trace: line 3 has 3 fields, the head 1"),
        ("job_id,submit_s,accelerators,duration_s\nx,0,inf,5\n", "accelerators is 'inf' on line 2"),
        ("job_id,submit_s,accelerators,duration_s\nx,inf,1,5\n", "submit_s is 'inf' on line 2; a finite number"),
        ("job_id,submit_s,accelerators,duration_s\nx,0,1.5,5\n", "accelerators is '1.5' on line 2; a whole number"),
        ("job_id,submit_s,accelerators,duration_s\nx,0,0,5\n", "no job in it uses an accelerator"),
    ],
)
def test_broken_traces_are_explained(tmp_path, text, message):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        replay(path)


def test_jobs_without_accelerators_are_left_out_and_counted(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("job_id,submit_s,accelerators,duration_s\nx,0,0,5\ny,1,2,5\n")
    summary, table = replay(path)
    assert (summary["jobs"], summary["jobs_without_accelerators"], len(table)) == (1, 1, 1)


def test_unknown_names(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        replay(tmp_path / "none.csv")
    with pytest.raises(InputError, match="unknown trace format 'excel'"):
        replay(sample_path("azure.csv"), "excel")
    with pytest.raises(InputError, match="at least 1 each"):
        replay(sample_path("philly.csv"), racks=0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 80), st.integers(2, 24), st.sampled_from([4, 8, 72]))
def test_the_scheduler_never_gives_out_more_than_there_is(seed, count, racks, domain):
    rng = np.random.default_rng(seed)
    size = racks * domain
    jobs = pd.DataFrame({
        "job": [f"j{i}" for i in range(count)], "submit_s": np.sort(rng.random(count) * 1000.0),
        "accelerators": np.minimum(rng.integers(1, 2 * domain, count) * rng.integers(1, 4, count), size),
        "duration_s": rng.exponential(300.0, count),
    })  # fmt: skip
    out = replay_jobs(jobs, racks, RackClass("r", domain), table=default_failures()).jobs
    assert out["start_s"].notna().all()
    assert (out["start_s"] >= out["submit_s"] - 1e-9).all()
    held = np.where(out["accelerators"] < domain, out["accelerators"], -(-out["accelerators"] // domain) * domain)
    for at in out["start_s"]:
        running = (out["start_s"] <= at) & (out["end_s"] > at)
        assert held[running].sum() <= size


def test_domains_are_kept_whole_and_pods_preferred():
    cluster = _Cluster(16, 8, 4)
    small = cluster.place(3)
    cluster.take(small, 3, 1)
    assert cluster.place(5).tolist() == small.tolist()  # fills the started domain
    large = cluster.place(32)
    assert np.unique(cluster.pod[large]).size == 1
    assert small[0] not in large
    cluster.take(large, 32, 1)
    assert np.unique(cluster.pod[cluster.place(64)]).size == 2
    assert cluster.place(100) is None


def test_large_jobs_are_hit_more_often_than_small():
    jobs = pd.DataFrame({
        "job": [f"j{i}" for i in range(300)], "submit_s": np.arange(300) * 1e5, "accelerators": [8, 512, 1024] * 100, "duration_s": 86400.0,
    })  # fmt: skip
    out = replay_jobs(jobs, 128, RackClass("hgx", 8), table=default_failures().scaled(3.0), seed=2)
    hit = out.jobs.groupby("accelerators")["failures"].mean()
    assert hit[8] < hit[512] < hit[1024]
    summary = out.summary()
    assert summary["runtime_hit_share"] > summary["jobs_hit_share"]
