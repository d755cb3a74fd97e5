"""A synthetic plan folder in the shape that the planner writes, and small fleets."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from gigaforge.operations.traces import sample_path

QUARTERS = ["2027-Q1", "2027-Q2", "2027-Q3", "2027-Q4"]


def write_plan(folder: Path, racks: int = 400, quarters: list[str] | None = None) -> Path:
    """Two sites, two systems, one run, one serving workload; racks arrive over the first two quarters."""
    quarters = quarters or QUARTERS
    folder.mkdir(parents=True, exist_ok=True)
    deployment, sites, allocation = [], [], []
    share = {"abilene": 1.0, "milam": 0.5}
    system = {"abilene": "gb300-nvl72", "milam": "vera-rubin-nvl72"}
    watts = {"gb300-nvl72": 132e3, "vera-rubin-nvl72": 200e3}
    for i, quarter in enumerate(quarters):
        for site, part in share.items():
            online = int(racks * part * min(1.0, 0.5 * (i + 1)))
            added = online - (deployment[-2]["racks_online"] if i else 0)
            deployment.append({
                "quarter": quarter, "site": site, "system": system[site], "racks_added": added, "racks_retired": 0,
                "racks_online": online, "it_power_w": online * watts[system[site]],
                "facility_power_w": online * watts[system[site]] * 1.15,
            })  # fmt: skip
            sites.append({"quarter": quarter, "site": site, "energised_w": racks * part * 250e3, "pue": 1.15})
            train, serve = int(online * 0.5), int(online * 0.4)
            allocation.append({"quarter": quarter, "site": site, "system": system[site], "workload": "frontier",
                               "point": f"train-{system[site]}", "racks": train, "tokens": train * 1e6 * 7889400.0 * 0.9})  # fmt: skip
            allocation.append({"quarter": quarter, "site": site, "system": system[site], "workload": "chat",
                               "point": f"serve-{system[site]}", "racks": serve, "tokens": serve * 4e5 * 7889400.0 * 0.5})  # fmt: skip
    points = [
        {"id": f"{short}-{name}", "workload": workload, "kind": kind, "system": name, "model": "m", "tokens_per_s_per_rack": rate,
         "it_power_w_per_rack": watts[name], "racks_per_unit": 4, "accelerators_per_rack": 72}
        for name in watts
        for short, kind, workload, rate in (("train", "training", "frontier", 1e6), ("serve", "serving", "chat", 4e5))
    ]  # fmt: skip
    pd.DataFrame(deployment).to_parquet(folder / "deployment.parquet")
    pd.DataFrame(sites).to_parquet(folder / "sites.parquet")
    pd.DataFrame(allocation).to_parquet(folder / "allocation.parquet")
    pd.DataFrame(points).to_parquet(folder / "operating_points.parquet")
    tokens = pd.DataFrame(allocation).query("workload == 'chat'").groupby("quarter")["tokens"].sum()
    plan = {
        "name": "synthetic",
        "quarters": quarters,
        "tokens_served": list(tokens[quarters]),
        "tokens_demanded": list(tokens[quarters] * 1.1),
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    return folder


@pytest.fixture
def plan_dir(tmp_path):
    return write_plan(tmp_path / "plan")


@pytest.fixture
def sample_yaml():
    return sample_path("fleet.yaml")


@pytest.fixture
def edit(sample_yaml, tmp_path):
    def change(path, value):
        data = yaml.safe_load(sample_yaml.read_text())
        here = data
        for key in path[:-1]:
            here = here[key]
        if value is None:
            del here[path[-1]]
        else:
            here[path[-1]] = value
        file = tmp_path / "fleet.yaml"
        file.write_text(yaml.safe_dump(data))
        return file

    return change


@pytest.fixture
def rng():
    return np.random.default_rng(7)
