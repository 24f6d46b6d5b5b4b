"""The table of runtimes, as the API's clients look at it."""

import pytest

from boathouse.releases import RUNTIMES, is_ml, plain_key, runtime, spark_versions


def test_every_runtime_has_a_name_that_clients_select_by() -> None:
    for key, name in spark_versions():
        assert ("LTS" in name) != key.startswith("18.0.")
        assert "Apache Spark" in name
        assert key.split(".x-")[0] in name


def test_plain_and_machine_learning_keys_are_listed_newest_first() -> None:
    keys = [key for key, _ in spark_versions()]
    assert keys == [
        "18.0.x-scala2.13",
        "18.0.x-cpu-ml-scala2.13",
        "17.3.x-scala2.13",
        "17.3.x-cpu-ml-scala2.13",
        "16.4.x-scala2.13",
        "16.4.x-cpu-ml-scala2.13",
        "16.4.x-scala2.12",
        "16.4.x-cpu-ml-scala2.12",
        "15.4.x-scala2.12",
        "15.4.x-cpu-ml-scala2.12",
        "14.3.x-scala2.12",
        "14.3.x-cpu-ml-scala2.12",
        "13.3.x-scala2.12",
        "13.3.x-cpu-ml-scala2.12",
    ]


@pytest.mark.parametrize("each", RUNTIMES, ids=lambda each: each.key)
def test_a_machine_learning_key_has_the_runtime_of_its_plain_key(each) -> None:
    ml = each.key.replace(".x-", ".x-cpu-ml-")
    assert is_ml(ml) and not is_ml(each.key)
    assert plain_key(ml) == each.key
    assert runtime(ml) is each


@pytest.mark.parametrize("key", ["", "12.2.x-scala2.12", "17.3.x-scala2.12", "17.3", "17.3.x-gpu-ml-scala2.13"])
def test_other_keys_have_no_runtime(key: str) -> None:
    assert runtime(key) is None
