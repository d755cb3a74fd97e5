"""Templates of the page on top of the report's: one look, one way to set a table or a figure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from fastapi.responses import HTMLResponse, Response, StreamingResponse

from gigaforge.report import theme
from gigaforge.report.html import page_environment
from gigaforge.report.report_tables import Link
from gigaforge.web.pages.kept import Drawings

__all__ = ["STATIC", "asset", "flowing", "render"]

_TEMPLATES: Final = resources.files("gigaforge.web") / "templates"
STATIC: Final = ("app.css", "app.js")
"""Files that pages ask for by name."""


def render(template: str, **values: Any) -> str:
    """A page as text."""
    made: str = _environment().get_template(template).render(**values)
    return made


def flowing(template: str, drawn: Drawings, **values: Any) -> Response:
    """A page with drawings: at once where all of them are made, else as it comes, so that its reader sees what is there
    while the drawings further down are made.
    """
    if drawn.ready:
        return HTMLResponse(render(template, drawn=drawn, **values))
    parts: Iterator[str] = _environment().get_template(template).generate(drawn=drawn, **values)
    return StreamingResponse(parts, media_type="text/html; charset=utf-8")


@cache
def asset(name: str) -> tuple[str, str]:
    """A static file and its version: the page's address of it changes with its content."""
    if name not in STATIC:
        raise KeyError(name)
    text = (resources.files("gigaforge.web") / "static" / name).read_text(encoding="utf-8")
    if name == "app.css":
        light, dark = theme.css_variables("light"), theme.css_variables("dark")
        report = (resources.files("gigaforge.report") / "templates" / "report.css").read_text(encoding="utf-8")
        modes = (
            f":root{{color-scheme:light;--shade:rgb(0 0 0 / .16);{light}}}\n"
            f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;--shade:rgb(0 0 0 / .55);{dark}}}}}\n"
            f":root[data-theme=dark]{{color-scheme:dark;--shade:rgb(0 0 0 / .55);{dark}}}\n"
            f"@media print{{:root:root{{color-scheme:light;{light}}}}}\n"
        )
        text = modes + report + text
    return text, sha256(text.encode()).hexdigest()[:12]


@cache
def _environment() -> Any:
    import jinja2  # noqa: PLC0415

    own = {f.name: f.read_text(encoding="utf-8") for f in _TEMPLATES.iterdir() if f.name.endswith(".j2")}
    base = page_environment()
    environment = base.overlay(loader=jinja2.ChoiceLoader([jinja2.DictLoader(own), base.loader]))
    environment.tests = base.tests | {"web": _leads_somewhere}
    environment.globals["asset_version"] = lambda name: asset(name)[1]
    return environment


def _leads_somewhere(cell: object) -> bool:
    """On the page, a cell may also lead to another page."""
    return isinstance(cell, Link) and cell.url.startswith(("https://", "http://", "/"))
