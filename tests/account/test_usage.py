"""Usage and budgets: the arithmetic by tables, the endpoints by the unmodified SDK."""

import csv
import io
from datetime import UTC, datetime

import pytest
from databricks.sdk.errors import InvalidParameterValue, NotFound, PermissionDenied
from databricks.sdk.service import billing
from hypothesis import given
from hypothesis import strategies as st

from boathouse.account import usage_math
from boathouse.account.tables import usage_records
from boathouse.account.usage_math import Record
from boathouse.identity import roles

HOUR = 3_600_000


def record(started=0, ended=None, **more):
    base = {"workspace_id": 1, "cluster_id": "c", "cluster_name": "n", "node_type": "t", "owner": "ann@x.org", "owner_id": 7,
            "tags": {}}  # fmt: skip
    return Record(started=started, ended=ended, **{**base, **more})


@pytest.mark.parametrize(
    ("started", "ended", "start", "end", "now", "wanted"),
    [
        (0, 1000, 0, 10_000, 10_000, 1), (0, None, 0, 10_000, 3000, 3), (0, None, 0, 2000, 3000, 2),
        (5000, 6000, 0, 5000, 9000, 0),
        (0, 1000, 1000, 5000, 9000, 0), (0, 4000, 1000, 3000, 9000, 2), (4000, None, 0, 9000, 3000, 0),
    ],
)  # fmt: skip
def test_seconds_in_a_window(started, ended, start, end, now, wanted):
    assert usage_math.seconds(record(started, ended), start, end, now) == wanted


TIMES = st.integers(0, 1000)


@given(st.lists(st.tuples(TIMES, TIMES)), TIMES, TIMES, TIMES)
def test_windows_side_by_side_are_one(spans, a, b, c):
    found = [record(min(span), max(span)) for span in spans]
    a, b, c = sorted((a, b, c))
    whole, left, right = (
        sum(usage_math.total(found, *window, 10_000, lambda r: 0).values()) for window in ((a, c), (a, b), (b, c))
    )
    assert whole == pytest.approx(left + right)


