"""Log in and out: a token, or an identity provider, for a session cookie."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from gigaforge.ledger.access import close_session, identify, open_session
from gigaforge.web.problems import ProblemError
from gigaforge.web.security import COOKIE, book, same_site, settings_of

__all__ = ["begin_session", "router"]

router = APIRouter()


@router.post("/login")
def login(request: Request, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Exchange a token for a session."""
    same_site(request)
    found = identify(book(request).engine, token.strip())
    if found is None:
        raise ProblemError(401, "token", "this token is unknown, expired or revoked")
    return begin_session(request, open_session(book(request).engine, found))


def begin_session(request: Request, secret: str) -> Response:
    """Set the cookie and go to the first page."""
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        COOKIE, secret, max_age=12 * 3600, httponly=True, samesite="strict", secure=settings_of(request).secure
    )
    return answer


@router.post("/logout")
def logout(request: Request) -> Response:
    """End the session."""
    same_site(request)
    secret = request.cookies.get(COOKIE)
    if secret:
        close_session(book(request).engine, secret)
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE)
    return answer
