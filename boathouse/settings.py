"""Every setting, where it comes from, and nothing else.

A value is taken from the command line, else from `BOATHOUSE_<NAME>`, else from `boathouse.toml` (in the data directory or the
current one), else from the default. Read by `server` and `cli` alone; other rooms are handed values.
"""

import os
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import fields


class SettingError(Exception):
    """A setting cannot be used; the message names it, its value, its source and what is allowed."""


def default_cache() -> Path:
    """Where releases, base images and the embedded engine live, shared by all data directories of this user."""
    if os.environ.get("BOATHOUSE_CACHE"):
        return Path(os.environ["BOATHOUSE_CACHE"])
    return Path("/var/lib/boathouse") if os.geteuid() == 0 else Path.home() / ".cache" / "boathouse"


class Field(msgspec.Struct, frozen=True):
    """One setting: its kind (`str`, `int`: a port, `count`, `days`, `bool`, `path`, `list`, `host`, `network`), what it means,
    allowed values if few."""

    kind: str
    help: str
    allowed: tuple[str, ...] = ()


#: name -> meaning. The order is the order of `boathouse settings`.
FIELDS: dict[str, Field] = {
    "data": Field("path", "the data directory: database, keys, node directories, logs"),
    "cache": Field("path", "the machine's cache: runtime releases, base images, the embedded engine's storage"),
    "host": Field("host", "the address to listen on"),
    "port": Field("int", "the port to listen on; 0 picks a free one"),
    "driver": Field("str", "what nodes are made of", ("engine", "simulated")),
    "database_url": Field("str", "an SQLAlchemy URL; empty: SQLite in the data directory"),
    "engine": Field("str", "a Docker-compatible engine's URL; empty: DOCKER_HOST, the usual sockets, an embedded Podman"),
    "admin": Field("str", "user name of the first workspace admin (used once, when the data directory is made)"),
    "cloud": Field("str", "whose node types and zones the first workspace has", ("aws", "azure", "gcp")),
    "strict": Field("bool", "refuse every image that Databricks would refuse"),
    "registry_private_hosts": Field("list", "registries that may be at private addresses, as host or host:port"),
    "registry_plain_http_hosts": Field("list", "registries that may be asked without TLS, as host or host:port"),
    "registry_token_realms": Field("list", "token services that may get a registry's credentials, as REGISTRY=REALM"),
    "registry_ca_file": Field("str", "an extra certificate authority for registries (PEM)"),
    "registry_mirrors": Field("list", "asked before a registry for what needs no log-in, as REGISTRY=HOST[/PREFIX]"),
    "registry_endpoints": Field("list", "what stands in for a registry and gets its credentials, as REGISTRY=HOST[:PORT]"),
    "registry_proxy": Field("str", "the proxy for registries, as http://HOST:PORT; empty: HTTPS_PROXY, HTTP_PROXY"),
    "registry_no_proxy": Field("list", "hosts, domains, networks that are reached without a proxy; empty: NO_PROXY"),
    "registry_wait_seconds": Field("count", "the longest wait that a registry may ask for when it was asked too often"),
    "image_pulls": Field("str", "how engines get images: through us, or directly from registries", ("through", "direct")),
    "image_cache_gb": Field("count", "gigabytes of images that are kept as registries sent them; 0: none beyond their use"),
    "rollout_builds": Field("bool", "let workspace admins build images on this machine's engine and network, in roll-outs"),
    "instance_profile_credentials": Field("list", "AWS credentials of instance profiles, as ARN=SCOPE or ARN=machine@WORKSPACE"),
    "location_private_hosts": Field("list", "endpoints of s3:// locations that may be private, as host or host:port"),
    "location_endpoints": Field("list", "URLs that stand in for a cloud's host, as HOST=URL"),
    "location_credentials": Field("list", "secret scopes with credentials for objects in clouds, as LOCATION=SCOPE"),
    "pip_index_url": Field("str", "where nodes find Python packages of libraries that name no repo; empty: pip's own index"),
    "maven_repository": Field("str", "asked before Maven Central for libraries that name no repo; empty: nothing is"),
    "cran_repository": Field("str", "where nodes find R packages of libraries that name no repo; empty: CRAN"),
    "oidc_issuer": Field("str", "the OpenID Connect provider that users may log in with; empty: none"),
    "oidc_client_id": Field("str", "our client id at that provider"),
    "oidc_client_secret_file": Field("str", "the file with our client secret there; empty: a client without a secret"),
    "oidc_name": Field("str", "what the log-in page calls that provider"),
    "oidc_user_claim": Field("str", "the claim of its ID tokens that is our user name"),
    "azure_tenant": Field("str", "the Microsoft Entra tenant whose tokens are believed; empty: none"),
    "azure_login_endpoint": Field("str", "where that tenant logs in"),
    "azure_issuer": Field("str", "who signs that tenant's tokens; empty: Microsoft's own issuers of it"),
    "issuer_private_hosts": Field("list", "token issuers that may be private and without TLS, as host or host:port"),
    "trusted_proxies": Field("list", "proxies whose X-Forwarded-For is believed, as addresses or networks"),
    "network_pool": Field("network", "the addresses that cluster networks are taken from"),
    "pool_standby": Field("bool", "keep a started Spark driver in idle instances of pools"),
    "max_clusters": Field("count", "active clusters that a workspace may have; 0: no limit"),
    "max_nodes": Field("count", "nodes that the active clusters of a workspace may come to; 0: no limit"),
    "nodes_per_minute": Field("count", "nodes that the calls of a workspace may start in a minute; 0: no limit"),
    "keep_logs_days": Field("days", "how long logs of nodes that ended are kept, in days"),
    "keep_image_checks_days": Field("days", "how long is remembered what checks and scans of images found, in days"),
    "simulated_node_ms": Field("count", "how long a simulated node takes to start, in milliseconds"),
    "audit_folder": Field("str", "a folder where the audit log is written as JSON lines; empty: nowhere"),
    "log_level": Field("str", "how much is logged", ("debug", "info", "warning", "error")),
}