def at(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def test_months():
    assert usage_math.month(at("2026-12-31T23:59:59")) == (at("2026-12-01"), at("2027-01-01"))
    assert usage_math.month_named("2024-02") == (at("2024-02-01"), at("2024-03-01"))


FILTERS = [
    ({}, True),
    ({"workspace_id": {"values": [1]}}, True),
    ({"workspace_id": {"values": [2]}}, False),
    ({"tags": [{"key": "team", "value": {"values": ["x", "y"]}}]}, True),
    ({"tags": [{"key": "team", "value": {"values": ["y"]}}]}, False),
    ({"tags": [{"key": "team", "value": {"values": ["x"]}}, {"key": "other", "value": {"values": ["x"]}}]}, False),
]


@pytest.mark.parametrize(("filter", "wanted"), FILTERS)
def test_what_a_budget_takes(filter, wanted):
    assert usage_math.matches(record(tags={"team": "x"}), filter) == wanted


@pytest.fixture
def used(store, ready, clock):
    """Two clusters of two people: an hour of two nodes with team=x, and a node that is there for half an hour now."""
    now = clock()
    home = ready.home
    row = {"account_id": home.account_id, "workspace_id": home.workspace_id, "node_type": "i3.xlarge", "source": "API"}
    ann = {"owner": "ann@x.org", "owner_id": 7, "cluster_id": "a", "cluster_name": "anns", "tags": {"team": "x"}}
    bob = {"owner": "bob@x.org", "owner_id": 8, "cluster_id": "b", "cluster_name": "bobs", "tags": {}}
    with store.transaction() as tx:
        for number in (0, 1):
            node = {"node_id": f"a-{number}", "started": now - 2 * HOUR, "ended": now - HOUR}
            tx.execute(usage_records.insert().values(**row, **ann, **node))
        tx.execute(usage_records.insert().values(**row, **bob, node_id="b-0", started=now - HOUR // 2, ended=None))
        other = {**row, "account_id": "another", "workspace_id": 5}
        tx.execute(usage_records.insert().values(**other, **bob, node_id="z-0", started=0, ended=None))


def test_reading_usage(api_of, modules, ready, used, clock, make_user):
    api, path = api_of(*modules), f"/api/2.0/boathouse/accounts/{ready.home.account_id}/usage"
    answer = api.get(path).json()
    assert answer["node_seconds"] == 9000
    assert [(row["cluster_id"], row["owner"], row["node_seconds"]) for row in answer["usage"]] == [
        ("a", "ann@x.org", 7200), ("b", "bob@x.org", 1800)
    ]  # fmt: skip
    by_tag = api.get(path, params={"group_by": "tag:team"}).json()["usage"]
    assert by_tag == [{"tag:team": "x", "node_seconds": 7200}, {"tag:team": "", "node_seconds": 1800}]
    window = {"start_time": clock() - HOUR, "end_time": clock(), "group_by": "owner"}
    assert api.get(path, params=window).json()["usage"] == [{"owner": "bob@x.org", "node_seconds": 1800}]
    assert api.get(path, params={"workspace_id": 5}).json()["usage"] == []
    clock.advance(1000)
    assert api.get(path).json()["node_seconds"] == 9001
    for wrong, names in (({"group_by": "x"}, "group_by"), ({"start_time": 5, "end_time": 4}, "start_time")):
        refused = api.get(path, params=wrong)
        assert (refused.status_code, refused.json()["message"].split(":")[0]) == (400, names)


def table(answer):
    return csv.DictReader(io.StringIO(answer.contents.read().decode()))


def test_the_download(a, used, clock):
    month = datetime.fromtimestamp(clock() / 1000, UTC).strftime("%Y-%m")
    rows = list(table(a.billable_usage.download(month, month, personal_data=True)))
    assert [(row["clusterId"], row["machineHours"], row["clusterOwnerUserName"], row["clusterCustomTags"]) for row in rows] == [
        ("a", "2.000000", "ann@x.org", "team=x"), ("b", "0.500000", "bob@x.org", "")
    ]  # fmt: skip
    rows = list(table(a.billable_usage.download("2020-01", month)))
    assert [row["clusterOwnerUserName"] for row in rows] == ["", ""]
    for months in (("x", month), ("2026-13", month), (month, "2020-01")):
        with pytest.raises(InvalidParameterValue, match="month"):
            a.billable_usage.download(*months)


def budget(**more):
    alert = billing.CreateBudgetConfigurationBudgetAlertConfigurations(
        quantity_threshold="1.5", quantity_type=billing.AlertConfigurationQuantityType.LIST_PRICE_DOLLARS_USD,
        time_period=billing.AlertConfigurationTimePeriod.MONTH,
        trigger_type=billing.AlertConfigurationTriggerType.CUMULATIVE_SPENDING_EXCEEDED, **more,
    )  # fmt: skip
    clause = billing.BudgetConfigurationFilterClause(operator=billing.BudgetConfigurationFilterOperator.IN, values=["x"])
    tags = [billing.BudgetConfigurationFilterTagClause(key="team", value=clause)]
    return billing.CreateBudgetConfigurationBudget(
        display_name="team x", alert_configurations=[alert], filter=billing.BudgetConfigurationFilter(tags=tags)
    )


def test_budgets(a, api_of, modules, ready, used):
    made = a.budgets.create(budget()).budget
    assert made.budget_configuration_id and made.alert_configurations[0].alert_configuration_id
    assert list(a.budgets.list()) == [a.budgets.get(made.budget_configuration_id).budget] == [made]
    status = f"/api/2.0/boathouse/accounts/{ready.home.account_id}/budgets"
    (one,) = api_of(*modules).get(status).json()["budgets"]
    assert (one["node_hours"], one["exceeded"]) == (2, ["1.5"])
    changed = billing.UpdateBudgetConfigurationBudget.from_dict({**made.as_dict(), "display_name": "renamed", "filter": {}})
    for field in ("create_time", "update_time"):
        changed.__dict__.pop(field, None)
    assert a.budgets.update(made.budget_configuration_id, changed).budget.display_name == "renamed"
    (one,) = api_of(*modules).get(status).json()["budgets"]
    assert one["node_hours"] == 2.5
    a.budgets.delete(made.budget_configuration_id)
    with pytest.raises(NotFound):
        a.budgets.get(made.budget_configuration_id)


def test_budgets_that_are_refused(a):
    mail = billing.CreateBudgetConfigurationBudgetActionConfigurations(
        action_type=billing.ActionConfigurationType.EMAIL_NOTIFICATION, target="a@x.org"
    )
    with pytest.raises(InvalidParameterValue, match="no mail is sent"):
        a.budgets.create(budget(action_configurations=[mail]))
    for field, value in (("quantity_threshold", "x"), ("time_period", None)):
        wrong = budget()
        setattr(wrong.alert_configurations[0], field, value)
        with pytest.raises(InvalidParameterValue, match=field):
            a.budgets.create(wrong)
    nameless = budget()
    nameless.display_name = None
    with pytest.raises(InvalidParameterValue, match="display_name"):
        a.budgets.create(nameless)


def test_who_may_look(a, account_of, store, ready, make_user):
    ann, _ = make_user("ann@x.org", groups=["admins"])
    by_ann = account_of(ann.principal_id)
    for call in (lambda: list(by_ann.budgets.list()), lambda: by_ann.billable_usage.download("2026-01", "2026-01"),
                 lambda: by_ann.budgets.create(budget())):  # fmt: skip
        with pytest.raises(PermissionDenied):
            call()
    with store.transaction() as tx:
        roles.replace(tx, roles.account(ready.home.account_id), {(roles.BILLING_ADMIN, ann.principal_id)})
    assert list(by_ann.budgets.list()) == []
    assert by_ann.billable_usage.download("2026-01", "2026-01").contents
    with pytest.raises(PermissionDenied):
        by_ann.budgets.create(budget())
