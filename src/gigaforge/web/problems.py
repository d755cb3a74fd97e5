"""Errors as problem+json (RFC 9457): one shape for every way in which a request can fail.

References
----------
.. [1] RFC 9457, Problem Details for HTTP APIs, https://www.rfc-editor.org/rfc/rfc9457.

"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from gigaforge.errors import GigaforgeError, InputError, NoAnswerError
from gigaforge.ledger.errors import BrokenLedgerError, HeadMovedError, RefusedError, UnavailableError, UnknownError

__all__ = ["PROBLEM", "ProblemError", "bug", "for_reader", "install", "problem"]

PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "gigaforge:RULE, stable"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "where": {"type": "string", "description": "the field that is wrong"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "head": {"type": "string", "description": "the head that stands now, where another was expected"},
    },
}
_RETRY_S: Final = 5
_LOG = logging.getLogger("gigaforge.web")


class ProblemError(Exception):
    """A refusal of the web face itself: not logged in, not allowed, too large, too often."""

    def __init__(self, status: int, rule: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.rule, self.detail, self.headers = status, rule, detail, headers


def problem(
    status: int, rule: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> JSONResponse:
    """One problem+json answer."""
    content = {
        "type": f"gigaforge:{rule}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **more,
    }
    return JSONResponse(content, status, headers=headers, media_type="application/problem+json")


def for_reader(request: Request, answer: JSONResponse) -> Response:
    """The same refusal for who asked: a page for a browser's address, problem+json for the API."""
    page = getattr(request.app.state, "error_page", None)
    if page is None or request.url.path.startswith("/api/"):
        return answer
    told: Mapping[str, Any] = json.loads(bytes(answer.body))
    shown: Response = page(request, told)
    for name in ("retry-after", "allow"):
        if name in answer.headers:
            shown.headers[name] = answer.headers[name]
    return shown


def _known(error: GigaforgeError) -> JSONResponse:
    if isinstance(error, UnknownError):
        return problem(404, "unknown", error.problem, where=error.where)
    if isinstance(error, HeadMovedError):
        return problem(412, error.rule, str(error), head=error.found)
    if isinstance(error, RefusedError):
        return problem(409, error.rule, error.problem, reasons=error.reasons)
    if isinstance(error, InputError):
        return problem(422, "input", error.problem, where=error.where)
    if isinstance(error, NoAnswerError):
        return problem(409, "no-answer", error.problem, reasons=error.reasons)
    if isinstance(error, BrokenLedgerError):
        _LOG.error("the ledger is broken: %s", error)
        return problem(503, "broken-ledger", str(error))
    if isinstance(error, UnavailableError):  # whoever asks need not know where the database is
        _LOG.error("%s", error)
        words = "the ledger's database does not answer; try again soon, and send what was to be recorded with the key that it had"
        return problem(503, "unavailable", words, headers={"retry-after": str(_RETRY_S)})
    return problem(409, "refused", str(error))


def bug(request: Request, error: Exception) -> Response:
    """What nobody foresaw: told to the log, and to who asked without its details."""
    _LOG.exception("internal error at %s", request.url.path, exc_info=error)
    return for_reader(request, problem(500, "internal", "internal error; the server's log says more"))


def install(app: FastAPI) -> None:
    """Answer every refusal in this shape; `bug` answers the rest, inside the guard, so that its answer is as safe as any."""

    @app.exception_handler(GigaforgeError)
    def _explained(request: Request, error: GigaforgeError) -> Response:
        return for_reader(request, _known(error))

    @app.exception_handler(ProblemError)
    def _refused(request: Request, error: ProblemError) -> Response:
        return for_reader(request, problem(error.status, error.rule, error.detail, headers=error.headers))

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return for_reader(request, problem(422, "input", str(first["msg"]), where=where))

    @app.exception_handler(HTTPException)
    def _http(request: Request, error: HTTPException) -> Response:
        rule = {404: "unknown", 405: "method", 413: "too-large", 422: "input"}.get(error.status_code, "http")
        return for_reader(
            request, problem(error.status_code, rule, str(error.detail), headers=dict(error.headers or {}))
        )
