"""A corner of a workspace for each of a thousand people: user, schema and Personal Compute cluster, by the Databricks SDK.

The script of a data competition on Azure Databricks, with the SDK as it is. The people come from the CSV file by which they were
created in Entra ID; everyone gets

1. a user in the account, assigned to the workspace,
2. a schema of their own in the catalog that all share, with the rights to use it,
3. a single-node cluster by the policy "Personal Compute", which they may restart but not change,

and all clusters are stopped again to save cost. The first one is waited for until it runs: what would keep a thousand from
starting is told before they are made. The same script again, with more people, makes what is missing.

Host and credentials come from where the SDK finds them (DATABRICKS_HOST, DATABRICKS_TOKEN, or ARM_CLIENT_ID and its like); the
account console from --account-host, left out where one host serves both.

    python examples/thousand_users.py people.csv --catalog competition
    python examples/thousand_users.py people.csv --grants-on CLUSTER_ID --wave 4    # rights in SQL; four clusters run at a time

On Boathouse the newest runtime for machine learning is built first, its release and its image, or another is named by --runtime:

    boathouse release build 18.0.x-scala2.13
    boathouse image build ml
"""

import argparse
import csv
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from databricks.sdk import AccountClient, WorkspaceClient
from databricks.sdk.errors import AlreadyExists, DatabricksError, OperationFailed, ResourceConflict
from databricks.sdk.service import catalog, compute, iam

RIGHTS = [catalog.Privilege.USE_SCHEMA, catalog.Privilege.CREATE_TABLE, catalog.Privilege.SELECT, catalog.Privilege.MODIFY]


