"""`boathouse policies check`: the trace, the message and the exit code."""

import json

import pytest

from boathouse.cli import main


@pytest.fixture
def check(tmp_path, capsys):
    def run(definition, spec, *more, output=""):
        files = [str(tmp_path / name) for name in ("d.json", "s.json")]
        (tmp_path / "d.json").write_text(definition if isinstance(definition, str) else json.dumps(definition))
        (tmp_path / "s.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))
        code = main(["policies", *(["--output", "json"] if output else []), "check", *files, *more])
        return code, *capsys.readouterr()

    return run


def test_what_is_accepted_is_shown_with_what_was_filled_in(check):
    code, out, _ = check({"num_workers": {"type": "fixed", "value": 2}}, {"cluster_name": "x"})
    assert (code, json.loads(out.split("accepted as\n")[1])) == (0, {"cluster_name": "x", "num_workers": 2})
    assert out.startswith("+  num_workers  fixed  fixed  2")


def test_what_is_refused_names_the_rule_that_decided(check):
    code, out, _ = check({"spark_conf.*": {"type": "forbidden"}}, {"spark_conf": {"a": "b"}})
    assert code == 1 and "✗  spark_conf.a  forbidden, by spark_conf.*  refused  b" in out
    assert out.endswith("refused\nCluster validation error: Validation failed for spark_conf, a cannot be present\n")


def test_families_and_json(check):
    code, out, _ = check("", {"num_workers": 1}, "--family", "personal-vm", "--cloud", "azure", "--defaults", output="json")
    said = json.loads(out)
    assert (code, said["accepted"], said["spec"]["node_type_id"]) == (1, False, "Standard_DS3_v2")
    assert {each["path"]: each["verdict"] for each in said["decisions"]}["num_workers"] == "refused"


@pytest.mark.parametrize(
    ("definition", "spec", "words"),
    [
        ('{"nodes": {"type": "fixed", "value": 1}}', {}, "nodes: unknown attribute"),
        ("{}", {"workers": 1}, "workers"),
        ("{}", "{", "not valid JSON"),
    ],
)
def test_what_cannot_be_read_is_named(check, definition, spec, words):
    code, _, err = check(definition, spec)
    assert code == 1 and words in err
