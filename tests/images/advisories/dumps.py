"""Small advisories in the true formats, written by hand."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

CRITICAL = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
LOW = "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"


def osv(identifier: str, ecosystem: str, name: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    """One document, with one range of these events."""
    kind = "SEMVER" if ecosystem == "npm" else "ECOSYSTEM"
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": kind, "events": list(events)}]}
    affected |= more.pop("affected", {})
    return {
        "schema_version": "1.6.0", "id": identifier, "modified": "2026-01-01T00:00:00Z", "published": "2025-12-01T00:00:00Z",
        "summary": f"{name} can be made to fall over", "affected": [affected], "references": [], **more,
    }  # fmt: skip


DOCUMENTS = [
    osv("GHSA-aaaa-bbbb-cccc", "PyPI", "River.Stats", {"introduced": "0"}, {"fixed": "1.1"}, aliases=["CVE-2026-1001"],
        severity=[{"type": "CVSS_V3", "score": CRITICAL}]),
    osv("PYSEC-2026-1", "PyPI", "river-stats", {"introduced": "0"}, {"fixed": "1.1"}, aliases=["CVE-2026-1001"]),
    osv("GHSA-npm1-npm1-npm1", "npm", "@types/node", {"introduced": "20.0.0"}, {"last_affected": "20.1.0"},
        database_specific={"severity": "MODERATE"}),
    osv("GHSA-java-java-java", "Maven", "org.postgresql:postgresql", {"introduced": "42.0.0"}, {"fixed": "42.7.4"},
        severity=[{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N"}]),
    osv("RSEC-2026-1", "CRAN", "ggplot2", {"introduced": "3.5-0"}, {"fixed": "3.5-2"},
        severity=[{"type": "CVSS_V3", "score": LOW}]),
    osv("UBUNTU-CVE-2026-2002", "Ubuntu:22.04:LTS", "bash", {"introduced": "0"}, {"fixed": "5.2.15-3"},
        severity=[{"type": "Ubuntu", "score": "high"}]),
    osv("ALPINE-CVE-2026-3003", "Alpine:v3.19", "busybox", {"introduced": "0"}, {"fixed": "1.36.1-r10"},
        upstream=["CVE-2026-3003"]),
    osv("GHSA-gone-gone-gone", "PyPI", "river-stats", {"introduced": "0"}, withdrawn="2026-01-02T00:00:00Z"),
]  # fmt: skip
TRACKER = {
    "glibc": {
        "CVE-2026-4004": {
            "description": "An overflow in\n the loader.", "scope": "remote", "debianbug": 1,
            "releases": {
                "bookworm": {"status": "resolved", "repositories": {"bookworm": "2.36-9+deb12u9"},
                             "fixed_version": "2.36-9+deb12u10", "urgency": "high"},
                "trixie": {"status": "open", "repositories": {"trixie": "2.41-1"}, "urgency": "not yet assigned"},
                "sid": {"status": "undetermined"},
            },
        },
        "CVE-2026-4005": {"releases": {"bookworm": {"status": "resolved", "fixed_version": "0", "urgency": "low"}}},
        "CVE-2010-4756": {"releases": {"bookworm": {"status": "open", "urgency": "unimportant"}}},
        "TEMP-0000000-ABCDEF": {"releases": {"bookworm": {"status": "open", "urgency": "medium**"}}},
    },
}  # fmt: skip


def zipped(path: Path, documents: list[dict[str, Any]]) -> Path:
    """As osv.dev exports an ecosystem: `all.zip`, a file for each document."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for document in documents:
            archive.writestr(f"{document['id']}.json", json.dumps(document))
    path.write_bytes(buffer.getvalue())
    return path


def tracker(path: Path) -> Path:
    path.write_text(json.dumps(TRACKER))
    return path