class Settings(msgspec.Struct, frozen=True):
    """All settings, typed. `sources` tells where each came from."""

    data: Path
    cache: Path
    host: str
    port: int
    driver: str
    database_url: str
    engine: str
    admin: str
    cloud: str
    strict: bool
    registry_private_hosts: tuple[str, ...]
    registry_plain_http_hosts: tuple[str, ...]
    registry_token_realms: tuple[str, ...]
    registry_ca_file: str
    registry_mirrors: tuple[str, ...]
    registry_endpoints: tuple[str, ...]
    registry_proxy: str
    registry_no_proxy: tuple[str, ...]
    registry_wait_seconds: int
    image_pulls: str
    image_cache_gb: int
    rollout_builds: bool
    instance_profile_credentials: tuple[str, ...]
    location_private_hosts: tuple[str, ...]
    location_endpoints: tuple[str, ...]
    location_credentials: tuple[str, ...]
    pip_index_url: str
    maven_repository: str
    cran_repository: str
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret_file: str
    oidc_name: str
    oidc_user_claim: str
    azure_tenant: str
    azure_login_endpoint: str
    azure_issuer: str
    issuer_private_hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    network_pool: str
    pool_standby: bool
    max_clusters: int
    max_nodes: int
    nodes_per_minute: int
    keep_logs_days: int
    keep_image_checks_days: int
    simulated_node_ms: int
    audit_folder: str
    log_level: str
    sources: Mapping[str, str]


