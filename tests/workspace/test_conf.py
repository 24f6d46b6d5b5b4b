"""`workspace-conf` (reference api F)."""

import pytest

PATH = "/api/2.0/workspace-conf"


@pytest.fixture
def api(api_of):
    return api_of("boathouse.workspace.conf")


def test_unset_is_null_and_set_is_what_was_set(api):
    assert api.get(f"{PATH}?keys=enableDcs,enableTokensConfig").json() == {"enableDcs": None, "enableTokensConfig": None}
    done = api.patch(PATH, json={"enableDcs": "true", "maxTokenLifetimeDays": "90"})
    assert (done.status_code, done.content) == (204, b"")
    assert api.get(f"{PATH}?keys=enableDcs,maxTokenLifetimeDays").json() == {"enableDcs": "true", "maxTokenLifetimeDays": "90"}
    api.patch(PATH, json={"enableDcs": "False"})
    assert api.get(f"{PATH}?keys=enableDcs").json() == {"enableDcs": "false"}


@pytest.mark.parametrize(
    ("body", "status", "code", "text"),
    [({"bogus": "true"}, 400, "BAD_REQUEST", "bogus is an invalid config key"),
     ({"enableDcs": True}, 400, "INVALID_PARAMETER_VALUE", "'enableDcs': 'True'. Values of workspace-conf are strings."),
     ({"enableDcs": "maybe"}, 400, "INVALID_PARAMETER_VALUE", "Allowed: true, false."),
     ({"enableDcs": None}, 400, "INVALID_PARAMETER_VALUE", "strings"),
     ({"maxTokenLifetimeDays": "-1"}, 400, "INVALID_PARAMETER_VALUE", "days from 0"),
     ({"maxTokenLifetimeDays": "731"}, 400, "INVALID_PARAMETER_VALUE", "730"),
     ({"maxTokenLifetimeDays": "²"}, 400, "INVALID_PARAMETER_VALUE", "730"),
     ({"enableWebTerminal": "true"}, 501, "NOT_IMPLEMENTED", "enableWebTerminal"),
     ({}, 400, "MALFORMED_REQUEST", "at least one"),
     ([], 400, "MALFORMED_REQUEST", "JSON object")],
)  # fmt: skip
def test_refusals(api, body, status, code, text):
    refused = api.patch(PATH, json=body)
    assert (refused.status_code, refused.json()["error_code"]) == (status, code)
    assert text in refused.json()["message"]


def test_all_or_none(api):
    assert api.patch(PATH, json={"enableDcs": "true", "bogus": "x"}).status_code == 400
    assert api.get(f"{PATH}?keys=enableDcs").json() == {"enableDcs": None}


def test_reading_needs_known_names(api):
    assert api.get(f"{PATH}?keys=bogus").json()["message"] == "bogus is an invalid config key"
    assert api.get(PATH).json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_admins_set_and_everybody_reads(api, make_user):
    _, token = make_user("ann@x.org")
    refused = api.patch(PATH, json={"enableDcs": "true"}, token=token)
    assert (refused.status_code, refused.json()["error_code"]) == (403, "PERMISSION_DENIED")
    assert api.get(f"{PATH}?keys=enableDcs", token=token).json() == {"enableDcs": None}
