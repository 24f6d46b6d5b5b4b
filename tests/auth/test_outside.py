"""Log-in by an OpenID Connect provider: a real one, in a process of its own, driven by an HTTP client with cookies."""

import json
import re
import socket
import subprocess
import sys
import time
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.oauth import OAuthClient

from boathouse.auth.issuers import Issuers
from boathouse.auth.outside import LASTS_MS, OutsideLogin
from boathouse.outbound.documents import Documents

MODULES = (
    "boathouse.identity.me", "boathouse.auth.oauth", "boathouse.auth.authorize", "boathouse.auth.login",
    "boathouse.auth.discovery",
)  # fmt: skip
USERS = (
    {"sub": "ann", "email": "Ann@x.org", "email_verified": True},
    {"sub": "bob", "email": "bob@x.org", "email_verified": False},
    {"sub": "nobody", "email": "nobody@x.org"},
    {"sub": "nameless"},
)


@pytest.fixture(scope="module")
def provider():
    """`oidc-provider-mock` with these users; gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    claims = [part for user in USERS for part in ("--user-claims", json.dumps(user))]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]
    command += claims
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + 60
    try:
        while True:
            try:
                httpx.get(f"{url}/.well-known/openid-configuration")
                break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < until, "the provider does not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def outside(provider):
    address = urlsplit(provider).netloc
    return OutsideLogin(Issuers(Documents([address])), provider, "boathouse", "its secret", "Corp ID")


@pytest.fixture
def host(served, services, outside, clock):
    clock.now = int(time.time() * 1000)
    services.add(outside)
    return served(*MODULES)


@pytest.fixture
def browser(host):
    with httpx.Client(base_url=host) as client:
        yield client


@pytest.fixture
def ann(make_user):
    return make_user("ann@x.org")[0]


def form_of(page, action):
    """The hidden fields of the form that goes to `action`."""
    form = page.text[page.text.index(f'action="{action}"') :]
    form = form[: form.index("</form>")]
    return {name: unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)}


def go(browser, at="/login"):
    """To the provider's page."""
    page = browser.get(at)
    while page.is_redirect:
        page = browser.get(page.headers["location"])
    assert "Log in with Corp ID" in page.text
    sent = browser.post("/login/oidc", data=form_of(page, "/login/oidc"))
    assert sent.status_code == 303
    return sent.headers["location"]


def log_in(browser, sub, at="/login"):
    """Over to the provider, be `sub` there, and come back."""
    back = httpx.post(go(browser, at), data={"sub": sub})
    assert back.is_redirect, back.text
    return browser.get(back.headers["location"])


def test_a_user_of_the_provider_gets_to_the_sdk(host, browser, ann):
    consent = OAuthClient.from_host(host, "databricks-cli", "http://localhost:8020").initiate_consent()
    entered = log_in(browser, "ann", consent.authorization_url)
    assert entered.status_code == 303 and entered.headers["location"].startswith("/oidc/v1/authorize?")
    answer = browser.get(entered.headers["location"])
    session = consent.exchange_callback_parameters(dict(parse_qsl(urlsplit(answer.headers["location"]).query)))
    w = WorkspaceClient(host=host, token=session.token().access_token)
    assert w.current_user.me().user_name == "ann@x.org"


@pytest.mark.parametrize(
    ("sub", "words"),
    [("nobody", "no active user here"), ("bob", "has not verified"), ("nameless", "no claim &#x27;email&#x27;")],
)
def test_whom_the_provider_knows_and_we_do_not(browser, ann, make_user, sub, words):
    make_user("bob@x.org")
    refused = log_in(browser, sub)
    assert refused.status_code == 403 and words in refused.text and "boathouse_session" not in browser.cookies


def test_a_disabled_user(browser, ann, store):
    from boathouse.identity import registry

    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    assert log_in(browser, "ann").status_code == 403


def test_the_user_said_no(browser, ann):
    page = go(browser)
    back = httpx.post(page, data={"action": "deny"}).headers["location"]
    state = dict(parse_qsl(urlsplit(page).query))["state"]  # which this provider forgets when it refuses
    refused = browser.get(f"{back}&state={state}")
    assert refused.status_code == 403 and "Corp ID refused" in refused.text


def test_an_answer_is_for_the_browser_that_asked_and_in_time(host, browser, ann, clock):
    back = httpx.post(go(browser), data={"sub": "ann"}).headers["location"]
    assert httpx.get(back).status_code == 403  # another browser: nobody is logged in as somebody else
    with httpx.Client(base_url=host) as other:
        go(other)
        assert other.get(back).status_code == 403
    clock.advance(LASTS_MS)
    assert browser.get(back).status_code == 403


def test_a_code_is_for_once(browser, ann):
    back = httpx.post(go(browser), data={"sub": "ann"}).headers["location"]
    assert browser.get(back).status_code == 303
    again = browser.get(back)
    assert again.status_code == 403 and "answers 400" in again.text


def test_a_code_of_another_log_in_does_not_fit(browser, ann):
    """Somebody slips a victim the answer to their own log-in: verifier and nonce are those of another one."""
    stolen = dict(parse_qsl(urlsplit(httpx.post(go(browser), data={"sub": "ann"}).headers["location"]).query))
    mine = dict(parse_qsl(urlsplit(go(browser)).query))
    answer = browser.get("/login/oidc/callback", params={"code": stolen["code"], "state": mine["state"]})
    assert answer.status_code == 403 and "boathouse_session" not in browser.cookies


def test_a_cookie_that_was_changed(browser, ann):
    back = httpx.post(go(browser), data={"sub": "ann"}).headers["location"]
    value = browser.cookies["boathouse_outside"]
    browser.cookies.clear()
    browser.cookies.set("boathouse_outside", "x" + value[1:])
    assert browser.get(back).status_code == 403


def test_the_form_is_ours(browser):
    assert browser.post("/login/oidc", data={"csrf": "x"}).status_code == 403


def test_a_provider_that_is_away(served, services, clock, free_port):
    address = f"127.0.0.1:{free_port}"
    services.add(OutsideLogin(Issuers(Documents([address])), f"http://{address}", "b", "", "Corp ID"))
    with httpx.Client(base_url=served(*MODULES)) as browser:
        page = browser.get("/login")
        away = browser.post("/login/oidc", data=form_of(page, "/login/oidc"))
        assert away.status_code == 503 and "Corp ID cannot be asked" in away.text


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_without_a_provider_there_is_no_button(served):
    with httpx.Client(base_url=served(*MODULES)) as browser:
        page = browser.get("/login")
        assert "/login/oidc" not in page.text
        assert browser.post("/login/oidc", data=form_of(page, "/login")).status_code == 404
