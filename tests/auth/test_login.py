"""Users and browsers: the log-in page driven by an HTTP client that keeps cookies and follows forms, and the SDK's own flow."""

import re
import threading
import webbrowser
from html import unescape
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.core import Config
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.oauth import OAuthClient, get_account_endpoints

from boathouse.auth import grants, passwords
from boathouse.auth.login import local

MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.auth.tokens", "boathouse.auth.oauth",
    "boathouse.auth.authorize", "boathouse.auth.login", "boathouse.auth.discovery", "boathouse.auth.client_secrets",
)  # fmt: skip
PASSWORD = "a boat of cedar"
REDIRECT = "http://localhost:8020"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DATABRICKS_HOST", "DATABRICKS_TOKEN", "DATABRICKS_CLIENT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Argon2 with the least cost: what is tried here is not how long it takes."""
    from argon2 import PasswordHasher

    monkeypatch.setitem(passwords._made, "hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    monkeypatch.setitem(passwords._made, "nobodys", passwords.hash_of("nobody's"))


@pytest.fixture
def host(served):
    return served(*MODULES)


@pytest.fixture
def ann(make_user, store, keys):
    made, _ = make_user("ann@x.org")
    with store.transaction() as tx:
        passwords.store_hash(tx, keys, made.principal_id, passwords.hash_of(PASSWORD))
    return made


@pytest.fixture
def browser(host):
    with httpx.Client(base_url=host) as client:
        yield client


def fields(page):
    """The hidden fields of the first form of a page."""
    form = page.text[page.text.index("<form") :]
    form = form[: form.index("</form>")]
    return {
        name: unescape(value) for name, value in re.findall(r'<input type="hidden" name="([^"]*)"[^>]*? value="([^"]*)"', form)
    }


def log_in(browser, user="ann@x.org", password=PASSWORD, at="/login"):
    page = browser.get(at)
    while page.is_redirect:
        page = browser.get(page.headers["location"])
    assert page.status_code == 200, page.text
    return browser.post("/login", data={**fields(page), "user": user, "password": password})


def code_of(answer):
    """What the application gets on its loopback address."""
    assert answer.status_code == 302 and answer.headers["location"].startswith(REDIRECT), answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def consent_of(host):
    return OAuthClient.from_host(host, "databricks-cli", REDIRECT).initiate_consent()


def test_the_sdks_flow_from_the_log_in_page_to_a_call_and_on(host, browser, ann, ready):
    consent = consent_of(host)
    entered = log_in(browser, at=consent.authorization_url)
    assert entered.status_code == 303 and entered.headers["location"].startswith("/oidc/v1/authorize?")
    session = consent.exchange_callback_parameters(code_of(browser.get(entered.headers["location"])))
    w = WorkspaceClient(config=Config(host=host, credentials_strategy=Strategy(session)))
    assert w.current_user.me().user_name == "ann@x.org"
    old = session.token()
    new = session.refresh()
    assert new.access_token != old.access_token and new.refresh_token != old.refresh_token
    assert w.current_user.me().user_name == "ann@x.org"


class Strategy:
    """The SDK's session credentials as a strategy of a client."""

    def __init__(self, session):
        self.session = session

    def auth_type(self):
        return "external-browser"

    def __call__(self, config):
        return self.session(config)


def test_external_browser_whole(host, ann, monkeypatch):
    """`auth_type="external-browser"`: the SDK opens a browser and listens on localhost:8020, as on a laptop."""
    opened = []

    def open_new(url):
        def drive():
            with httpx.Client(base_url=host) as client:
                entered = log_in(client, at=url)
                answer = client.get(entered.headers["location"])
                httpx.get(answer.headers["location"])

        opened.append(threading.Thread(target=drive))
        opened[-1].start()

    monkeypatch.setattr(webbrowser, "open_new", open_new)
    w = WorkspaceClient(host=host, auth_type="external-browser")
    assert w.current_user.me().user_name == "ann@x.org"
    assert WorkspaceClient(host=host, auth_type="external-browser").current_user.me().user_name == "ann@x.org"
    assert len(opened) == 1  # the second client found the first one's refresh token
    opened[0].join(30)


