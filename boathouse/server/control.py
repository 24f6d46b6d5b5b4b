"""The control plane assembled: endpoints, services, reconcilers, and the call-backs of the nodes."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boathouse.account import audit_delivery, closing
from boathouse.account import log_delivery as account_delivery
from boathouse.account.audit_delivery import AuditDelivery
from boathouse.account.log_shipping import LogShipping, Undeliverable, Write
from boathouse.catalog.seals import Seals
from boathouse.commands.capabilities import METHODS
from boathouse.commands.ground import Ground
from boathouse.commands.reconciler import Contexts
from boathouse.commands.spark_ui import SparkUiFront
from boathouse.commands.workspace_catalog import WorkspaceCatalog
from boathouse.commands.workspace_files import WorkspaceFiles
from boathouse.commands.workspace_secrets import WorkspaceSecrets
from boathouse.compute import log_delivery, registry_password, retention, sweep, tracks, workspace_end
from boathouse.compute.assembly import Gate, make_directories, make_launcher
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.libraries import rows as libraries
from boathouse.compute.libraries.installer import Repositories
from boathouse.compute.quotas import Quotas
from boathouse.compute.script_shelf import Scripts
from boathouse.compute.surroundings import Surroundings, way_out
from boathouse.edge import Routes
from boathouse.edge.context import Services
from boathouse.images.advisories import database
from boathouse.reconcile import ALL, Precedence, Reconcile, Workers, wake
from boathouse.releases import Releases, plain_key
from boathouse.rollout import assembly as rollouts
from boathouse.rollout import triggers
from boathouse.rollout import workspace_end as rollout_end
from boathouse.rollout.logins import Vault
from boathouse.server import image_work, planes, registries, sign_on
from boathouse.server.parts import Parts, StartError
from boathouse.store.blobs import Blobs
from boathouse.workspace.clouds.store import CloudStore
from boathouse.workspace.files import sweep as blob_sweep
from boathouse.workspace.locations import LocationError, Locations
from boathouse.workspace.locations import Reader as LocationReader
from boathouse.workspace.references import Secrets
from boathouse.workspace.sealing import Sealer

log = logging.getLogger("boathouse.server")

#: How long `down` waits for the embedded engine to start.
ENGINE_SECONDS = 60.0

#: Work that waits for what users name (a bucket that takes its time), and its threads: not those that launch.
SLOW = (
    log_delivery.KIND, libraries.KIND, blob_sweep.KIND, retention.KIND, audit_delivery.KIND, account_delivery.KIND,
)  # fmt: skip
SLOW_THREADS = 8

#: Threads of roll-outs: a round may build or scan an image, which takes minutes (`effects.LONG_AT_ONCE`). Those of their
#: triggers, which pull and scan what tracks name.
ROLLOUT_THREADS, TRIGGER_THREADS = 6, 2

#: Every module that has endpoints. The routing table, OpenAPI and docs/compatibility.md are made of these.
ENDPOINT_MODULES = (
    "boathouse.identity.me", "boathouse.identity.scim", "boathouse.identity.scim_account", "boathouse.identity.scim_discovery",
    "boathouse.auth.permissions.authorization",
    "boathouse.auth.discovery", "boathouse.auth.oauth", "boathouse.auth.authorize", "boathouse.auth.login",
    "boathouse.auth.azure",
    "boathouse.auth.tokens", "boathouse.auth.token_management",
    "boathouse.auth.client_secrets", "boathouse.auth.federation_policies",
    "boathouse.auth.ip_access_lists",
    "boathouse.edge.openapi",
    "boathouse.catalog.metastores", "boathouse.catalog.account_metastores",
    "boathouse.catalog.catalogs", "boathouse.catalog.schemas",
    "boathouse.catalog.table_metadata", "boathouse.catalog.volumes", "boathouse.catalog.functions",
    "boathouse.catalog.external_locations", "boathouse.catalog.storage_credentials", "boathouse.catalog.connections",
    "boathouse.catalog.bindings", "boathouse.catalog.grants",
    "boathouse.workspace.conf", "boathouse.workspace.secrets", "boathouse.workspace.files.dbfs",
    "boathouse.workspace.files.objects", "boathouse.workspace.files.volumes", "boathouse.workspace.files.uploads",
    "boathouse.workspace.files.object_permissions",
    "boathouse.compute.clusters", "boathouse.compute.cluster_changes", "boathouse.compute.cluster_list",
    "boathouse.compute.events", "boathouse.compute.node_types",
    "boathouse.compute.spark_versions", "boathouse.compute.explain", "boathouse.compute.why", "boathouse.compute.logs",
    "boathouse.compute.global_init_scripts", "boathouse.compute.libraries.api", "boathouse.compute.pools",
    "boathouse.compute.instance_profiles", "boathouse.compute.policies.api", "boathouse.compute.policies.compliance",
    "boathouse.compute.object_permissions", "boathouse.compute.image_policies",
    "boathouse.commands.contexts", "boathouse.commands.commands", "boathouse.commands.spark_ui",
    "boathouse.account.workspaces", "boathouse.account.assignments", "boathouse.account.rule_sets", "boathouse.account.settings",
    "boathouse.account.usage", "boathouse.account.budgets", "boathouse.account.audit_log",
    "boathouse.account.cloud_credentials", "boathouse.account.storage_configurations", "boathouse.account.log_delivery",
    "boathouse.rollout.tracks", "boathouse.rollout.api", "boathouse.rollout.triggers_api",
    "boathouse.server.top", "boathouse.server.metrics",
)  # fmt: skip


#: Modules of consequences of a principal's departure (`identity.departures.on_departure`): to be there, they are imported.
DEPARTURE_MODULES = (
    "boathouse.auth.departures", "boathouse.catalog.departures", "boathouse.workspace.departures",
    "boathouse.compute.departures", "boathouse.commands.departures",
)  # fmt: skip


def routes() -> Routes:
    """The routing table of everything that is served."""
    for name in DEPARTURE_MODULES:
        importlib.import_module(name)
    return Routes([importlib.import_module(name) for name in ENDPOINT_MODULES])


def shipping_to(locations: Locations) -> Write:
    """Deliver the account's logs through `locations`, with the rights that the principal has at that moment."""

    def write(location: str, workspace_id: int, principal: str, content: bytes) -> None:
        try:
            locations.write(location, LocationReader(workspace_id, principal), [content])
        except LocationError as error:
            raise Undeliverable(str(error)) from error

    return write