def _defaults() -> dict[str, Any]:
    return {
        "data": Path.home() / ".boathouse", "cache": default_cache(), "host": "127.0.0.1", "port": 8470, "driver": "engine",
        "database_url": "", "engine": "", "admin": "admin@boathouse.local", "cloud": "aws", "strict": False,
        "registry_private_hosts": (), "registry_plain_http_hosts": (), "registry_token_realms": (), "registry_ca_file": "",
        "registry_mirrors": (), "registry_endpoints": (), "registry_proxy": "", "registry_no_proxy": (),
        "registry_wait_seconds": 300, "image_pulls": "through", "image_cache_gb": 10, "rollout_builds": False,
        "instance_profile_credentials": (),
        "location_private_hosts": (), "location_endpoints": (), "location_credentials": (),
        "pip_index_url": "", "maven_repository": "", "cran_repository": "",
        "oidc_issuer": "", "oidc_client_id": "", "oidc_client_secret_file": "", "oidc_name": "single sign-on",
        "oidc_user_claim": "email", "azure_tenant": "", "azure_login_endpoint": "https://login.microsoftonline.com",
        "azure_issuer": "", "issuer_private_hosts": (), "trusted_proxies": (),
        "network_pool": "10.213.0.0/16", "pool_standby": True, "max_clusters": 0, "max_nodes": 0, "nodes_per_minute": 0,
        "simulated_node_ms": 50, "keep_logs_days": 30, "keep_image_checks_days": 90, "audit_folder": "", "log_level": "info",
    }  # fmt: skip


def load(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. `flags` holds what was given on the command line (None: not given).

    Raises SettingError for a value of the wrong type or an unknown name in the file.
    """
    environ = os.environ if environ is None else environ
    values = _defaults()
    sources = dict.fromkeys(values, "default")
    given = {name: value for name, value in (flags or {}).items() if value is not None and name in FIELDS}
    data = Path(given.get("data") or environ.get("BOATHOUSE_DATA") or values["data"])
    for file in (data / "boathouse.toml", Path("boathouse.toml")):
        if os.path.isfile(file):
            for name, value in _read(file).items():
                values[name], sources[name] = _typed(name, value, str(file)), str(file)
            break
    for name in FIELDS:
        variable = f"BOATHOUSE_{name.upper()}"
        if environ.get(variable):
            values[name], sources[name] = _typed(name, environ[variable], variable), variable
    for name, value in given.items():
        values[name], sources[name] = _typed(name, value, f"--{name}"), f"--{name}"
    values["data"], values["cache"] = values["data"].expanduser().absolute(), values["cache"].expanduser().absolute()
    assert {f.name for f in fields(Settings)} == {*FIELDS, "sources"}
    return Settings(**values, sources=sources)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"{file} is not valid TOML: {error}") from None
    except OSError as error:
        raise SettingError(f"{file} cannot be read: {error.strerror}") from None
    unknown = sorted(set(document) - set(FIELDS))
    if unknown:
        raise SettingError(f"{file}: unknown setting '{unknown[0]}'; `boathouse settings` lists them all")
    return document


def _typed(name: str, value: Any, source: str) -> Any:
    field = FIELDS[name]
    wrong = SettingError(f"{name}: '{value}' (from {source}) is not {_wanted(field)}")
    if field.kind == "int":
        text = str(value)
        if not (text.isascii() and text.isdigit()) or int(text[:6]) > 65535:
            raise wrong
        return int(text)
    if field.kind == "count":
        text = str(value)
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise wrong
        return int(text)
    if field.kind == "days":
        text = str(value)
        if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:6]) <= 36_500:
            raise wrong
        return int(text)
    if field.kind == "bool":
        if str(value).lower() not in ("true", "false", "1", "0"):
            raise wrong
        return str(value).lower() in ("true", "1")
    if field.kind == "list":
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
            raise wrong
        return tuple(part.strip() for part in parts if part.strip())
    if not isinstance(value, str | Path) or "\0" in str(value):
        raise wrong
    if field.kind == "path":
        return Path(value)
    if (field.allowed and value not in field.allowed) or (field.kind == "host" and not value):
        raise wrong
    if field.kind == "network":
        try:
            IPv4Network(str(value))
        except ValueError:
            raise wrong from None
    return str(value)


def _wanted(field: Field) -> str:
    if field.allowed:
        return "one of " + ", ".join(field.allowed)
    return {
        "int": "a port number (0 to 65535)", "count": "a number (0 to 999999999)", "days": "a number of days (1 to 36500)",
        "bool": "true or false", "path": "a path", "list": "a list of texts",
        "host": "an address to listen on", "network": "a network such as 10.213.0.0/16",
    }.get(field.kind, "a text")  # fmt: skip
