"""What one launch of a cluster is made of: the effective wish, the release, the limits, the secrets' values, the
launch's own keys.

Computed once a launch and kept in memory; after a restart of the control plane computed again, with the limits that
the launch recorded. The keys (`spark.authenticate`, the driver's bearer token) are derived from the server's key, so
they are stored nowhere. Called by the reconciler before a launch's first effect, and by `endpoint.py`.
"""

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec.structs import replace

from boathouse.compute import cluster_spec, node_types, scaling, script_shelf, secrets_step, states, tracks
from boathouse.compute.scaling import ClusterLimits, Size
from boathouse.compute.script_shelf import LaunchScripts, NoScripts, ScriptShelf
from boathouse.compute.secrets_step import Refused, Resolver, Values
from boathouse.compute.world import Failure
from boathouse.dataplane.contract import Limits
from boathouse.releases.release import Release
from boathouse.wire.compute import ClusterSpec
from boathouse.workspace.sealing import Unsealable

#: Settings that hold command-line options, as a shell would read them.
JAVA_OPTIONS = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")

#: For how many seconds what the store has recorded of given memory is believed; what this process gives and takes back in
#: between it knows by itself. Asked for each launch, ten thousand rows would be read ten thousand times.
RECORDED_SECONDS = 10.0

#: Memory that clusters were given and have not given back, in bytes, by cluster.
Used = Callable[[], Mapping[str, int]]


class ReleaseShelf(Protocol):
    """`releases.Releases` has this shape."""

    def get(self, spark_version: str) -> Release | None: ...

    def recorded(self, spark_version: str, layer_names: Sequence[str]) -> Release | None: ...


class LaunchKeys(msgspec.Struct, frozen=True):
    """Secrets of one launch; the repr shows none."""

    token: str
    spark_secret: str

    def __repr__(self) -> str:
        return "LaunchKeys(...)"


class Inputs(msgspec.Struct, frozen=True):
    """All that the effects of a launch need beside what they see. `place`: the id under which its nodes are; `editor`: with whose
    rights secrets are read; `track`: the one that the wish names, the image of `spec` being what it named when this was made."""

    cluster_id: str
    place: str
    launch: int
    workspace_id: int
    editor: str
    spec: ClusterSpec
    release: Release
    limits: ClusterLimits
    values: Values
    keys: LaunchKeys
    app_id: str
    scripts: LaunchScripts
    strict: bool = False
    standby: bool = False
    track: str = ""


class Sources(msgspec.Struct, frozen=True):
    """Where inputs come from; `server.py` fills it.

    `keyed(purpose, text)`: HMAC under the server's key. `open_password(stored, workspace, cluster)`: plain text of a
    sealed registry password. `strict(workspace_id)`: whether the workspace refuses images that Databricks would
    refuse. `scripts`: where init scripts are. `standby`: whether a driver stands by in idle instances of pools. `track`: what
    a track names. `set_up`: the command that builds a missing release or image, by its `spark_version`. `built`: whether the
    release of a runtime's key is there.
    """

    releases: ReleaseShelf
    resolver: Resolver
    keyed: Callable[[str, str], str]
    open_password: Callable[[str, int, str], str] = lambda stored, workspace_id, cluster_id: stored
    strict: Callable[[int], bool] = lambda workspace_id: False
    scripts: ScriptShelf = msgspec.field(default_factory=NoScripts)
    standby: bool = True
    track: tracks.FindTrack = lambda workspace_id, name: None
    set_up: Callable[[str], str] = lambda spark_version: f"boathouse image build {spark_version}"
    built: Callable[[str], bool] = lambda spark_version: True