class ControlPlane:
    """Everything but the sockets. `start` begins to look for work; `stop` settles and leaves clusters running."""

    def __init__(self, parts: Parts) -> None:
        store, keys = parts.store, parts.keys
        sealer = Sealer(keys)
        secrets = Secrets(store, sealer)
        blobs = Blobs(parts.directory.path / "blobs")
        locations = Locations(store, blobs, CloudStore(secrets, registries.cloud_settings(parts.settings)))
        directories = make_directories(parts.directory.path, keys.hmac)
        gate = Gate(store, directories)
        registry_keys = registries.keys(parts.settings, secrets)
        self._contexts: Contexts | None = None
        self._plane = planes.make(
            parts.settings, parts.directory, gate.verify_token, self._on_node_event, {
                name: self._later(name) for name in METHODS
            }, registry_keys,
        )  # fmt: skip
        self._gate = gate
        releases = Releases(parts.settings.cache / "releases")
        simulated = parts.settings.driver == "simulated"  # needs none
        sources = Sources(
            releases=releases,
            resolver=secrets,
            keyed=keys.hmac,
            open_password=lambda stored, workspace_id, cluster_id: registry_password.open_password(
                sealer, stored, workspace_id, cluster_id
            ),
            strict=lambda workspace_id: parts.settings.strict,
            standby=parts.settings.pool_standby,
            scripts=Scripts(store, locations),
            track=tracks.finder(store),
            set_up=lambda spark_version: f"boathouse release build {spark_version}",
            built=lambda spark_version: simulated or plain_key(spark_version) in releases.keys(),  # noqa: SIM118
        )
        plane = self._plane
        quotas = Quotas(parts.settings.max_clusters, parts.settings.max_nodes, parts.settings.nodes_per_minute)
        self._launcher = make_launcher(
            store, plane.driver, plane.images, plane.link, directories, sources, plane.image_service,
            write_log=log_delivery.to(locations), locations=locations,
            repositories=Repositories(
                parts.settings.pip_index_url, parts.settings.maven_repository, parts.settings.cran_repository
            ),
            advisories=database.path(parts.settings.cache), scratch=parts.directory.path / "scans", quotas=quotas,
        )  # fmt: skip
        ground = Ground(
            store, plane.link, self._launcher.endpoints, WorkspaceSecrets(store, secrets),
            files=WorkspaceFiles(store, blobs, locations), catalog=WorkspaceCatalog(store),
        )  # fmt: skip
        self._contexts = Contexts(ground)
        self._methods = self._contexts.capabilities.node_methods()
        self.front = SparkUiFront(ground)
        self.routes = routes()
        self.services = Services(
            keys, sealer, secrets, blobs, locations, self.routes, *sign_on.services(parts.settings),
            Surroundings(
                planes.LARGEST_CLUSTER[parts.settings.driver], quotas,
                lambda: planes.gpus_there(plane.driver), lambda: way_out(plane.driver), self._launcher.question,
                sources.built,
            ),
            ground, registry_keys, image_work.offers(parts.settings), *self._launcher.services(),
        )  # fmt: skip
        self.services.add(sealer, Seals)
        self.precedence = Precedence()
        days = parts.settings.keep_logs_days, parts.settings.keep_image_checks_days
        #: What looks at everything from time to time, by kind.
        self._housekeeping: dict[str, Reconcile] = {
            blob_sweep.KIND: blob_sweep.BlobSweep(store, blobs),
            retention.KIND: retention.Retention(store, directories, *days),
            account_delivery.KIND: LogShipping(store, shipping_to(locations)),
        }
        if parts.settings.audit_folder:
            folder = Path(parts.settings.audit_folder).expanduser().absolute()
            delivery = AuditDelivery(store, parts.ready.home.account_id, folder)
            self._housekeeping[audit_delivery.KIND] = delivery
        self._store = store
        vault = Vault(secrets)
        work = image_work.make(parts.settings, parts.directory, store, vault, locations, self._launcher.scans)
        self._rollouts = rollouts.make(store, self.services, self._launcher, sources, work, vault)
        reconcilers = {**self._launcher.reconcilers, **self._contexts.reconcilers(), **self._housekeeping}
        reconcilers[closing.KIND] = closing.Closing(store, [workspace_end.end, rollout_end.end])
        slow = {kind: reconcilers.pop(kind) for kind in SLOW if kind in reconcilers}
        rolling = self._rollouts.reconcilers()
        triggered = {triggers.KIND: rolling.pop(triggers.KIND)}
        self._workers = [
            Workers(store, reconcilers, precedence=self.precedence),
            Workers(store, slow, threads=SLOW_THREADS, precedence=self.precedence),
            Workers(store, rolling, threads=ROLLOUT_THREADS, precedence=self.precedence),
            Workers(store, triggered, threads=TRIGGER_THREADS, precedence=self.precedence),
        ]

    def start(self) -> None:
        """Open the tunnel, look for the engine, and take up every cluster and context where it was left."""
        self._plane.start()
        self._launcher.resume()
        assert self._contexts is not None
        self._contexts.resume()
        self._rollouts.resume()
        with self._store.transaction() as tx:
            for kind in self._housekeeping:
                wake(tx, kind, ALL)
        for workers in self._workers:
            workers.start()

    def stop(self) -> None:
        for workers in self._workers:
            workers.stop()
        assert self._contexts is not None
        self._contexts.close()
        self.front.close()
        self._launcher.close()
        self._plane.stop()

    def end_pools(self) -> None:
        """Have every idle instance of a pool removed, and no other made."""
        self._launcher.end_pools()

    def sweep_everything(self) -> Sequence[str]:
        """Remove whatever of this instance is left on the machine, and name it. Only when no cluster runs any more.

        Raises StartError where there is no engine to ask.
        """
        missing = self._plane.wait(ENGINE_SECONDS)
        if missing:
            raise StartError(missing)
        removed = self._plane.driver.sweep(frozenset)
        self._launcher.reconcilers[sweep.KIND](ALL)  # and the directories of nodes that a deletion cut off at birth
        return removed

    def _on_node_event(self, node_id: str, event: str, payload: dict[str, Any]) -> None:
        self._gate.on_node_event(node_id, event, payload)
        if self._contexts is not None:
            self._contexts.on_node_event(node_id, event, payload)

    def _later(self, name: str) -> Any:
        # The relay wants its methods before there is a link, and the methods want the link.
        return lambda node_id, params, capability: self._methods[name](node_id, params, capability)