def test_at_the_account(host, browser, ann, ready, store):
    from boathouse.identity import registry

    with store.transaction() as tx:
        registry.grant_account_role(tx, ann.principal_id, "account_admin")
    endpoints = get_account_endpoints(host, ready.home.account_id)
    assert endpoints.authorization_endpoint == f"{host}/oidc/accounts/{ready.home.account_id}/v1/authorize"
    consent = OAuthClient(endpoints, REDIRECT, "databricks-cli").initiate_consent()
    entered = log_in(browser, at=consent.authorization_url)
    session = consent.exchange_callback_parameters(code_of(browser.get(entered.headers["location"])))
    a = AccountClient(config=Config(host=host, account_id=ready.home.account_id, credentials_strategy=Strategy(session)))
    with pytest.raises(NotFound, match="Service principal with id 1 does not exist"):
        a.service_principal_secrets.create("1")
    other = browser.get(consent.authorization_url.replace(ready.home.account_id, "0" * 8))
    assert other.status_code == 400 and "does not exist" in other.text


def flow(host, browser, scopes=None):
    consent = OAuthClient.from_host(host, "databricks-cli", REDIRECT, scopes=scopes).initiate_consent()
    answer = browser.get(consent.authorization_url)
    if answer.headers.get("location", "").startswith("/login"):
        entered = log_in(browser, at=answer.headers["location"])
        answer = browser.get(entered.headers["location"])
    return consent, code_of(answer)


def test_a_code_is_for_once_and_a_second_use_ends_what_it_gave(host, browser, ann):
    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    token = session.token().access_token
    assert WorkspaceClient(host=host, token=token).current_user.me().user_name == "ann@x.org"
    with pytest.raises(ValueError, match="invalid_grant"):
        consent.exchange_callback_parameters(code)
    with pytest.raises(PermissionDenied):
        WorkspaceClient(host=host, token=token).current_user.me()
    with pytest.raises(ValueError, match="invalid_grant"):
        session.refresh()


def test_a_code_needs_its_verifier_its_address_and_its_time(host, browser, ann, clock):
    consent, code = flow(host, browser)
    consent._verifier, kept = "x" * 43, consent._verifier
    with pytest.raises(ValueError, match="invalid_grant"):
        consent.exchange_callback_parameters(code)
    consent._verifier = kept
    consent._redirect_url = "http://localhost:8021"
    with pytest.raises(ValueError, match="invalid_grant"):
        consent.exchange_callback_parameters(code)
    consent._redirect_url = REDIRECT
    clock.advance(grants.CODE_MS)
    with pytest.raises(ValueError, match="invalid_grant"):
        consent.exchange_callback_parameters(code)


def test_a_refresh_token_that_was_replaced_holds_a_minute_and_then_ends_everything(host, browser, ann, clock):
    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    first = session._token
    second = session.refresh()
    assert session.refresh().access_token  # another process with the same cache, at the same time
    clock.advance(grants.GRACE_MS + 1)
    with pytest.raises(ValueError, match="invalid_grant"):
        session.refresh()
    session._token = second
    with pytest.raises(ValueError, match="invalid_grant"):
        session.refresh()
    for token in (first, second):
        with pytest.raises(PermissionDenied):
            WorkspaceClient(host=host, token=token.access_token).current_user.me()


def test_without_offline_access_there_is_no_refresh_token(host, browser, ann):
    consent, code = flow(host, browser, ["all-apis"])
    assert consent.exchange_callback_parameters(code).token().refresh_token is None


def test_revocation_by_the_application(host, browser, ann):
    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    token = session.token()
    assert httpx.post(f"{host}/oidc/v1/revoke", data={"token": token.refresh_token}).status_code == 200
    with pytest.raises(PermissionDenied):
        WorkspaceClient(host=host, token=token.access_token).current_user.me()
    assert httpx.post(f"{host}/oidc/v1/revoke", data={"token": "unknown"}).status_code == 200


def test_a_disabled_user_is_out_everywhere(host, browser, ann, store):
    from boathouse.identity import registry

    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    with store.transaction() as tx:
        registry.set_active(tx, ann.principal_id, False)
    with pytest.raises(ValueError, match="invalid_grant"):
        session.refresh()
    assert browser.get("/login").text.count('name="password"') == 1
    assert log_in(browser).status_code == 401


def test_after_a_while_the_user_is_asked_before_an_application_is_let_in(host, browser, ann, clock):
    log_in(browser)
    clock.advance(10 * 60_000)
    consent = consent_of(host)
    asked = browser.get(consent.authorization_url)
    assert asked.status_code == 200 and "Databricks CLI and SDKs" in asked.text and "ann@x.org" in asked.text
    refused = browser.post(consent.authorization_url, data={"csrf": "x"})
    assert refused.status_code == 403
    answer = browser.post(consent.authorization_url, data=fields(asked))
    assert consent.exchange_callback_parameters(code_of(answer)).token().access_token


AUTHORIZE = {
    "client_id": "databricks-cli", "redirect_uri": REDIRECT, "response_type": "code", "state": "s",
    "code_challenge": "x" * 43, "code_challenge_method": "S256", "scope": "all-apis",
}  # fmt: skip


