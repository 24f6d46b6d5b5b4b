"""The setting of Personal Compute, in both APIs, by the unmodified SDK."""

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied, ResourceConflict
from databricks.sdk.service import settings as v1
from databricks.sdk.service import settingsv2 as v2

from boathouse.account.settings import personal_compute

ON, DELEGATE = v1.PersonalComputeMessageEnum.ON, v1.PersonalComputeMessageEnum.DELEGATE
MASK = "personal_compute.value"


def wish(value, etag=None):
    return v1.PersonalComputeSetting(personal_compute=v1.PersonalComputeMessage(value), etag=etag, setting_name="default")


def test_by_types_and_etags(a, store, ready):
    there = a.settings.personal_compute.get()
    assert (there.setting_name, there.personal_compute.value) == ("default", ON)
    written = a.settings.personal_compute.update(True, wish(DELEGATE, there.etag), MASK)
    assert (written.personal_compute.value, written.etag != there.etag) == (DELEGATE, True)
    with store.read() as reader:
        assert personal_compute(reader, ready.home.account_id) == "DELEGATE"
        assert personal_compute(reader, "another") == "ON"
    with pytest.raises(ResourceConflict, match="was changed") as caught:
        a.settings.personal_compute.update(True, wish(ON, there.etag), MASK)
    assert caught.value.get_error_details().error_info.metadata == {"etag": written.etag}
    assert a.settings.personal_compute.update(True, wish(ON), MASK).personal_compute.value == ON
    a.settings.personal_compute.update(True, wish(DELEGATE), MASK)
    with pytest.raises(ResourceConflict):
        a.settings.personal_compute.delete(etag=written.etag)
    assert a.settings.personal_compute.delete(etag=a.settings.personal_compute.get().etag).etag
    assert a.settings.personal_compute.get().personal_compute.value == ON


def test_the_newer_api_is_the_same_setting(a):
    (known,) = a.settings_v2.list_account_settings_metadata()
    assert known.name == "dcp_acct_enable"
    there = a.settings_v2.get_public_account_setting(known.name)
    there.personal_compute = v2.PersonalComputeMessage(v2.PersonalComputeMessagePersonalComputeMessageEnum.DELEGATE)
    changed = a.settings_v2.patch_public_account_setting(known.name, there)
    assert changed.effective_personal_compute == changed.personal_compute == there.personal_compute
    assert a.settings.personal_compute.get().personal_compute.value == DELEGATE
    with pytest.raises(NotFound):
        a.settings_v2.get_public_account_setting("other")
    with pytest.raises(InvalidParameterValue, match="boolean_val"):
        a.settings_v2.patch_public_account_setting(
            known.name, v2.Setting(boolean_val=v2.BooleanMessage(True), personal_compute=there.personal_compute)
        )


def test_bad_input_and_strangers(a, api_of, modules, ready, account_of, make_user):
    root = f"/api/2.0/accounts/{ready.home.account_id}/settings/types/dcp_acct_enable/names/default"
    api = api_of(*modules)
    for setting, mask, names in (
        ({"personal_compute": {"value": "OFF"}}, MASK, "setting.personal_compute"),
        ({}, MASK, "setting.personal_compute"),
        ({"personal_compute": {"value": "ON"}, "x": 1}, MASK, "setting.x"),
        ({"personal_compute": {"value": "ON"}, "setting_name": "x"}, MASK, "setting.setting_name"),
        ({"personal_compute": {"value": "ON"}}, "x", "field_mask"),
    ):
        answer = api.patch(root, json={"setting": setting, "field_mask": mask, "allow_missing": True})
        assert (answer.status_code, answer.json()["message"].split(":")[0]) == (400, names)
    ann, _ = make_user("ann@x.org", groups=["admins"])
    by_ann = account_of(ann.principal_id)
    for call in (by_ann.settings.personal_compute.get, by_ann.settings.personal_compute.delete,
                 lambda: by_ann.settings.personal_compute.update(True, wish(ON), MASK)):  # fmt: skip
        with pytest.raises(PermissionDenied, match="Only account admins"):
            call()
