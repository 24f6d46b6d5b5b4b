"""The words that a policy may say in place of a runtime: `auto:latest`, `auto:latest-lts`, `auto:prev-major-ml`, ... Pure.

They mean what is offered when the cluster is made or edited; the cluster keeps what it was given (as on the platform).
"""

import re
from collections.abc import Iterable, Sequence

PREFIX = "auto:"
WORDS = tuple(f"{PREFIX}{word}{ml}" for word in ("latest", "latest-lts", "prev-lts", "prev-major") for ml in ("", "-ml"))

_VERSION = re.compile(r"(\d+)\.(\d+)\.x-")


def resolve(word: str, offered: Iterable[tuple[str, str]]) -> str | None:
    """The `spark_version` that `word` means among those offered (key and name each); None when none is such. Any other text is
    itself. Of one version with two Scalas the older is meant, which is the platform's first."""
    if not word.startswith(PREFIX):
        return word
    ml = word.endswith("-ml")
    kind = word.removeprefix(PREFIX).removesuffix("-ml")
    versions: dict[tuple[int, int], str] = {}
    lts = set()
    for key, name in offered:
        found = _VERSION.match(key)
        if found is None or ("-ml-" in key) != ml:
            continue
        version = int(found[1]), int(found[2])
        versions[version] = min(key, versions.get(version, key))
        if " LTS" in name:
            lts.add(version)
    newest: Sequence[tuple[int, int]] = sorted(versions, reverse=True)
    if kind in ("latest-lts", "prev-lts"):
        newest = [version for version in newest if version in lts]
    if kind == "prev-major":
        newest = [version for version in newest if version[0] < newest[0][0]]
    at = 1 if kind == "prev-lts" else 0
    return versions[newest[at]] if word in WORDS and at < len(newest) else None
