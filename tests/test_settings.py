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


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("data = 5", "data: '5' (from {file}) is not a path"),
        ("cache = {a = 1}", "is not a path"),
        ("port = true", "port: 'True' (from {file}) is not a port number"),
        ("port = 1.5", "is not a port number"),
        ("registry_private_hosts = [1, 2]", "is not a list of texts"),
        ("admin = 7", "is not a text"),
        ('network_pool = "nonsense"', "network_pool: 'nonsense' (from {file}) is not a network"),
        ('host = ""', "host: '' (from {file}) is not an address to listen on"),
    ],
)
def test_a_value_of_another_kind_is_refused(tmp_path, line, says):
    (tmp_path / "boathouse.toml").write_text(line + "\n")
    with pytest.raises(SettingError) as refused:
        load({"data": str(tmp_path)}, {})
    assert says.format(file=tmp_path / "boathouse.toml") in str(refused.value)


def test_an_empty_host_does_not_mean_every_address(tmp_path):
    with pytest.raises(SettingError, match="host: '' "):
        load({"data": str(tmp_path), "host": ""}, {})


def test_a_path_longer_than_the_system_takes_is_no_bug(tmp_path):
    assert load({"data": str(tmp_path / ("a" * 300))}, {}).data.name == "a" * 300
