"""Collectives never beat the links they use."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigaforge.perf.collectives import (
    Fabric,
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    local_members,
    point_to_point_s,
)

NODE = Fabric(domain=8, scale_up_bytes_s=450e9, scale_out_bytes_s=50e9)
sizes = st.sampled_from([1, 2, 4, 8, 16, 64, 512])
data = st.floats(1.0, 1e12)


@given(sizes, data)
def test_an_all_gather_is_no_faster_than_its_slowest_link(size, data_bytes):
    local = float(local_members(size, 1, 8))
    seconds = float(all_gather_s(size, local, data_bytes, NODE))
    inside = data_bytes * (local - 1) / local / 450e9
    outside = data_bytes * (1 - local / size) / (local * 50e9)
    assert seconds >= max(inside, outside) * (1 - 1e-12)


@given(sizes, data, st.floats(1.01, 10.0))
def test_more_bandwidth_is_never_slower(size, data_bytes, more):
    local = local_members(size, 1, 8)
    faster = Fabric(domain=8, scale_up_bytes_s=450e9 * more, scale_out_bytes_s=50e9 * more)
    for law in (all_gather_s, all_reduce_s, all_to_all_s):
        assert float(law(size, local, data_bytes, faster)) <= float(law(size, local, data_bytes, NODE))


def test_a_group_of_one_costs_nothing():
    assert float(all_reduce_s(1, 1, 1e9, NODE)) == 0.0
    assert float(all_to_all_s(1, 1, 1e9, NODE)) == 0.0


def test_an_all_reduce_in_a_node_matches_the_measured_bus_bandwidth():
    # nccl-tests on 8 H100: 4 GB in about 16 ms (445 GB/s of bus bandwidth)
    assert float(all_reduce_s(8, 8, 4e9, NODE)) == pytest.approx(2 * 7 / 8 * 4e9 / 450e9, rel=0.01)


def test_oversubscription_and_distance_slow_what_leaves_the_pod_or_the_site():
    far = Fabric(
        domain=8, scale_up_bytes_s=450e9, scale_out_bytes_s=50e9, oversubscription=2.0, pod=256,
        site_bytes_s=5e9, site_accelerators=1024, site_latency_s=5e-3,
    )  # fmt: skip
    spans = [64, 512, 4096]
    times = [float(all_gather_s(s, 8, 1e9, far)) for s in spans]
    assert times[0] == pytest.approx(float(all_gather_s(64, 8, 1e9, NODE)))
    assert times[1] > 1.5 * float(all_gather_s(512, 8, 1e9, NODE))
    assert times[2] > 5 * times[1]


def test_local_members_follow_the_stride():
    np.testing.assert_array_equal(local_members(np.array([4, 16, 16]), np.array([1, 1, 4]), 8), [4, 8, 2])


def test_a_send_within_the_domain_is_faster():
    near, far = point_to_point_s(1e8, 1.0, NODE), point_to_point_s(1e8, 0.0, NODE)
    assert float(near) < float(far) / 5
