"""Where a setting comes from, and what a wrong one is answered."""

import pytest

from boathouse.settings import SettingError, load


def test_a_flag_wins_over_the_environment_and_that_over_the_file(tmp_path):
    (tmp_path / "boathouse.toml").write_text('port = 1\nhost = "a"\ndriver = "simulated"\n')
    settings = load({"data": str(tmp_path), "port": 3}, {"BOATHOUSE_PORT": "2", "BOATHOUSE_HOST": "b"})
    assert (settings.port, settings.host, settings.driver) == (3, "b", "simulated")
    assert settings.sources["port"] == "--port"
    assert settings.sources["host"] == "BOATHOUSE_HOST"
    assert settings.sources["driver"] == str(tmp_path / "boathouse.toml")
    assert settings.sources["cloud"] == "default"


@pytest.mark.parametrize(
    ("flags", "environ", "says"),
    [
        ({"port": "many"}, {}, "port: 'many' (from --port) is not a port number"),
        ({}, {"BOATHOUSE_PORT": "70000"}, "port: '70000' (from BOATHOUSE_PORT) is not a port number"),
        ({}, {"BOATHOUSE_DRIVER": "cloud"}, "is not one of engine, simulated"),
        ({}, {"BOATHOUSE_STRICT": "perhaps"}, "strict: 'perhaps' (from BOATHOUSE_STRICT) is not true or false"),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_source(tmp_path, flags, environ, says):
    with pytest.raises(SettingError) as refused:
        load({"data": str(tmp_path), **flags}, environ)
    assert says in str(refused.value)


def test_an_unknown_name_in_the_file_is_refused(tmp_path):
    (tmp_path / "boathouse.toml").write_text("prot = 1\n")
    with pytest.raises(SettingError, match="unknown setting 'prot'"):
        load({"data": str(tmp_path)}, {})


def test_a_file_that_is_no_toml_is_refused(tmp_path):
    (tmp_path / "boathouse.toml").write_text("port =")
    with pytest.raises(SettingError, match="not valid TOML"):
        load({"data": str(tmp_path)}, {})


def test_lists_are_separated_by_commas(tmp_path):
    settings = load({"data": str(tmp_path)}, {"BOATHOUSE_REGISTRY_PRIVATE_HOSTS": "a:5000, b"})
    assert settings.registry_private_hosts == ("a:5000", "b")
