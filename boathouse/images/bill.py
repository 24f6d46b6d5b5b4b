"""The bill of materials of an image in the two formats that tools read: CycloneDX 1.6 and SPDX 2.3 (both JSON). Pure.

The same packages give the same bytes: no random serial number, and the time is the one that the caller gives.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from io import StringIO
from typing import Any
from uuid import UUID

from boathouse.images.packages import Package

TOOL = "boathouse"


def cyclonedx(image: str, digest: str, packages: Sequence[Package], at: datetime) -> str:
    """A CycloneDX document: the image as the main component, a component for each package with its layer and place."""
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6
    from packageurl import PackageURL

    # The library's decorators hide its signatures from type checkers.
    component: Any = Component
    main = component(name=image, version=digest or None, type=ComponentType.CONTAINER, bom_ref="image")
    components = [
        component(
            name=package.name, group=package.namespace or None, version=package.version, type=ComponentType.LIBRARY,
            purl=PackageURL.from_string(package.purl), bom_ref=f"{number}-{package.purl}", properties=_where(package),
        )
        for number, package in enumerate(packages)
    ]  # fmt: skip
    made: Any = Bom
    metadata: Any = BomMetaData
    bom = made(
        components=components, metadata=metadata(component=main, timestamp=at), serial_number=_serial(image, digest, packages)
    )
    bom.register_dependency(main, components)
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _where(package: Package) -> list[Any]:
    from cyclonedx.model import Property

    made: Any = Property
    return [made(name="boathouse:layer", value=str(package.layer)), made(name="boathouse:place", value=package.place)]


def spdx(image: str, digest: str, packages: Sequence[Package], at: datetime) -> str:
    """An SPDX document: a package for the image, which contains one for each package."""
    from spdx_tools.spdx.model.actor import Actor, ActorType
    from spdx_tools.spdx.model.document import CreationInfo, Document
    from spdx_tools.spdx.model.package import ExternalPackageRef, ExternalPackageRefCategory
    from spdx_tools.spdx.model.package import Package as SpdxPackage
    from spdx_tools.spdx.model.relationship import Relationship, RelationshipType
    from spdx_tools.spdx.model.spdx_no_assertion import SpdxNoAssertion
    from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

    nothing = SpdxNoAssertion()
    namespace = f"urn:uuid:{_serial(image, digest, packages)}"
    creation = CreationInfo("SPDX-2.3", "SPDXRef-DOCUMENT", image, namespace, [Actor(ActorType.TOOL, TOOL)], at)
    made = [SpdxPackage("SPDXRef-image", image, nothing, version=digest or None, files_analyzed=False)]
    made += [
        SpdxPackage(
            f"SPDXRef-{number}", package.name, nothing, version=package.version, files_analyzed=False,
            external_references=[ExternalPackageRef(ExternalPackageRefCategory.PACKAGE_MANAGER, "purl", package.purl)],
        )
        for number, package in enumerate(packages)
    ]  # fmt: skip
    relations = [Relationship("SPDXRef-DOCUMENT", RelationshipType.DESCRIBES, "SPDXRef-image")]
    relations += [Relationship("SPDXRef-image", RelationshipType.CONTAINS, f"SPDXRef-{n}") for n in range(len(packages))]
    out = StringIO()
    write_document_to_stream(Document(creation, made, relationships=relations), out, validate=False)  # type: ignore[arg-type]
    return json.dumps(json.loads(out.getvalue()), indent=2)


def _serial(image: str, digest: str, packages: Sequence[Package]) -> UUID:
    content = json.dumps([image, digest, [package.purl for package in packages]])
    return UUID(bytes=hashlib.sha256(content.encode()).digest()[:16], version=5)
