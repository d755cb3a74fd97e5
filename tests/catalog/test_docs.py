"""The examples of docs/catalog.md are files that load."""

from __future__ import annotations

import re
from pathlib import Path

from gigaforge.catalog import load_catalog, parameter_count
from gigaforge.catalog.load import KINDS

DOCS = Path(__file__).parents[2] / "docs" / "catalog.md"


def test_examples_load_as_one_folder(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml file=(\S+)\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 6
    for name, text in examples:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    catalog = load_catalog(tmp_path)
    assert catalog.system("gb300-nvl72").price.value == 3.3e6
    assert catalog.system("b300-air-8").power.value == 13e3
    assert catalog.site("my-campus").energised[-1].power.value == 300e6
    model = catalog.model("my-moe")
    assert abs(parameter_count(model).total / model.published_parameters.value - 1) < 0.01


def test_every_kind_and_command_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert all(f"`{kind}`" in text for kind in KINDS)
    assert all(f"gigaforge catalog {verb}" in text for verb in ("list", "show", "compare", "diff", "sources"))
