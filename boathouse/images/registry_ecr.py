"""How Amazon's registry is opened: a token of 12 hours, which its API gives to AWS credentials.

The launch hands over the credentials that stand for a cluster's instance profile (`compute.registry_keys`), the command line
those of its user. Tokens are kept in memory until shortly before they end, and renewed when the registry refuses one.
"""

import base64
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec

from boathouse.dataplane.contract import Credentials
from boathouse.images.failures import PullFailure, quoted
from boathouse.outbound.proxies import Proxies

#: A token is not used any more when it has less than this to live, in seconds.
SPARE_SECONDS = 600.0

_HOST = re.compile(r"(?P<account>\d{12})\.dkr\.ecr(?P<fips>-fips)?\.(?P<region>[a-z0-9-]{1,40})\.amazonaws\.com(?:\.cn)?")

#: AWS credentials by the names of `workspace.clouds.store.KEYS`; None: the machine's own.
Secret = Mapping[str, str] | None


class Place(msgspec.Struct, frozen=True):
    """A registry of Amazon's."""

    account: str
    region: str
    fips: bool = False

    @property
    def api(self) -> str:
        """The host of the API that gives tokens; `location_endpoints` may name what stands in for it."""
        return f"{'ecr-fips' if self.fips else 'api.ecr'}.{self.region}.amazonaws.com"


def place(host: str) -> Place | None:
    """The account and region of `<account>.dkr.ecr.<region>.amazonaws.com`; None for a host of others."""
    found = _HOST.fullmatch(host)
    return Place(found["account"], found["region"], bool(found["fips"])) if found else None


class Tokens:
    """Tokens by the credentials that got them and for which registry. One for the control plane; any thread.

    `endpoints`: host of a cloud -> URL that stands in for it. `private_hosts`: hosts that may be at private addresses.
    """

    def __init__(
        self,
        endpoints: Mapping[str, str] | None = None,
        private_hosts: tuple[str, ...] = (),
        proxies: Proxies = Proxies(),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._endpoints, self._private_hosts, self._proxies, self._now = endpoints or {}, private_hosts, proxies, now
        self._guard = threading.Lock()
        self._kept: dict[tuple[Place, str], tuple[Credentials, float]] = {}

    def get(self, where: Place, secret: Secret, renew: bool = False) -> Credentials:
        """The registry's user and password, for AWS credentials. Raises PullFailure."""
        whose = "" if secret is None else hashlib.sha256(repr(sorted(secret.items())).encode()).hexdigest()
        with self._guard:
            kept = self._kept.get((where, whose))
        if kept is not None and not renew and kept[1] - self._now() > SPARE_SECONDS:
            return kept[0]
        made = self._ask(where, secret)
        with self._guard:
            self._kept[where, whose] = made
        return made[0]

    def identify(self, secret: Secret) -> str:
        """The ARN of who these credentials are, as AWS says it. Raises PullFailure."""
        from boathouse.workspace.clouds import aws  # here: the control plane starts without the clouds' libraries

        region = (secret or {}).get("region") or aws.DEFAULT_REGION
        with _explained("does not know the credentials", "Correct them."):
            return self._client("sts", f"sts.{region}.amazonaws.com", secret, region).get_caller_identity()["Arn"]

    def _ask(self, where: Place, secret: Secret) -> tuple[Credentials, float]:
        refused = f"gives no token for the registry of account {where.account} in {where.region}"
        with _explained(refused, "Give the credentials of the instance profile the right ecr:GetAuthorizationToken."):
            client = self._client("ecr", where.api, secret, where.region, use_fips_endpoint=where.fips)
            found = client.get_authorization_token(registryIds=[where.account])["authorizationData"][0]
            username, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
            return Credentials(username, password), found["expiresAt"].timestamp()

    def _client(self, service: str, host: str, secret: Secret, region: str, **config: Any) -> Any:
        """A client of a service, or of what stands in for its host."""
        from boathouse.workspace.clouds import aws

        url = self._endpoints.get(host)
        if url is None:
            proxy = self._proxies.chosen("https", host, 443)
            return aws.client(service, secret, region, None, self._private_hosts, proxy=proxy, **config)
        return aws.client(service, secret, region, url, (*self._private_hosts, urlsplit(url).netloc))


@contextmanager
def _explained(refused: str, fix: str) -> Iterator[None]:
    """What goes wrong with an API of Amazon's, as a PullFailure."""
    from botocore.exceptions import BotoCoreError, ClientError

    from boathouse.workspace.clouds import judged

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        raise PullFailure(f"Amazon {refused}.", fix, quoted(f"{said.get('Code', '')}: {said.get('Message', '')}")) from None
    except (BotoCoreError, OSError) as error:
        raise PullFailure(
            f"Amazon cannot be asked: {quoted(judged.said(error), limit=200)}.",
            "Check the region, the network, and the credentials that stand for the instance profile.",
        ) from None
    except (KeyError, IndexError, ValueError) as error:
        raise PullFailure("Amazon's answer cannot be used.", "Try again.", quoted(type(error).__name__)) from None
