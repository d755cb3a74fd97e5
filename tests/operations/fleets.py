"""A fleet of two sites, one run and one workload, to change at will."""

from gigaforge.operations.spec import FleetSpec


def spec(**changes):
    base = {
        "name": "t", "start": "2027-Q3", "years": 0.25,
        "systems": {"nv": {"accelerators": 72, "tray": 4, "power": "132 kW"}},
        "sites": [
            {"name": "a", "latitude": 33, "power": "40 MW", "racks": {"nv": 240}},
            {"name": "b", "latitude": 43, "power": "20 MW", "racks": {"nv": 100}},
        ],
        "training": [{"name": "run", "site": "a", "system": "nv", "racks": 120, "replica_racks": 4, "tokens_per_second": "1M token/s"}],
        "serving": [{"name": "chat", "demand": "30M token/s", "pools": [
            {"site": "a", "system": "nv", "racks": 60, "tokens_per_second": "500k token/s"},
            {"site": "b", "system": "nv", "racks": 80, "tokens_per_second": "500k token/s"}]}],
    }  # fmt: skip
    return FleetSpec.model_validate({**base, **changes})
