"""What an operator's settings say about registries and clouds, for the rooms that ask them. A wrong value is a SettingError."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

from boathouse.compute import instance_profiles
from boathouse.compute.registry_keys import RegistryKeys, workspaces
from boathouse.images import references
from boathouse.images.content import Content
from boathouse.images.pull_through import PullThrough
from boathouse.images.registry_access import Registries
from boathouse.images.registry_ecr import Tokens
from boathouse.images.registry_http import AzureLogin, RegistrySettings
from boathouse.outbound.proxies import BadProxy, Proxies, checked, of_environment
from boathouse.settings import SettingError, Settings
from boathouse.workspace.clouds.places import CloudSettings
from boathouse.workspace.references import Secrets


def registry_settings(settings: Settings) -> RegistrySettings:
    """What the operator says about registries, for the client."""
    realms: dict[str, tuple[str, ...]] = {}
    for pair in settings.registry_token_realms:
        registry, equals, realm = pair.partition("=")
        if not (registry and equals and realm):
            raise SettingError(f"registry_token_realms: '{pair}' is not REGISTRY=REALM")
        realms[registry] = (*realms.get(registry, ()), realm)
    tenant = settings.azure_tenant
    return RegistrySettings(
        allowed_private_hosts=settings.registry_private_hosts,
        plain_http_hosts=settings.registry_plain_http_hosts,
        token_realms=realms,
        ca_file=Path(settings.registry_ca_file) if settings.registry_ca_file else None,
        mirrors=dict(_places("registry_mirrors", settings.registry_mirrors, path=True)),
        endpoints={
            references.api_host(registry): place
            for registry, place in _places("registry_endpoints", settings.registry_endpoints, path=False)
        },
        proxies=_proxies(settings),
        azure=AzureLogin(tenant, settings.azure_login_endpoint) if tenant else None,
        longest_retry_after=float(settings.registry_wait_seconds),
    )


def access(settings: Settings) -> Registries:
    """All registries, and what the machine keeps of them for all data directories of this user."""
    return Registries(registry_settings(settings), Content(settings.cache / "pulled", settings.image_cache_gb * 1000**3))


def pull_through(settings: Settings, access: Registries) -> PullThrough | None:
    """Where engines get images from; None where they are to ask registries themselves, which these settings do not reach then."""
    if settings.image_pulls == "through":
        return PullThrough(access)
    for name in ("registry_mirrors", "registry_endpoints"):
        if getattr(settings, name):
            raise SettingError(f"{name}: needs image_pulls 'through'; an engine that pulls directly has settings of its own")
    return None


def keys(settings: Settings, secrets: Secrets | None) -> RegistryKeys:
    """What opens registries for launches: the instance profiles that the operator lets something stand for."""
    profiles = _pairs("instance_profile_credentials", settings.instance_profile_credentials)
    for arn in profiles:
        if not instance_profiles.ARN.fullmatch(arn):
            raise SettingError(f"instance_profile_credentials: '{arn}' is not the ARN of an instance profile")
        only = workspaces(profiles[arn])
        if only is not None and not all(one.isascii() and one.isdigit() for one in only):
            raise SettingError(
                f"instance_profile_credentials: '{profiles[arn]}' of {arn} must name workspaces by id, as machine@WORKSPACE or "
                "machine@WORKSPACE+WORKSPACE"
            )
    return RegistryKeys(secrets, ecr_tokens(settings), profiles)


def ecr_tokens(settings: Settings) -> Tokens:
    """Tokens for registries of Amazon's."""
    clouds = cloud_settings(settings)
    return Tokens(clouds.endpoints, clouds.private_hosts, _proxies(settings))


def cloud_settings(settings: Settings) -> CloudSettings:
    """What the operator says about objects in clouds."""
    return CloudSettings(
        settings.location_private_hosts,
        _pairs("location_endpoints", settings.location_endpoints),
        _pairs("location_credentials", settings.location_credentials),
    )


def _pairs(name: str, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in values:
        left, equals, right = pair.rpartition("=")
        if not (left and equals and right):
            raise SettingError(f"{name}: '{pair}' is not of the form NAME=VALUE")
        pairs[left] = right
    return pairs


def _places(name: str, values: tuple[str, ...], path: bool) -> Iterator[tuple[str, str]]:
    """The registry, as references name it, and the place of each value: a host, with `path` also one with a path behind it."""
    for registry, place in _pairs(name, values).items():
        place = place.rstrip("/")
        try:
            host = references.parse(f"{registry}/x", name).host
            usable = references.parse(f"{place}/x", name).name == f"{place}/x" and (path or "/" not in place)
        except references.InvalidReference as error:
            raise SettingError(str(error)) from None
        if not usable:
            raise SettingError(f"{name}: '{registry}={place}' is not REGISTRY=HOST[:PORT]{'[/PREFIX]' if path else ''}")
        yield host, place


def _proxies(settings: Settings) -> Proxies:
    try:
        found = of_environment(os.environ)
        if settings.registry_proxy:
            proxy = checked(settings.registry_proxy, "registry_proxy")
            if "@" in proxy:
                raise SettingError("registry_proxy: settings are shown, so user and password are not for them; use HTTPS_PROXY")
            found = dataclasses.replace(found, https=proxy, http=proxy)
    except BadProxy as error:
        raise SettingError(str(error)) from None
    return dataclasses.replace(found, bypass=settings.registry_no_proxy) if settings.registry_no_proxy else found
