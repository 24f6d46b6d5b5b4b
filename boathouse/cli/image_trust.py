"""`boathouse image keys|sign|verify`: whom an image comes from, in cosign's format.

Exit codes of verify: 0 it has a signature of the key, 1 it could not be found out, 3 it has none.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from boathouse.cli import Failed
from boathouse.cli.image_sources import key_for
from boathouse.cli.output import print_json
from boathouse.dataplane.contract import NodeFailure
from boathouse.images import references, registry
from boathouse.images.failures import ImageFailure
from boathouse.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from boathouse.images.attachments import RegistryAccess

Found = TypeVar("Found")

REFUSED = 3
#: Where cosign looks for the passphrase of a key.
PASSPHRASE = "COSIGN_PASSWORD"
STORES = {"tag": ("tag",), "referrer": ("referrer",), "both": ("tag", "referrer")}


def arguments(verbs: Any) -> None:
    """The verbs of this module."""
    pair = verbs.add_parser("keys", help="make a pair of keys as cosign does: PREFIX.key (encrypted) and PREFIX.pub")
    pair.add_argument("--prefix", default="cosign", help="where to write them; default: cosign")
    _passphrase(pair)
    signed = verbs.add_parser("sign", help="sign an image of a registry by its digest, and push the signature beside it")
    signed.add_argument("reference", metavar="REF", help="an image of a registry; a tag is looked up: its digest is signed")
    signed.add_argument("--key", required=True, metavar="KEY", help="a file with the private key: cosign's, or PEM (PKCS #8)")
    signed.add_argument(
        "--store", choices=tuple(STORES), default="tag",
        help="keep it under cosign's tag, as an OCI referrer of the image, or both; default: tag",
    )  # fmt: skip
    _passphrase(signed)
    made = verbs.add_parser("verify", help="whether an image has a signature of a key, under its tag or referring to it")
    made.add_argument("reference", metavar="REF", help="an image of a registry; a tag is looked up, and its digest shown")
    made.add_argument("--key", required=True, metavar="PUB", help="a file with the public key in PEM, ECDSA P-256 or Ed25519")


def _passphrase(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--passphrase-env", default=PASSPHRASE, metavar="NAME", help=f"the variable with the passphrase; default: {PASSPHRASE}"
    )
    source.add_argument("--passphrase-file", metavar="FILE", help="a file with the passphrase; a line's end after it is left out")


def run_keys(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image keys`: never over files that are there."""
    from boathouse.images.trust import keys

    secret = _secret(options)
    if secret is None:
        raise Failed(f"no passphrase: set {options.passphrase_env} (an empty one is allowed), or give --passphrase-file")
    for suffix in (".key", ".pub"):  # both before either is written: half a pair is of no use
        if os.path.lexists(f"{options.prefix}{suffix}"):
            raise Failed(f"{options.prefix}{suffix}: it exists; give another --prefix")
    private, public = keys.generate(secret)
    written = []
    for suffix, data, mode in ((".key", private, 0o600), (".pub", public, 0o644)):
        path = Path(f"{options.prefix}{suffix}")
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(data)
        except OSError as error:
            raise Failed(f"{path}: {error.strerror}") from None
        written.append(str(path))
    print_json({"written": written}) if options.output == "json" else print("\n".join(written))
    return 0


def run_sign(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image sign`."""
    from boathouse.images.trust import keys, signing

    try:
        key = keys.private_key(_read("--key", options.key), _secret(options))
    except keys.UnusableKey as error:
        raise Failed(
            f"--key {options.key}: {error}" + (f": set {options.passphrase_env}" if "no passphrase" in str(error) else "")
        ) from None
    reference = references.parse(options.reference, "REF")

    def sign(access: "RegistryAccess") -> signing.Signed:
        found = registry.resolve(reference, access.login, access.settings)
        return signing.sign(reference, found.index_digest or found.digest, key, access, STORES[options.store])

    try:
        done = asked(reference, settings, sign)
    except (ImageFailure, NodeFailure) as error:
        raise Failed(f"{options.reference}: {error}") from None
    pinned = reference.pinned(done.digest)
    if options.output == "json":
        print_json({"reference": str(reference), "digest": done.digest, "pinned": pinned, "places": dict(done.places)})
    else:
        for place, what in done.places:
            where = {"tag": "under cosign's tag", "referrer": "as an OCI referrer"}[place]
            print(f"{pinned}: {'signed' if what == 'pushed' else 'this key signed it before'}, {where}")
    return 0


def run_verify(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image verify`."""
    from boathouse.images.trust import signatures, signing

    try:
        key = signatures.public_key(_read("--key", options.key))
    except signatures.UnusableKey as error:
        raise Failed(f"--key {options.key}: {error}") from None
    reference = references.parse(options.reference, "REF")

    def verify(access: "RegistryAccess") -> tuple[list[str], signatures.Verified]:
        found = registry.resolve(reference, access.login, access.settings)
        digests = [digest for digest in (found.index_digest, found.digest) if digest]
        return digests, signatures.verify(signing.kept(reference, digests, access), key, digests)

    try:
        digests, result = asked(reference, settings, verify)
    except (ImageFailure, NodeFailure) as error:
        raise Failed(f"{options.reference}: {error}") from None
    if options.output == "json":
        print_json({"reference": str(reference), "digests": digests, "verified": result.digest, "reasons": result.reasons})
    elif result.digest:
        print(f"{reference.pinned(result.digest)} is signed by {options.key}")
    else:
        print(f"{reference.pinned(digests[0])} is not signed by {options.key}")
        nothing = f"it has no signature: there is no tag {signatures.tag(digests[0])}, and nothing of cosign's refers to it"
        print("\n".join(result.reasons) or nothing)
    return 0 if result.digest else REFUSED


def asked(reference: references.Reference, settings: Settings, ask: "Callable[[RegistryAccess], Found]") -> Found:
    """Ask a registry with what opens it for who calls. Raises ImageFailure, NodeFailure."""
    from boathouse.images.attachments import RegistryAccess
    from boathouse.images.registry_access import with_key
    from boathouse.server.registries import registry_settings

    how = registry_settings(settings)
    return with_key(key_for(reference, settings), lambda login: ask(RegistryAccess(login, how)))


def _read(field: str, name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise Failed(f"{field} {name}: {error.strerror}") from None


def _secret(options: argparse.Namespace) -> bytes | None:
    """The passphrase, from a file or the environment: a command line is seen by everybody on the machine."""
    if options.passphrase_file:
        return _read("--passphrase-file", options.passphrase_file).removesuffix(b"\n").removesuffix(b"\r")
    value = os.environ.get(options.passphrase_env)
    return None if value is None else value.encode()
