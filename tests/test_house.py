"""The house rules that a reader relies on: imports point down, public names exist and are explained."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import gigaforge

SOURCE = Path(gigaforge.__file__).parent
FLOOR = {
    "units": 0, "quarters": 0, "errors": 0, "executor": 0, "catalog": 1, "scenario": 1, "perf": 2, "codesign": 3,
    "operations": 3, "buildout": 4, "ledger": 5, "report": 6, "cli": 7, "web": 7,
}  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if module.startswith("gigaforge.") else ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if here in ("__init__", "__main__"):
        return
    assert here in FLOOR, f"{here} has no floor"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
            assert node.level == 0, "imports are absolute"
        elif isinstance(node, ast.Import):
            modules = [a.name for a in node.names]
        for module in modules:
            if room(module):
                assert FLOOR[room(module)] <= FLOOR[here], f"{path.name} imports {module} from a higher floor"


MODULES = [m.name for m in pkgutil.walk_packages([str(SOURCE)], "gigaforge.") if not m.name.endswith("__main__")]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_explained_and_its_public_names_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for public in getattr(module, "__all__", []):
        thing = getattr(module, public)
        if callable(thing) and getattr(thing, "__module__", "") == name:
            assert thing.__doc__, f"{name}.{public} has no docstring"


def test_the_public_api_is_reachable() -> None:
    for name in gigaforge.__all__:
        assert getattr(gigaforge, name) is not None
    with pytest.raises(AttributeError):
        gigaforge.nothing  # noqa: B018
