"""`boathouse image verify`: whether an image of a registry carries a signature of a key, in cosign's format.

Exit codes: 0 it does, 1 it could not be found out, 3 it does not.
"""

import argparse
from pathlib import Path
from typing import Any

from boathouse.cli import Failed
from boathouse.cli.image_sources import login
from boathouse.cli.output import print_json
from boathouse.images import references, registry
from boathouse.images.failures import ImageFailure
from boathouse.settings import Settings

REFUSED = 3


def arguments(verbs: Any) -> None:
    """The verb of this module."""
    made = verbs.add_parser("verify", help="whether an image has a signature of a key (cosign's, kept under its tag)")
    made.add_argument("reference", metavar="REF", help="an image of a registry; a tag is looked up, and its digest shown")
    made.add_argument("--key", required=True, metavar="PUB", help="a file with the public key in PEM, ECDSA P-256 or Ed25519")


def run(options: argparse.Namespace, settings: Settings) -> int:
    """`boathouse image verify`."""
    from boathouse.images.trust import signatures
    from boathouse.server.registries import registry_settings

    try:
        key = signatures.public_key(Path(options.key).read_bytes())
    except OSError as error:
        raise Failed(f"--key {options.key}: {error.strerror}") from None
    except signatures.UnusableKey as error:
        raise Failed(f"--key {options.key}: {error}") from None
    reference, who, how = references.parse(options.reference, "REF"), login(), registry_settings(settings)
    try:
        found = registry.resolve(reference, who, how)
        digests = [digest for digest in (found.index_digest, found.digest) if digest]
        there = [
            signatures.Signature(payload, str(annotations.get(signatures.SIGNATURE_ANNOTATION, "")))
            for digest in digests
            for payload, annotations in registry.attached(reference, signatures.tag(digest), signatures.PAYLOAD_TYPE, who, how)
        ]
    except ImageFailure as error:
        raise Failed(f"{options.reference}: {error}") from None
    result = signatures.verify(there, key, digests)
    if options.output == "json":
        print_json({"reference": str(reference), "digests": digests, "verified": result.digest, "reasons": result.reasons})
    elif result.digest:
        print(f"{reference.pinned(result.digest)} is signed by {options.key}")
    else:
        print(f"{reference.pinned(digests[0])} is not signed by {options.key}")
        print("\n".join(result.reasons) or f"it has no signature: there is no tag {signatures.tag(digests[0])}")
    return 0 if result.digest else REFUSED