@pytest.mark.parametrize(
    "changed",
    [{"client_id": "somebody"}, {"redirect_uri": "https://evil.example"}, {"redirect_uri": "http://localhost.evil.example"},
     {"redirect_uri": "http://localhost@evil.example/"}, {"redirect_uri": "http://evil.example#localhost"},
     {"redirect_uri": "http://localhost:99999"}, {"redirect_uri": ""}, {"redirect_uri": "http://localhost\\@evil.example"},
     {"redirect_uri": "javascript:alert(1)"}],
)  # fmt: skip
def test_nobody_is_sent_to_an_address_that_is_not_this_machine(browser, ann, changed):
    log_in(browser)
    answer = browser.get("/oidc/v1/authorize", params=AUTHORIZE | changed)
    assert answer.status_code == 400 and "location" not in answer.headers
    assert "<script" not in answer.text


@pytest.mark.parametrize(
    ("changed", "error"),
    [({"response_type": "token"}, "unsupported_response_type"), ({"code_challenge": ""}, "invalid_request"),
     ({"code_challenge_method": "plain"}, "invalid_request"), ({"scope": "sql"}, "invalid_scope"),
     ({"assume_group": "1"}, "invalid_request")],
)  # fmt: skip
def test_what_is_refused_is_told_to_the_application(browser, changed, error):
    answer = browser.get("/oidc/v1/authorize", params=AUTHORIZE | changed)
    told = code_of(answer)
    assert (told["error"], told["state"]) == (error, "s") and told["error_description"]


def test_wrong_name_and_wrong_password_are_the_same(browser, ann):
    texts = set()
    for user, password in (("ann@x.org", "wrong"), ("nobody@x.org", PASSWORD), ("", ""), ("admin@boathouse.local", "x")):
        answer = log_in(browser, user, password)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers
        texts.add(re.search(r'role="alert">([^<]*)', answer.text)[1])
    assert texts == {"User name or password is wrong."}


def test_names_compare_without_case(browser, ann):
    assert log_in(browser, " Ann@X.org ").status_code == 303


def test_guessing_is_stopped_and_others_are_not(host, browser, ann, clock):
    for _ in range(passwords.OF_PAIR):
        assert log_in(browser, password="wrong").status_code == 401
    stopped = log_in(browser)
    assert stopped.status_code == 429 and 0 < int(stopped.headers["retry-after"]) <= 900
    assert log_in(browser, "ANN@x.org").status_code == 429
    assert log_in(browser, "bob@x.org", "x").status_code == 401
    clock.advance(passwords.WINDOW_MS)
    assert log_in(browser).status_code == 303


def test_an_address_that_tries_many_names_is_stopped(browser, ann, store, keys):
    with store.transaction() as tx:
        for number in range(passwords.OF_ADDRESS):
            assert passwords.attempt(tx, keys, f"user{number}", "127.0.0.1") == 0
        assert passwords.attempt(tx, keys, "another", "127.0.0.1") > 0
        assert passwords.attempt(tx, keys, "another", "10.0.0.1") == 0
    assert log_in(browser).status_code == 429


def test_right_passwords_are_not_counted(browser, ann):
    for _ in range(passwords.OF_PAIR + 2):
        assert log_in(browser).status_code == 303