class InputsCache:
    """Inputs by cluster, for the launch that is under way or running."""

    def __init__(self, sources: Sources, capacity: Callable[[], Limits]) -> None:
        self._sources, self._capacity, self.built = sources, capacity, sources.built
        self._guard = threading.Lock()
        self._known: dict[str, Inputs] = {}
        self._promising = threading.Lock()
        self._promised: dict[str, int] = {}
        self._recorded: dict[str, int] = {}
        self._recorded_at = float("-inf")

    def get(self, row: Any, launch: int, used_bytes: Used) -> Inputs:
        """The inputs of `launch` of the cluster in `row`. Raises Refused with the reason why it cannot be launched.

        `used_bytes` is asked only when the launch has no limits yet: the memory that clusters were given, by their ids.
        """
        with self._guard:
            known = self._known.get(row.cluster_id)
        if known is not None and known.launch == launch and known.place == _place(row):
            return known
        made = self._make(row, launch, used_bytes)
        with self._guard:
            self._known[row.cluster_id] = made
        return made

    def known(self, cluster_id: str) -> Inputs | None:
        """What was computed last, if anything."""
        with self._guard:
            return self._known.get(cluster_id)

    def forget(self, cluster_id: str) -> None:
        with self._guard:
            self._known.pop(cluster_id, None)
        with self._promising:
            self._promised.pop(cluster_id, None)
            self._recorded.pop(cluster_id, None)

    def keys(self, row: Any) -> LaunchKeys:
        """The keys of the launch that has begun of the cluster in `row`; the same whenever they are asked for."""
        return self._keys(_origin(row, row.launch))

    def _keys(self, what: str) -> LaunchKeys:
        return LaunchKeys(self._sources.keyed("driver-token", what), self._sources.keyed("spark-secret", what))

    def _make(self, row: Any, launch: int, used_bytes: Used) -> Inputs:
        sources = self._sources
        spec = cluster_spec.effective(row.spec, row.creator, pooled=cluster_spec.pooled(row))
        track = followed(sources, row.workspace_id, spec)
        if track is not None:
            spec = tracks.launched(spec, track)
        begun = row.launch == launch
        release = self._release(spec.spark_version, (row.facts.get("release") or {}).get("layers") if begun else None)
        recorded = row.facts.get("limits") if begun else None
        limits = scaling.restore(recorded) if recorded else self._promise(row.cluster_id, spec, used_bytes)
        instance = (row.facts.get("instance") or {}).get("limits")
        if instance and not recorded:  # its driver's node is there already
            driver = scaling.with_heap(scaling.restore(instance).driver, (spec.spark_conf or {}).get("spark.driver.memory"))
            limits = replace(limits, driver=driver)
            self.hold(row.cluster_id, limits.total_bytes)
        # A pool seals its passwords for itself: an idle instance has none of its own.
        sealed_for = row.driver_pool_id if row.source == states.POOL else row.cluster_id
        values = opened(sources, spec, row.workspace_id, row.editor, sealed_for, track)
        for key in JAVA_OPTIONS:
            try:
                shlex.split(values.spark_conf.get(key, ""))
            except ValueError as error:
                raise Refused(Failure("INVALID_ARGUMENT", f"spark_conf {key} cannot be read: {error}.", step="launch")) from None
        origin = _origin(row, launch)
        return Inputs(
            cluster_id=row.cluster_id,
            place=_place(row),
            launch=launch,
            workspace_id=row.workspace_id,
            editor=row.editor,
            spec=spec,
            release=release,
            limits=limits,
            values=values,
            keys=self._keys(origin),
            app_id="app-" + origin.replace("/", "-"),
            scripts=script_shelf.of_launch(
                spec, row.workspace_id, row.editor, row.facts.get("global_init_scripts") if begun else None, sources.scripts
            ),
            strict=sources.strict(row.workspace_id),
            standby=sources.standby and row.source == states.POOL,
            track="" if track is None else track.text,
        )

    def _release(self, spark_version: str, layer_names: Sequence[str] | None) -> Release:
        """The release of a launch: the one that it began with (`layer_names`), so that all its JVMs run the same jars, also when
        another one was published meanwhile."""
        releases = self._sources.releases
        found = (releases.recorded(spark_version, layer_names) if layer_names else None) or releases.get(spark_version)
        if found is None:
            text = f"The runtime release of {spark_version} is not on this machine. Build it with: "
            raise Refused(Failure("SPARK_IMAGE_NOT_FOUND", text + self._sources.set_up(spark_version), step="image.resolve"))
        return found

    def _promise(self, cluster_id: str, spec: ClusterSpec, used_bytes: Used) -> ClusterLimits:
        """Limits for a launch that begins. Promises that are not in the store yet count too, so that two clusters that begin at
        once do not get the same memory."""
        machine = self._capacity()
        conf = spec.spark_conf or {}
        least, most = spec.num_workers or 0, spec.num_workers or 0
        if spec.autoscale is not None:
            least, most = spec.autoscale.min_workers or 0, spec.autoscale.max_workers or 0
        with self._promising:
            for _ in range(2):
                fresh = self._read_given(used_bytes)
                used = self._given_to_others(cluster_id)
                for workers in (most, least):  # nodes are so small that all of them fit, if they can be
                    found = scaling.scale(
                        _size(spec.driver_node_type_id or spec.node_type_id),
                        _size(spec.node_type_id or spec.driver_node_type_id),
                        workers,
                        machine.cpus,
                        machine.memory_bytes,
                        used,
                        conf.get("spark.driver.memory"),
                        conf.get("spark.executor.memory"),
                    )
                    if not isinstance(found, Failure):
                        found = replace(found, workers=least)
                        self._promised[cluster_id] = found.total_bytes
                        return found
                if fresh:
                    break
                self._recorded_at = float("-inf")  # nobody is refused for what was so a while ago
            raise Refused(found)

    def _read_given(self, used_bytes: Used) -> bool:
        """Have the memory that the store has recorded; whether it was read just now."""
        if time.monotonic() - self._recorded_at < RECORDED_SECONDS:
            return False
        self._recorded, self._recorded_at = dict(used_bytes()), time.monotonic()
        # What was promised beyond that is on its way into the store, or given back by `hold`.
        self._promised = {each: size for each, size in self._promised.items() if size > self._recorded.get(each, 0)}
        return True

    def _given_to_others(self, cluster_id: str) -> int:
        given = {**self._recorded, **self._promised}
        given.pop(cluster_id, None)
        return sum(given.values())

    def grant(self, cluster_id: str, limits: ClusterLimits, workers: int, used_bytes: Used) -> int:
        """How many workers a cluster that serves may have: as many as are wanted (`workers`), as far as there is room, and never
        fewer than it has been given (`limits`). What is granted counts from now on."""
        machine = self._capacity()
        granted = limits.workers
        with self._promising:
            for _ in range(2):
                fresh = self._read_given(used_bytes)
                room = scaling.room(limits, machine.memory_bytes, self._given_to_others(cluster_id))
                granted = min(workers, max(limits.workers, room))
                if fresh or granted == workers:
                    break
                self._recorded_at = float("-inf")
            self._promised[cluster_id] = replace(limits, workers=granted).total_bytes
        return granted

    def hold(self, cluster_id: str, total_bytes: int) -> None:
        """The memory that a cluster that serves has; what it was promised beyond that is free again."""
        with self._promising:
            self._promised[cluster_id] = total_bytes


