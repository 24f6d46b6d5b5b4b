"""Who else may say who somebody is: issuers of tokens, an OpenID Connect provider, an Azure tenant, as the settings name them."""

from pathlib import Path
from typing import Any

from boathouse.auth.azure import AzureTenant
from boathouse.auth.issuers import Issuers
from boathouse.auth.outside import OutsideLogin
from boathouse.outbound.documents import Documents
from boathouse.server.parts import StartError
from boathouse.settings import Settings


def services(settings: Settings) -> list[Any]:
    """The services that the settings ask for. Raises StartError for settings that do not fit together."""
    documents = Documents(settings.issuer_private_hosts)
    issuers = Issuers(documents)
    made: list[Any] = [issuers]
    if settings.oidc_issuer:
        _check(documents, "oidc_issuer", settings.oidc_issuer)
        if not settings.oidc_client_id:
            raise StartError("oidc_issuer is set, but oidc_client_id is not: register Boathouse there, and set its client id")
        secret = _secret(settings.oidc_client_secret_file)
        made.append(
            OutsideLogin(
                issuers, settings.oidc_issuer, settings.oidc_client_id, secret, settings.oidc_name, settings.oidc_user_claim
            )
        )
    if settings.azure_tenant:
        _check(documents, "azure_login_endpoint", settings.azure_login_endpoint)
        if settings.azure_issuer:
            _check(documents, "azure_issuer", settings.azure_issuer)
        made.append(AzureTenant(issuers, settings.azure_tenant, settings.azure_login_endpoint, settings.azure_issuer))
    return made


def _check(documents: Documents, name: str, url: str) -> None:
    why = documents.permitted(url)
    if why:
        raise StartError(f"{name}: '{url}' {why}, or name its host in issuer_private_hosts")


def _secret(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"oidc_client_secret_file: {file} cannot be read: {error}") from None
