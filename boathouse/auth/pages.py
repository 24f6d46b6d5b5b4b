"""The few HTML pages of the log-in: no scripts, nothing from elsewhere, every value escaped."""

import base64
import hashlib
from html import escape
from typing import Any

from boathouse.edge import ApiError, Raw

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5a6b7b;--paper:#fff;--ground:#eef2f5;--line:#c9d3dc;
--mark:#0b5c8a;--bad:#a3261c}
@media (prefers-color-scheme:dark){:root{--ink:#e8eef3;--soft:#9db0c0;--paper:#18222c;--ground:#0f161d;--line:#34434f;
--mark:#3d9bd1;--bad:#ff8d80}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.5rem;background:var(--ground);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:23rem;background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:2rem 1.75rem}
.name{display:flex;align-items:center;gap:.6rem;font-weight:650;letter-spacing:.01em;margin-bottom:1.4rem}
.name svg{width:30px;height:30px}
h1{font-size:1.2rem;line-height:1.3;margin:0 0 .3rem}
p{margin:0 0 1.1rem;color:var(--soft);overflow-wrap:anywhere}
p strong{color:var(--ink)}
label{display:block;font-size:.9rem;font-weight:550;margin:0 0 .3rem}
input{width:100%;font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:8px;
padding:.55rem .7rem;margin:0 0 1rem}
button,.button{display:block;width:100%;font:inherit;font-weight:600;text-align:center;text-decoration:none;border-radius:8px;
padding:.6rem .7rem;border:1px solid var(--mark);background:var(--mark);color:#fff;cursor:pointer}
.button,button.quiet{background:transparent;color:var(--mark);margin-top:.75rem}
input:focus-visible,button:focus-visible,.button:focus-visible{outline:3px solid var(--mark);outline-offset:2px}
.bad{color:var(--bad);border-left:3px solid var(--bad);padding-left:.7rem}
"""

_MARK = (
    '<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" aria-hidden="true">'
    '<path d="M4 14 16 5l12 9v7H4z"/><path d="M11 21v-6h10v6"/><path d="M2 27c3 0 3-2 7-2s4 2 7 2 4-2 7-2 4 2 7 2"/></svg>'
)

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'sha256-"
        + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        + "'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Raw:
    """A whole page; `body` is HTML already."""
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} - Boathouse</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><main><div class="name">{_MARK}Boathouse</div><h1>{escape(title)}</h1>{body}</main></body></html>'
    )
    return Raw(text.encode(), status, "text/html; charset=utf-8", {**_HEADERS, **(headers or {})})


def log_in(csrf: str, target: str, host: str, problem: str = "", name: str = "", outside: str = "", status: int = 200,
           headers: dict[str, str] | None = None) -> Raw:  # fmt: skip
    """The log-in form. `outside`: the name of the provider that users may come from."""
    elsewhere = ""
    if outside:
        elsewhere = f'<form method="post" action="/login/oidc">{_hidden(csrf=csrf, next=target)}' \
            f'<button class="quiet">Log in with {escape(outside)}</button></form>'  # fmt: skip
    body = (
        f"<p>To {escape(host)}</p>{_problem(problem)}"
        f'<form method="post" action="/login">{_hidden(csrf=csrf, next=target)}'
        f'<label for="user">User name</label><input id="user" name="user" autocomplete="username" autocapitalize="none" '
        f'spellcheck="false" required autofocus value="{escape(name)}">'
        '<label for="password">Password</label><input id="password" name="password" type="password" '
        f'autocomplete="current-password" required><button>Log in</button></form>{elsewhere}'
    )
    return page("Log in", body, status, headers)


def logged_in(csrf: str, name: str, headers: dict[str, str] | None = None) -> Raw:
    """What a browser that is logged in sees when nothing else was asked for."""
    body = (
        f'<p>As <strong>{escape(name)}</strong>.</p><form method="post" action="/logout">{_hidden(csrf=csrf)}'
        '<button class="quiet">Log out</button></form>'
    )
    return page("You are logged in", body, headers=headers)


def set_password(csrf: str, name: str, shortest: int, problem: str = "", status: int = 200,
                 headers: dict[str, str] | None = None) -> Raw:  # fmt: skip
    """The form behind a one-time link."""
    body = (
        f"<p>For <strong>{escape(name)}</strong>. At least {shortest} characters.</p>{_problem(problem)}"
        f'<form method="post">{_hidden(csrf=csrf)}'
        f'<input type="hidden" name="user" autocomplete="username" value="{escape(name)}">'
        '<label for="password">New password</label><input id="password" name="password" type="password" '
        'autocomplete="new-password" required autofocus>'
        '<label for="again">The same again</label><input id="again" name="again" type="password" '
        'autocomplete="new-password" required><button>Set the password</button></form>'
    )
    return page("Choose a password", body, status, headers)


def consent(csrf: str, application: str, name: str, headers: dict[str, str] | None = None) -> Raw:
    """Asked of a browser that logged in some time ago: nobody should get a token without the user's knowledge."""
    body = (
        f"<p><strong>{escape(application)}</strong> on this machine asks to call Boathouse as "
        f"<strong>{escape(name)}</strong>. Continue only if you have just started it.</p>"
        f'<form method="post">{_hidden(csrf=csrf)}<button>Continue</button></form>'
        f'<form method="post" action="/logout">{_hidden(csrf=csrf)}<button class="quiet">Log out</button></form>'
    )
    return page("Log in to an application", body, headers=headers)


def refused(title: str, text: str, status: int, headers: dict[str, str] | None = None) -> Raw:
    """A refusal in words."""
    return page(title, f'<p class="bad">{escape(text)}</p>', status, headers)


def of_error(error: ApiError) -> Raw:
    """A refusal by the edge or an endpoint as a page: the `error_shape` of what browsers open."""
    return refused("This is not possible", error.message, error.status, error.headers)


#: How endpoints are marked that browsers open.
PUBLIC: dict[str, Any] = {"public": True, "error_shape": of_error}


def _problem(text: str) -> str:
    return f'<p class="bad" role="alert">{escape(text)}</p>' if text else ""


def _hidden(**fields: Any) -> str:
    return "".join(f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in fields.items())
