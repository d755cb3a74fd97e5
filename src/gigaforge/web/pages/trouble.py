"""What went wrong, as a page: a refusal in the house's look, with a way on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gigaforge.web.pages.render import render
from gigaforge.web.pages.workplace import Workplace
from gigaforge.web.security import COOKIE

__all__ = ["error_page"]

_HEADLINES: Final[Mapping[int, str]] = {
    403: "Not for you", 404: "There is nothing here", 405: "That cannot be done here", 409: "Not recorded",
    412: "The ledger has moved on", 413: "Too large", 422: "That cannot be read", 429: "Too many requests",
}  # fmt: skip

_BY_RULE: Final[Mapping[str, str]] = {
    "gigaforge:broken-ledger": "The ledger is broken", "gigaforge:unavailable": "The ledger does not answer",
    "gigaforge:provider": "The log-in does not work now",
}  # fmt: skip


def error_page(work: Workplace) -> Callable[[Request, Mapping[str, Any]], Response]:
    """Makes the page of a refusal; a stranger is led to the log-in and from there to where they wanted to go."""

    def page(request: Request, told: Mapping[str, Any]) -> Response:
        status = int(told["status"])
        if status == 401:
            here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            wanted = here if request.method == "GET" else "/" + request.url.path.split("/")[1]
            answer = RedirectResponse(f"/login?next={quote(wanted)}", 303)
            if COOKIE in request.cookies:  # a session that ended
                answer.delete_cookie(COOKIE)
            return answer
        headline = _BY_RULE.get(str(told.get("type"))) or _HEADLINES.get(status, "Something went wrong")
        text = str(told.get("detail") or told.get("title"))
        text = text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
        try:
            frame = work.frame(request, "", headline)
        except Exception:  # noqa: BLE001 (whatever is broken, its page must show)
            return HTMLResponse(render("broken.html.j2", headline=headline, text=text), status)
        return HTMLResponse(
            render("message.html.j2", page=frame, text=text, reasons=told.get("reasons", []), status=status), status
        )

    return page
