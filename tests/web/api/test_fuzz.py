"""The API never answers with a failure of its own, whatever it is sent."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error

# benchmarks/ledger_fuzz.py runs the same with many more examples.
EXAMPLES = int(os.environ.get("GIGAFORGE_FUZZ", "6"))


@pytest.mark.slow
@pytest.mark.parametrize("role", ["recorder", "approver", "admin"])
def test_nothing_in_the_openapi_document_leads_to_a_server_error(
    role: str, app: FastAPI, caller: Callable[..., TestClient]
) -> None:
    """Schemathesis writes requests, right and wrong, from the document alone."""
    client = caller("openai/ann", role)
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    headers = {"authorization": client.headers["authorization"]}

    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path.endswith("/progress") or (operation.method, operation.path) == ("post", "/api/v1/jobs"):
            continue  # jobs start processes; test_api.py watches one

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(headers=headers, checks=[not_a_server_error])

        given(case=operation.as_strategy())(check)()
