"""One ledger for all tests that only read, a fresh one for those that write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fastapi import FastAPI

from gigaforge.buildout.folder import write_plan_folder
from tests.report import plans
from tests.web.pages.served import app_of, write_ledger


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    write_ledger(folder)
    return folder


@pytest.fixture(scope="session")
def served(written: Path) -> FastAPI:
    """Read only, please."""
    return app_of(str(written / "ledger.db"))


@pytest.fixture
def app(written: Path, tmp_path: Path) -> FastAPI:
    """With a ledger of its own."""
    shutil.copy(written / "ledger.db", tmp_path / "ledger.db")
    return app_of(str(tmp_path / "ledger.db"))


@pytest.fixture(scope="session")
def plan_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan_folder(plans.small(), tmp_path_factory.mktemp("plans") / "small")
