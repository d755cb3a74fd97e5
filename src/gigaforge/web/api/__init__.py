"""The HTTP API, version 1."""

from __future__ import annotations

import re

from fastapi import APIRouter
from fastapi.routing import APIRoute

from gigaforge.web.api import access, drafts, events, money, reading, uploads, work
from gigaforge.web.problems import PROBLEM

__all__ = ["router"]

_REFUSALS = {401: "log in", 403: "not allowed", 422: "the input is wrong", 429: "too often"}


def router() -> APIRouter:
    """Every route of the API."""
    shape = {"content": {"application/problem+json": {"schema": PROBLEM}}}
    responses: dict[int | str, dict[str, object]] = {
        status: {"description": words, **shape}
        for status, words in {**_REFUSALS, 400: "the request cannot be read", 404: "unknown", 409: "a rule stands against it",
                              412: "the ledger has moved on", 413: "too large", 503: "the ledger is broken, or its database does not answer"}.items()
    }  # fmt: skip
    out = APIRouter(responses=responses)
    for part in (reading, events, drafts, money, uploads, access, work):
        out.include_router(part.router)
    for route in out.routes:
        if isinstance(route, APIRoute):  # what it does, not the name of a function
            route.summary = re.split(r"[;:,.]", route.description, maxsplit=1)[0]
    return out
