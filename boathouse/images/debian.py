"""What Debian's mirror has now: versions and SHA-256 of its packages, by apt in a directory of our own.

`build.py` compares it with a lock before a build, and writes locks from it. Knows nothing of recipes. apt checks the
signatures; this module reads what it has checked.
"""

import re
import subprocess
import tarfile
from pathlib import Path

from boathouse.images.rootfs import TIMEOUT_SECONDS, BuildError, command_environment, tail

MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SIMULATED = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ")


def sources(suite: str, mirror: str = "") -> list[str]:
    """The lines of a sources.list for a suite: the suite, its updates and security fixes, or all of one mirror."""
    signed = f" [signed-by={_KEYRING}]" if _KEYRING.exists() else ""
    if mirror:
        return [f"deb{signed} {mirror} {suite} main"]
    return [
        f"deb{signed} {MIRROR} {suite} main", f"deb{signed} {MIRROR} {suite}-updates main",
        f"deb{signed} {SECURITY} {suite}-security main",
    ]  # fmt: skip


def index(suite: str, directory: Path, mirror: str = "") -> dict[str, dict[str, str]]:
    """Package -> version -> SHA-256 for amd64, as the mirror has them now. `directory` keeps apt's lists, so that the next
    call asks only what has changed. Raises BuildError."""
    lists = directory / "lists"
    for place in (lists / "partial", directory / "cache" / "archives" / "partial"):
        place.mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    (directory / "sources.list").write_text("\n".join(sources(suite, mirror)) + "\n")
    argv = ["apt-get", "update", "-q", *(f"-o{key}={value}" for key, value in options(directory).items())]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False, env=command_environment()
        )
    except FileNotFoundError:
        raise BuildError("apt-get is not installed: base images are built on Debian or Ubuntu") from None
    if done.returncode != 0:
        raise BuildError(f"Debian's package lists of {suite} could not be read", tail(done.stderr))
    found: dict[str, dict[str, str]] = {}
    for file in sorted(lists.glob("*_Packages")):
        _read(file, found)
    return found


def options(directory: Path) -> dict[str, str]:
    """apt's configuration for a directory that `index` has filled: nothing of this machine's packages."""
    return {
        "Dir::Etc::SourceList": f"{directory}/sources.list", "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": f"{directory}/lists", "Dir::State::Status": f"{directory}/status",
        "Dir::State::Extended_States": "/dev/null", "Dir::Cache": f"{directory}/cache", "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null", "APT::Architecture": "amd64", "APT::Architectures": "amd64",
        "Acquire::Languages": "none", "Acquire::GzipIndexes": "false", "APT::Update::Error-Mode": "any",
        "APT::Sandbox::User": "root",
    }  # fmt: skip


def _read(file: Path, found: dict[str, dict[str, str]]) -> None:
    name = version = ""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("Package: "):
                name = line[9:].strip()
            elif line.startswith("Version: "):
                version = line[9:].strip()
            elif line.startswith("SHA256: "):
                found.setdefault(name, {})[version] = line[8:].strip()


def status_of(rootfs: Path) -> bytes:
    """dpkg's status file of a root file system; empty where there is none."""
    with tarfile.open(rootfs) as archive:
        for name in ("./var/lib/dpkg/status", "var/lib/dpkg/status"):
            try:
                file = archive.extractfile(name)
            except KeyError:
                continue
            if file is not None:
                return file.read()
    return b""


def installed(rootfs: Path) -> dict[str, str]:
    """Package -> version of a root file system, from its dpkg status; empty where packages were only unpacked."""
    return _status(status_of(rootfs).decode("utf-8", "replace"))


def _status(text: str) -> dict[str, str]:
    from debian.deb822 import Deb822  # here, because it takes a tenth of a second

    paragraphs = Deb822.iter_paragraphs(text, fields=["Package", "Version", "Status"], use_apt_pkg=False)
    return {each["Package"]: each["Version"] for each in paragraphs if each["Status"].endswith(" installed")}


def simulated(log: str) -> dict[str, str]:
    """Package -> version of what `apt-get --simulate` would install."""
    return {match[1].partition(":")[0]: match[2] for line in log.splitlines() if (match := _SIMULATED.match(line))}


def preferences(pins: dict[str, str]) -> str:
    """apt's preferences that let it take these versions, and nothing else (apt_preferences(5))."""
    entries = ["Package: *\nPin: release *\nPin-Priority: -1\n"]
    entries += [f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in sorted(pins.items())]
    return "\n".join(entries)
