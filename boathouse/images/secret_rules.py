"""Secrets that an image gives away to everybody who may pull it: in ENV, in the commands of its history, in files, also in layers
that a later one covers.

One of the rooms of `check.py`; pure over an `ImageView`. Evidence names the place, never the value.
"""

import re
from collections.abc import Iterator

from boathouse.images.findings import Finding, ImageView, Kind, warning

_FIX = "Take it out, build again without it (RUN --mount=type=secret), and change the secret: whoever pulled the image has it."

#: Names of variables that hold secrets. `_FILE` and `_PATH` name a place, not a secret.
_NAME = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|CONNECTION_STRING)(?:_ID)?$",
    re.IGNORECASE,
)  # fmt: skip
#: Values that are secrets whatever their name: tokens with a fixed beginning, private keys, passwords in addresses.
_VALUE = re.compile(
    r"dapi[0-9a-f]{32}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22}|glpat-[A-Za-z0-9_-]{20}"
    r"|xox[abprs]-[A-Za-z0-9-]{10}|pypi-AgE[A-Za-z0-9_-]{16}|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|://[^/\s:@]+:[^/\s:@$]{4,}@"
)
_ASSIGNED = re.compile(r"\b([A-Za-z][A-Za-z0-9_]*)=(?:\"([^\"]*)\"|'([^']*)'|(\S+))")
#: What stands for a value that somebody else fills in.
_PLACEHOLDER = re.compile(r"^(?:|\$.*|<.*>|\{\{.*\}\}|x+|\*+|change-?me|none|null|true|false|\d)$", re.IGNORECASE)

#: Files that hold nothing but credentials; with a pattern: only when it is found in them.
FILES: dict[str, re.Pattern[bytes] | None] = {
    "/root/.aws/credentials": None,
    "/root/.azure/accessTokens.json": None,
    "/root/.azure/msal_token_cache.json": None,
    "/root/.config/gcloud/application_default_credentials.json": None,
    "/root/.databrickscfg": re.compile(rb"^\s*(?:token|password|client_secret)\s*=\s*\S", re.MULTILINE),
    "/root/.docker/config.json": re.compile(rb'"(?:auth|identitytoken)"\s*:\s*"[^"]'),
    "/root/.git-credentials": None,
    "/root/.kube/config": re.compile(rb"(?:token|client-key-data|password):\s*\S"),
    "/root/.netrc": re.compile(rb"password\s+\S"),
    "/root/.npmrc": re.compile(rb"_(?:authToken|password)\s*=\s*[^$\s]"),
    "/root/.pgpass": None,
    "/root/.pypirc": re.compile(rb"^\s*password\s*[=:]\s*\S", re.MULTILINE),
    "/root/.ssh/id_ed25519": None,
    "/root/.ssh/id_ecdsa": None,
    "/root/.ssh/id_rsa": None,
    "/root/.config/pip/pip.conf": re.compile(rb"://[^/\s:@]+:[^/\s:@$]+@"),
    "/root/.pip/pip.conf": re.compile(rb"://[^/\s:@]+:[^/\s:@$]+@"),
    "/etc/pip.conf": re.compile(rb"://[^/\s:@]+:[^/\s:@$]+@"),
}
_LONGEST = 64 << 10


def judge(view: ImageView) -> Iterator[Finding]:
    """What an image gives away."""
    for name, value in view.config.environment.items():
        if _secret(name, value):
            yield warning("secret.env", f"The image's ENV holds a secret: {name}.", f"ENV {name}=[REDACTED]", _FIX)
    for number, line in enumerate(view.config.history, 1):
        for name in _assigned_secrets(line):
            if name not in view.config.environment:
                yield warning(
                    "secret.history",
                    f"A command of the image's history holds a secret: {name}.",
                    f"step {number}: {name}=[REDACTED]",
                    _FIX,
                )
    for path, pattern in FILES.items():
        if _given_away(view, path, pattern):
            yield warning("secret.file", "The image holds a file of credentials.", path, _FIX)
    for path in sorted(view.buried & FILES.keys()):
        yield warning(
            "secret.layer", "A layer of the image holds a file of credentials that a later layer only covers.", path, _FIX
        )  # fmt: skip


def _secret(name: str, value: str) -> bool:
    if _VALUE.search(value):
        return True
    return bool(_NAME.search(name)) and _PLACEHOLDER.match(value) is None


def _assigned_secrets(line: str) -> list[str]:
    return list(
        dict.fromkeys(found[0] for found in _ASSIGNED.findall(line) if _secret(found[0], found[1] or found[2] or found[3]))
    )


def _given_away(view: ImageView, path: str, pattern: re.Pattern[bytes] | None) -> bool:
    entry = view.lookup(path)
    if entry is None or entry.kind is not Kind.FILE or (entry.size == 0 and pattern is None):
        return False
    return pattern is None or pattern.search(view.read(path, _LONGEST)) is not None