@dataclass(frozen=True)
class Person:
    user: str
    name: str

    @property
    def slug(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", self.user.split("@")[0].lower()).strip("_")

    @property
    def cluster(self) -> str:
        return f"{self.slug}'s cluster"


def read(path: str) -> list[Person]:
    """Entra's bulk-create template: a line with its version, then a header whose columns carry keys in brackets."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [line for line in file if not line.startswith("version:")]
    rows = csv.reader(lines)
    keys = [found[1] if (found := re.search(r"\[(\w+)\]", cell)) else cell.strip() for cell in next(rows)]
    people = [dict(zip(keys, row, strict=False)) for row in rows if any(row)]
    return [Person(row["userPrincipalName"].strip(), row["displayName"].strip()) for row in people]


def create_user(a: AccountClient, workspace_id: int, person: Person) -> None:
    """The user in the account, and their place in the workspace. The role is an enum: a plain "USER" is an error."""
    try:
        user = a.users_v2.create(user_name=person.user, display_name=person.name)
    except (AlreadyExists, ResourceConflict):
        (user,) = a.users_v2.list(filter=f'userName eq "{person.user}"')
    a.workspace_assignment.update(
        workspace_id=workspace_id, principal_id=int(user.id or 0), permissions=[iam.WorkspacePermission.USER]
    )


def create_schema(w: WorkspaceClient, catalog_name: str, person: Person, grant: bool = True) -> None:
    """A schema that nobody else may use."""
    try:
        w.schemas.create(name=person.slug, catalog_name=catalog_name, comment=f"of {person.name}")
    except (AlreadyExists, ResourceConflict):
        pass
    if grant:
        w.grants.update(
            securable_type="schema", full_name=f"{catalog_name}.{person.slug}",
            changes=[catalog.PermissionsChange(principal=person.user, add=RIGHTS)],
        )  # fmt: skip


def grant_by_sql(w: WorkspaceClient, cluster_id: str, catalog_name: str, people: list[Person]) -> None:
    """The same rights as the author gave them: in SQL, by `spark.sql` on a cluster of the administrator."""
    rights = "USE SCHEMA, CREATE TABLE, SELECT, MODIFY"
    lines = [f"spark.sql('GRANT {rights} ON SCHEMA {catalog_name}.{each.slug} TO `{each.user}`')" for each in people]
    language = compute.Language.PYTHON
    context = w.command_execution.create_and_wait(cluster_id=cluster_id, language=language)
    done = w.command_execution.execute_and_wait(
        cluster_id=cluster_id, context_id=context.id, language=language, command="\n".join(lines)
    )
    if done.results and done.results.result_type == compute.ResultType.ERROR:
        raise RuntimeError(f"{done.results.summary}\n{done.results.cause}")


def create_cluster(w: WorkspaceClient, policy_id: str | None, runtime: str, node_type: str, person: Person) -> str:
    """A Personal Compute cluster for one person. It starts by itself; nobody waits for it here."""
    made = w.clusters.create(
        cluster_name=person.cluster, spark_version=runtime, node_type_id=node_type, num_workers=0,
        data_security_mode=compute.DataSecurityMode.SINGLE_USER, single_user_name=person.user, policy_id=policy_id,
        autotermination_minutes=20,
        spark_conf={"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*, 4]"},
        custom_tags={"ResourceClass": "SingleNode"},
    )  # fmt: skip
    return made.response.cluster_id or ""


def give_cluster(w: WorkspaceClient, cluster_id: str, person: Person) -> None:
    """Without the permission the person cannot open the cluster that was made for them. CAN_RESTART lets them start it when it
    was stopped, and not more."""
    w.clusters.update_permissions(
        cluster_id,
        access_control_list=[
            compute.ClusterAccessControlRequest(
                user_name=person.user, permission_level=compute.ClusterPermissionLevel.CAN_RESTART
            )
        ],
    )


def wait_until_it_ran(w: WorkspaceClient, cluster_id: str) -> None:
    """Until a cluster runs. One for which there was no room just now is started again: others will have stopped by then."""
    until = time.monotonic() + 1200
    while True:
        try:
            w.clusters.wait_get_cluster_running(cluster_id)
            return
        except OperationFailed:
            why = w.clusters.get(cluster_id).termination_reason
            no_room = why is not None and why.code == compute.TerminationReasonCode.CLOUD_PROVIDER_RESOURCE_STOCKOUT
            if not no_room or time.monotonic() > until:
                raise
        time.sleep(10)
        w.clusters.start(cluster_id)


def runtime_of(w: WorkspaceClient) -> str:
    """The newest ML runtime, or the newest long-term one where there is none for machine learning."""
    try:
        return w.clusters.select_spark_version(latest=True, ml=True)
    except ValueError:
        return w.clusters.select_spark_version(latest=True, long_term_support=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("people", help="the CSV file of the bulk creation in Entra ID")
    parser.add_argument("--catalog", default="competition")
    parser.add_argument("--policy", default="Personal Compute", help='"" for none')
    parser.add_argument("--node-type", default="Standard_DS3_v2")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--account-host", help="the account console; default: the workspace's host")
    parser.add_argument("--grants-on", metavar="CLUSTER_ID", help="give the rights in SQL on this cluster, not by the API")
    parser.add_argument("--runtime", help="the version of the clusters; default: the newest for machine learning")
    parser.add_argument(
        "--wave", type=int, metavar="N", help="wait until each cluster ran, N at a time (default: stop them while they start)"
    )
    options = parser.parse_args()

    w = WorkspaceClient()
    where = {"host": options.account_host} if options.account_host else {"host": w.config.host, "token": w.config.token}
    a = AccountClient(**where, account_id=w.config.account_id)
    workspace_id = w.get_workspace_id()
    people = read(options.people)
    try:
        w.catalogs.create(name=options.catalog)
    except (AlreadyExists, ResourceConflict, DatabricksError) as error:
        if "already exists" not in str(error):
            raise
    policies = {policy.name: policy.policy_id for policy in w.cluster_policies.list()} if options.policy else {}
    policy_id = policies[options.policy] if options.policy else None
    runtime = options.runtime or runtime_of(w)

    wrong: list[str] = []
    clusters: list[str] = []

    def each(title: str, do: Callable[[Person], object], threads: int = options.threads) -> None:
        """One step for everybody, some at once; who fails is told at the end, and the others go on."""

        def guarded(person: Person) -> None:
            try:
                do(person)
            except (DatabricksError, OperationFailed) as error:
                wrong.append(f"{person.user}: {title}: {error}")

        started = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(guarded, people))
        print(f"{title}: {len(people)} people in {time.perf_counter() - started:.1f} s", flush=True)

    # Names of clusters are not unique: a second run finds the first one's by one list.
    there = {(each.cluster_name, each.single_user_name): each.cluster_id or "" for each in w.clusters.list()}

    def cluster(person: Person, wait: bool) -> None:
        cluster_id = there.get((person.cluster, person.user))
        new = cluster_id is None
        if cluster_id is None:
            cluster_id = create_cluster(w, policy_id, runtime, options.node_type, person)
            there[person.cluster, person.user] = cluster_id
        give_cluster(w, cluster_id, person)
        clusters.append(cluster_id)
        if not new:
            return  # it was stopped when it was made; whoever uses it now is not disturbed
        try:
            if wait:
                wait_until_it_ran(w, cluster_id)
        finally:
            stopped = w.clusters.delete(cluster_id)  # what removes a cluster is permanent_delete
        if wait:
            stopped.result()  # its memory is free for the next one

    each("users", lambda person: create_user(a, workspace_id, person))
    each("schemas", lambda person: create_schema(w, options.catalog, person, grant=not options.grants_on))
    if options.grants_on:
        grant_by_sql(w, options.grants_on, options.catalog, people)
    first = next((person for person in people if (person.cluster, person.user) not in there), None)
    if first is not None:
        try:
            cluster(first, wait=True)
        except (DatabricksError, OperationFailed) as error:
            print(f"the first cluster, {first.cluster!r} with {runtime}, does not run, and so no other is made: {error}")
            if made := there.get((first.cluster, first.user)):
                w.clusters.permanent_delete(made)  # so that the next run tries again
            return 1
        clusters.clear()  # it is counted with the others
    each("clusters, permissions, stopped", lambda person: cluster(person, bool(options.wave)), options.wave or options.threads)
    print(f"{len(clusters)} clusters; {len(wrong)} failures", *wrong[:20], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