def test_the_cookie_and_the_page_are_closed(host, browser, ann):
    entered = log_in(browser)
    sent = entered.headers["set-cookie"]
    assert "HttpOnly" in sent and "SameSite=Lax" in sent and "Secure" not in sent
    page = browser.get("/login")
    assert "default-src 'none'" in page.headers["content-security-policy"] and page.headers["cache-control"] == "no-store"
    by_tls = httpx.get(f"{host}/login", headers={"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    assert by_tls.startswith("__Host-boathouse_form=") and by_tls.endswith("; Secure")


def test_a_session_opens_no_api(browser, ann):
    log_in(browser)
    assert browser.get("/api/2.0/preview/scim/v2/Me").status_code == 401


def test_a_form_of_another_site_is_refused(host, browser, ann):
    page = browser.get("/login")
    sent = {**fields(page), "user": "ann@x.org", "password": PASSWORD}
    assert browser.post("/login", data=sent, headers={"Origin": "https://evil.example"}).status_code == 403
    assert browser.post("/login", data=sent | {"csrf": "0" * 64}).status_code == 403
    assert httpx.post(f"{host}/login", data=sent).status_code == 403  # the field without the browser's cookie
    assert browser.post("/login", data=sent, headers={"Origin": host}).status_code == 303


def test_logging_out(browser, ann):
    log_in(browser)
    page = browser.get("/login")
    assert "You are logged in" in page.text
    kept = dict(browser.cookies)
    assert browser.post("/logout", data=fields(page)).status_code == 303
    assert "You are logged in" not in httpx.get(f"{browser.base_url}/login", cookies=kept).text


@pytest.mark.parametrize(
    "target",
    ["//evil.example/oidc/", "https://evil.example", "/\\evil.example", "/oidc/\nx", "oidc/v1", "/login", "/oidc", "",
     "/%2f/evil.example"],
)  # fmt: skip
def test_a_log_in_leads_nowhere_else(target):
    assert local(target) == ""
    assert local("/oidc/v1/authorize?client_id=x") == "/oidc/v1/authorize?client_id=x"


def link_for(host, ready, user):
    path = f"/api/2.0/boathouse/users/{user.principal_id}/login-link"
    return httpx.post(f"{host}{path}", json={}, headers={"Authorization": f"Bearer {ready.token}"}).json()


def test_the_first_log_in_by_a_link(host, browser, make_user, ready):
    bob, token = make_user("bob@x.org")
    link = link_for(host, ready, bob)
    page = browser.get(link["url"])
    assert "bob@x.org" in page.text
    short = browser.post(link["url"], data={**fields(page), "password": "short", "again": "short"})
    assert short.status_code == 400 and "Allowed: 10 to 1024" in short.text
    differ = browser.post(link["url"], data={**fields(page), "password": "long enough 1", "again": "long enough 2"})
    assert differ.status_code == 400 and "differ" in differ.text
    done = browser.post(link["url"], data={**fields(page), "password": "long enough", "again": "long enough"})
    assert done.status_code == 303
    assert "You are logged in" in browser.get("/login").text
    assert browser.get(link["url"]).status_code == 404
    assert log_in(httpx.Client(base_url=host), "bob@x.org", "long enough").status_code == 303
    refused = httpx.post(
        f"{host}/api/2.0/boathouse/users/{bob.principal_id}/login-link", json={}, headers={"Authorization": f"Bearer {token}"}
    )
    assert refused.status_code == 403


def test_links_end_with_time_and_with_a_new_password(host, browser, ann, ready, clock):
    first, second = link_for(host, ready, ann), link_for(host, ready, ann)
    page = browser.get(first["url"])
    browser.post(first["url"], data={**fields(page), "password": "long enough", "again": "long enough"})
    assert browser.get(second["url"]).status_code == 404
    third = link_for(host, ready, ann)
    clock.advance(passwords.LINK_MS)
    assert browser.get(third["url"]).status_code == 404


def test_a_new_password_ends_sessions_and_applications(host, browser, ann, ready):
    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    other = httpx.Client(base_url=host)
    link = link_for(host, ready, ann)
    page = other.get(link["url"])
    other.post(link["url"], data={**fields(page), "password": "long enough", "again": "long enough"})
    assert "You are logged in" not in browser.get("/login").text
    with pytest.raises(ValueError, match="invalid_grant"):
        session.refresh()
    assert log_in(browser).status_code == 401


def test_log_ins_are_in_the_audit_without_passwords(browser, ann, store):
    log_in(browser, password="not this one")
    log_in(browser)
    with store.read() as reader:
        rows = [tuple(row) for row in reader.exec_driver_sql("SELECT action, principal, status, request FROM audit")]
    assert ("login.password", "ann@x.org", 401, "{}") in rows and ("login.password", "ann@x.org", 200, "{}") in rows


def test_nothing_that_opens_is_stored(browser, host, ann, store):
    consent, code = flow(host, browser)
    session = consent.exchange_callback_parameters(code)
    secrets = [code["code"], session.token().access_token, session.token().refresh_token, browser.cookies["boathouse_session"]]
    with store.read() as reader:
        for table in ("tokens", "login_sessions", "authorization_codes", "refresh_tokens", "oauth_grants", "passwords", "audit"):
            text = str(reader.exec_driver_sql(f"SELECT * FROM {table}").all())
            assert not [secret for secret in [*secrets, PASSWORD] if secret in text]


def test_who_may_not_use_passwords_is_not_let_in(browser, ann, store, ready):
    from boathouse.auth.permissions import lists

    with store.transaction() as tx:
        lists.replace(tx, ready.home.workspace_id, "authorization/passwords", "passwords", {})
    answer = log_in(browser)
    assert answer.status_code == 403 and "You may not log in with a password here" in answer.text
    assert "boathouse_session" not in browser.cookies
    with store.transaction() as tx:
        given = {ann.principal_id: "CAN_USE"}
        lists.replace(tx, ready.home.workspace_id, "authorization/passwords", "passwords", given)
    assert log_in(browser).status_code == 303
