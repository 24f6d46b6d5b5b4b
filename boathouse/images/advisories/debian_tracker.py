"""Debian's security tracker, whole: https://security-tracker.debian.org/tracker/data/json. Pure.

A map of source packages, each a map of vulnerabilities, each with its state in every release: `open`, `resolved` in a version
(`0`: never affected) or `undetermined`. Those without a number (`TEMP-...`) are kept.
"""

from collections.abc import Iterator
from typing import Any

from boathouse.images.advisories import severity
from boathouse.images.advisories.model import Affected
from boathouse.images.advisories.osv import LONGEST_SUMMARY

#: Codenames of https://www.debian.org/releases/; of others the images' `os-release` says no number.
RELEASES = {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}


class NotATracker(ValueError):
    """Something that is not in the tracker's format; the message says where."""


def affected(package: str, vulnerabilities: Any) -> Iterator[Affected]:
    """What the tracker says of one source package. Raises NotATracker."""
    if not isinstance(vulnerabilities, dict):
        raise NotATracker(f"{package[:100]}: no map of vulnerabilities")
    for identifier, says in vulnerabilities.items():
        releases = says.get("releases") if isinstance(says, dict) else None
        if not isinstance(releases, dict):
            raise NotATracker(f"{package[:100]}: {identifier[:100]} names no releases")
        summary = " ".join(str(says.get("description") or "").split())[:LONGEST_SUMMARY]
        for codename, state in releases.items():
            number = RELEASES.get(codename)
            if number is None or not isinstance(state, dict):
                continue
            fixed = state.get("fixed_version") if state.get("status") == "resolved" else ""
            if state.get("status") not in ("open", "resolved") or fixed == "0" or not isinstance(fixed, str):
                continue
            level = severity.of_word(state.get("urgency"))
            yield Affected(identifier, f"Debian:{number}", package, level, (("0", fixed, ""),), summary=summary)
