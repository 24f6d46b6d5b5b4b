"""What is known of an image's vulnerabilities, without finding out twice: packages once for the same bytes, findings once for the
same bytes and advisories.

Called by `image_gate` before a launch, on a thread that may take its time: the first scan of an image saves it from the engine
into a file, reads that, and removes it. What is found is kept in the store as long as checks of images are.
"""

import logging
import shutil
import tempfile
import threading
import zlib
from pathlib import Path

import msgspec
from sqlalchemy import Table, delete, insert, select

from boathouse.compute.image_policies import moment
from boathouse.compute.tables import image_inventories, image_scans
from boathouse.dataplane.contract import Images
from boathouse.images import packages
from boathouse.images.advisories import database
from boathouse.images.advisories.model import ScanResult
from boathouse.images.archive_view import open_archive
from boathouse.images.packages import Inventory
from boathouse.images.tree import HostileImage, UnreadableArchive
from boathouse.images.trust.policy import Scanned
from boathouse.store import Store

log = logging.getLogger("boathouse.compute.image_scans")

#: Which reading of packages wrote an inventory: another number, and images are read again.
FORM = 1
LARGEST = 256 << 20


class ImageScans:
    """Scans of one machine. `advisories`: the file with its data base; None: there can be none. `scratch`: where images are saved
    while they are read; what a killed process left there is removed."""

    def __init__(self, store: Store, images: Images, advisories: Path | None, scratch: Path | None) -> None:
        self._store, self._images, self._advisories, self._scratch = store, images, advisories, scratch
        self._one_at_a_time = threading.Lock()  # an image takes its size on disk while it is read
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)

    def of(self, digest: str, image: str) -> Scanned:
        """The findings of an image that the engine has, and the age of what is known. Raises NodeFailure, DriverUnavailable."""
        if self._advisories is None:
            return Scanned(problem="there are no advisories on this machine: boathouse advisories refresh --from FILE|DIR|URL")
        try:
            with database.Database(self._advisories) as known:
                return self._scanned(known, digest, image)
        except database.NoAdvisories as error:
            return Scanned(problem=str(error))
        except (UnreadableArchive, HostileImage) as error:
            return Scanned(problem=f"the image cannot be read: {error}", fix="Build and push it again.")
        except OSError as error:
            room = "An operator makes room in the data directory."
            return Scanned(problem=f"the image cannot be saved to be read: {error.strerror}", fix=room)

    def _scanned(self, known: database.Database, digest: str, image: str) -> Scanned:
        from boathouse.images.advisories import scan

        status, today = known.status(), moment(self._store.clock()).date()
        which = f"{status.made.isoformat()}/{sum(count for _, count in status.ecosystems)}"
        result = self._remembered(digest, which)
        if result is None:
            result = scan.undecided(self._inventory(digest, image), known, today)
            self._keep(image_scans, digest, advisories=which, result=_packed(result))
            log.info("scanned %s: %d vulnerabilities, the worst is %s", digest, len(result.findings), result.worst.word)
        return Scanned(result, status.age_days(today))

    def _remembered(self, digest: str, which: str) -> ScanResult | None:
        mine = select(image_scans.c.result).where(image_scans.c.digest == digest, image_scans.c.advisories == which)
        with self._store.read() as reader:
            row = reader.execute(mine).first()
        return None if row is None else msgspec.json.decode(_unpacked(row.result), type=ScanResult)

    def _inventory(self, digest: str, image: str) -> Inventory:
        found = self._remembered_inventory(digest)
        if found is not None:
            return found
        with self._one_at_a_time:  # what is remembered waits for nobody's image
            return self._remembered_inventory(digest) or self._read(digest, image)

    def _remembered_inventory(self, digest: str) -> Inventory | None:
        mine = select(image_inventories.c.inventory).where(image_inventories.c.digest == digest, image_inventories.c.form == FORM)
        with self._store.read() as reader:
            row = reader.execute(mine).first()
        return None if row is None else msgspec.json.decode(_unpacked(row.inventory), type=Inventory)

    def _read(self, digest: str, image: str) -> Inventory:
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="image-", dir=self._scratch) as folder:
            saved = Path(folder) / "image.tar"
            self._images.save(image, saved)
            found = packages.inventory(open_archive(saved, packages.READ, jars=True))
        self._keep(image_inventories, digest, form=FORM, inventory=_packed(found))
        return found

    def _keep(self, table: Table, digest: str, **values: object) -> None:
        with self._store.transaction() as tx:
            tx.execute(delete(table).where(table.c.digest == digest))
            tx.execute(insert(table).values(digest=digest, at=self._store.clock(), **values))


def _packed(document: object) -> bytes:
    return zlib.compress(msgspec.json.encode(document))


def _unpacked(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, LARGEST)