def followed(sources: Sources, workspace_id: int, spec: ClusterSpec) -> tracks.Track | None:
    """The track that the wish names, None where it names none. Raises Refused for one that names no image."""
    name = tracks.named(spec)
    if name is None:
        return None
    track = sources.track(workspace_id, name)
    if track is None or not track.image:
        raise Refused(Failure("INVALID_ARGUMENT", f"docker_image.url: {tracks.why_not(track, name)}", step="image.resolve"))
    return track


def opened(
    sources: Sources, spec: ClusterSpec, workspace_id: int, editor: str, sealed_for: str, track: tracks.Track | None = None
) -> Values:
    """The values of the secrets in a wish, read with the rights of `editor`; a plain registry password was sealed for
    `sealed_for`. `track`: the one whose image and login the wish has. Raises Refused."""
    password = spec.docker_image.basic_auth.password if spec.docker_image and spec.docker_image.basic_auth else None
    if password and not cluster_spec.is_reference(password):
        try:
            password = sources.open_password(password, workspace_id, sealed_for)
        except Unsealable as error:
            text = f"The password of docker_image.basic_auth cannot be opened: {error}."
            raise Refused(Failure("SECRET_RESOLUTION_ERROR", text, step="secrets")) from None
    of_registry = "" if track is None else track.editor
    return secrets_step.resolve(spec, workspace_id, editor, sources.resolver, password or "", of_registry)


def _place(row: Any) -> str:
    return (row.facts or {}).get("place") or row.cluster_id


def _origin(row: Any, launch: int) -> str:
    """What the keys of a launch are made of. A driver in standby has those of the first launch under its instance's id."""
    place = _place(row)
    return f"{place}/{max(launch, 1) if place == row.cluster_id else 1}"


def _size(node_type_id: str | None) -> Size:
    known = node_types.size(node_type_id or "")
    if known is None:
        raise Refused(
            Failure("INVALID_ARGUMENT", f"The node type '{node_type_id}' is not known.", step="limits"),
        )
    return Size(node_type_id or "", known.cores, known.memory_mb)
