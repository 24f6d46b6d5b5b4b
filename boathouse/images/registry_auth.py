"""Who may see a registry's password: the registry itself, and the token realms that are known to belong to it.

Reads the challenges of a 401 and fetches tokens for `registry.py`. A realm is a URL that the registry names, so a
hostile or taken-over registry could name any: credentials go there only if a fixed table or the settings say that it
is the registry's.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

import msgspec

from boathouse.images import registry_azure
from boathouse.images.failures import PullFailure, Refused, quoted
from boathouse.images.references import Reference
from boathouse.images.registry_http import SMALL_LIMIT, Connection

# Registries whose token service has another host name. Everyone else's must be the registry itself.
TOKEN_REALMS: Mapping[str, tuple[str, ...]] = {
    "registry-1.docker.io": ("auth.docker.io",),
    "docker.io": ("auth.docker.io",),
    "registry.gitlab.com": ("gitlab.com",),
    "lscr.io": ("ghcr.io",),
    "docker.elastic.co": ("docker-auth.elastic.co",),
}
_LONGEST_CHALLENGE = 4096
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_SCHEME = re.compile(r"\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?=\s|,|$)(?!\s*=)")


@dataclass(frozen=True)
class Login:
    """A registry's user and password. Never printed: its repr hides the password."""

    username: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of an Authorization header of the Basic scheme."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that would give the password away."""
        return (self.password, self.header, self.header.removeprefix("Basic "))


class Challenge(msgspec.Struct, frozen=True):
    """One challenge of a WWW-Authenticate header: its scheme in lower case and its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(values: list[str]) -> list[Challenge]:
    """All challenges in the values of WWW-Authenticate (RFC 9110, 11.6.1); what cannot be read is left out."""
    found: list[Challenge] = []
    for value in values:
        text, position = value[:_LONGEST_CHALLENGE], 0
        while scheme := _SCHEME.match(text, position):
            position = scheme.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(text, position):
                position = parameter.end()
                quoted_value = parameter.group(2)
                plain = parameter.group(3) if quoted_value is None else re.sub(r"\\(.)", r"\1", quoted_value)
                parameters.setdefault(parameter.group(1).lower(), plain)
            found.append(Challenge(scheme.group(1).lower(), parameters))
    return found


def trusted_realm(registry_host: str, realm: str, settings_realms: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether credentials for `registry_host` (host[:port]) may be sent to the realm's URL: the registry itself or a
    known one.
    """
    split, own = urlsplit(realm), urlsplit(f"//{registry_host}")
    default = 80 if split.scheme == "http" else 443
    port = split.port or default
    if split.hostname == own.hostname and port == (own.port or default):
        return True
    names = (registry_host.lower(), own.hostname or "")
    known = [host for name in names for host in (*TOKEN_REALMS.get(name, ()), *settings_realms.get(name, ()))]
    return any(host.lower() in (split.netloc.lower(), split.hostname if port == default else None) for host in known)


def authorization(
    connection: Connection, reference: Reference, answers: list[str], login: Login | None, actions: str = "pull"
) -> str:
    """The Authorization header that a registry's 401 asks for, having fetched a token for `actions` where one is needed."""
    host = reference.api_host
    asked = {challenge.scheme: challenge for challenge in reversed(challenges(answers))}
    if bearer := asked.get("bearer"):
        return "Bearer " + _token(connection, reference, bearer, login, actions)
    if "basic" in asked:
        if login is None:
            profile = " or aws_attributes.instance_profile_arn" if reference.provider == "ecr" else ""
            raise Refused(
                f"{host} asks for a user and a password, and none was given (401).",
                f"Give docker_image.basic_auth{profile}; a password belongs into a secret: {{{{secrets/<scope>/<key>}}}}.",
            )
        return login.header
    raise PullFailure(
        f"{host} refuses (401) and asks for no way of logging in that is known here.",
        evidence=quoted(", ".join(answers), login.secrets if login else (), 120),
    )


def _token(connection: Connection, reference: Reference, challenge: Challenge, login: Login | None, actions: str) -> str:
    realm = challenge.parameters.get("realm", "")
    host = reference.api_host
    try:
        parts = urlsplit(realm)
        usable = bool(parts.hostname) and not parts.fragment and (parts.port or True)
    except ValueError:
        usable = False
    if not usable:
        raise PullFailure(f"{host} names no usable place to log in.", evidence=quoted(realm, limit=100))
    if login and not trusted_realm(connection.settings.at(host), realm, connection.settings.token_realms):
        place = quoted(urlsplit(realm).netloc, login.secrets, 100)
        raise PullFailure(
            f"{host} wants its password sent to {place}, which is not known to belong to it: nothing was sent.",
            f"If it does, an operator can say so: setting registry_token_realms with {host} and {place}.",
        )
    query = {"scope": f"repository:{reference.repository}:{actions}"}
    if service := challenge.parameters.get("service"):
        query["service"] = service
    if login and reference.provider == "acr" and registry_azure.exchanged(connection.settings, login.username):
        try:
            return registry_azure.token(connection, realm, query, login.username, login.password)
        except registry_azure.Rejected as error:
            raise rejected(reference, login, error.status, error.said) from None
    if login:
        query["account"] = login.username
    url = realm + ("&" if urlsplit(realm).query else "?") + urlencode(query)
    response = connection.get(url, {"Authorization": login.header} if login else {}, SMALL_LIMIT)
    if response.status in (401, 403):
        raise rejected(reference, login, response.status)
    if response.status != 200:
        raise PullFailure(f"The token service of {host} answers {response.status}.", "Try again, or ask its operator.")
    token = registry_azure.token_in(response.body, "token", "access_token")
    if not token:
        raise PullFailure(f"The token service of {host} sends no usable token.")
    return token


def rejected(reference: Reference, login: Login | None, status: int, evidence: str = "") -> Refused:
    """The failure for a 401 or 403 that comes after all that could be given was given."""
    if login is None:
        return Refused(
            f"{reference} cannot be read without logging in, or does not exist ({status}).",
            "Check the name; for a private image give docker_image.basic_auth.",
            evidence,
        )
    hint = {
        "ecr": "A password of Amazon ECR is valid for 12 hours: `aws ecr get-login-password` gives a new one (user AWS).",
        "acr": "For Azure give a service principal's id and secret with the role AcrPull.",
        "gar": "For Google give the user _json_key and the whole key file as the password.",
        "docker-hub": "Docker Hub takes a personal access token as the password.",
    }.get(reference.provider, "Check user and password, and that this user may read the repository.")
    what = "refuses the user and password" if status == 401 else "knows the user, who may not read this image"
    return Refused(f"The registry {what} given for {reference} ({status}).", hint, evidence)
