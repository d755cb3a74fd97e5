"""Log in and out: a token, an address that works once, or an identity provider, for a session cookie; and the colours."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.ledger.access import close_session, identify, open_session
from gigaforge.web.pages.frame import THEMES
from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Workplace, local_path
from gigaforge.web.security import COOKIE, book, maybe_identity, same_site, settings_of

__all__ = ["begin_session", "login_pages"]

_SESSION_S = 12 * 3600
_YEAR_S = 365 * 86400


def begin_session(request: Request, secret: str, to: str = "/") -> Response:
    """Set the cookie and go on.

    The answer is a page that leads on, not a redirection: where another site sent the browser here (an identity provider,
    a mail), it would not send a strict cookie along with the next request of that chain.
    """
    to = local_path(to)
    answer = HTMLResponse(render("onward.html.j2", address=to))
    answer.set_cookie(
        COOKIE, secret, max_age=_SESSION_S, httponly=True, samesite="strict", secure=settings_of(request).secure
    )
    return answer


def login_pages(work: Workplace) -> APIRouter:
    """The routes, for one workplace."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/login")
    def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 (the parameter's name in the address)
        if maybe_identity(request) is not None:
            return RedirectResponse(local_path(next), 303)
        return HTMLResponse(_form(work, request, next))

    @router.post("/login")
    def login(
        request: Request,
        token: Annotated[str, Form(max_length=200)] = "",
        next: Annotated[str, Form(max_length=2000)] = "/",  # noqa: A002
    ) -> Response:
        same_site(request)
        found = identify(book(request).engine, token.strip()) if token.strip() else None
        if found is None:
            wrong = "This token is unknown, expired or revoked." if token.strip() else "Paste your token first."
            return HTMLResponse(_form(work, request, next, wrong), 401)
        return begin_session(request, open_session(book(request).engine, found), next)

    @router.get("/login/once/{secret}")
    def once(request: Request, secret: str) -> Response:
        found = request.app.state.links.take(secret)
        if found is None:
            wrong = "This address was used already or is too old: it works once, for ten minutes. Start the server anew for another, or log in with a token."
            return HTMLResponse(_form(work, request, "/", wrong), 401)
        return begin_session(request, open_session(book(request).engine, found))

    @router.post("/logout")
    def logout(request: Request) -> Response:
        same_site(request)
        secret = request.cookies.get(COOKIE)
        if secret:
            close_session(book(request).engine, secret)
        answer = RedirectResponse("/login" if work.ledger is not None else "/", 303)
        answer.delete_cookie(COOKIE)
        return answer

    @router.post("/theme")
    def colours(
        request: Request,
        theme: Annotated[str, Form(max_length=10)] = "auto",
        back: Annotated[str, Form(max_length=2000)] = "/",
    ) -> Response:
        same_site(request)
        answer = RedirectResponse(local_path(back), 303)
        chosen = theme if theme in THEMES else "auto"
        answer.set_cookie("theme", chosen, max_age=_YEAR_S, samesite="lax", secure=settings_of(request).secure)
        return answer

    return router


def _form(work: Workplace, request: Request, onward: str, wrong: str = "") -> str:
    oidc = settings_of(request).oidc
    provider = f"/login/oidc?next={quote(local_path(onward))}" if oidc is not None else ""
    title = work.ledger.state().title if work.ledger is not None else ""
    frame = work.frame(request, "", "Log in", name=title)
    return render("login.html.j2", page=frame, onward=local_path(onward), wrong=wrong, provider=provider)
