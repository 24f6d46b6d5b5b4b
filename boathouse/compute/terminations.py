"""Every reason for which a cluster of ours can end: code, type, what it means, why it happens, what to do.

The codes and types are the platform's own (reference api A.4; clients hang on others). The launch gives one, `boathouse why` and
`boathouse explain CODE` say it in words. Pure.
"""

import msgspec

from boathouse.wire.compute import TerminationType


class Termination(msgspec.Struct, frozen=True):
    """`parameters`: the keys that we fill, of the platform's list. `causes` begin with the likeliest."""

    code: str
    type: TerminationType
    meaning: str
    causes: tuple[str, ...]
    fix: str
    parameters: tuple[str, ...] = ("databricks_error_message",)


def _t(
    code: str,
    kind: TerminationType,
    meaning: str,
    causes: tuple[str, ...],
    fix: str,
    parameters: tuple[str, ...] = ("databricks_error_message",),
) -> Termination:
    return Termination(code, kind, meaning, causes, fix, parameters)


_ALL = (
    _t("USER_REQUEST", "SUCCESS", "Somebody ended the cluster.",
       ("clusters/delete or permanent-delete was called, in a program or in the console",),
       "Nothing to mend: start it again with clusters/start.", ("username",)),
    _t("INACTIVITY", "SUCCESS", "Nothing ran on the cluster for as long as autotermination_minutes says.",
       ("no command, job or statement ran in that time",),
       "Start it again; a longer autotermination_minutes, or 0, keeps it up.", ("inactivity_duration_min",)),
    _t("WORKSPACE_CANCELLED_ERROR", "SUCCESS", "The workspace of the cluster was deleted.",
       ("an account admin deleted the workspace",),
       "Nothing to mend: create the cluster in another workspace.", ()),
    _t("DOCKER_IMAGE_PULL_FAILURE", "CLIENT_ERROR", "The container image could not be fetched from its registry.",
       ("the user name or password is wrong, or may not read this repository (401, 403)",
        "the repository, tag or digest does not exist (404)",
        "the registry limits how often it may be asked (429), does not answer, or stopped sending",
        "what arrived does not have the digest that was asked for"),
       "Check docker_image.url and docker_image.basic_auth: `boathouse image check URL` asks the registry in the same way."),
    _t("DOCKER_IMAGE_TOO_LARGE_FOR_INSTANCE_EXCEPTION", "CLIENT_ERROR", "The image does not fit on the machine.",
       ("the image, unpacked, needs more disk than is free",),
       "Make the image smaller, free disk space, or use a larger machine; `boathouse doctor` shows what is free."),
    _t("DOCKER_INVALID_OS_EXCEPTION", "CLIENT_ERROR", "The image is built for another operating system or processor.",
       ("it was built for arm64, or for Windows, and the machine is linux/amd64",),
       "Build for the machine: `docker build --platform linux/amd64 ...`."),
    _t("DOCKER_CONTAINER_CREATION_EXCEPTION", "CLIENT_ERROR", "The image was fetched but no usable container can be made of it.",
       ("bash or coreutils is missing in the image", "its Python or Java is of a version that the runtime cannot use",
        "it has a file or folder where the runtime is mounted (/databricks/runtime)"),
       "`boathouse image check IMAGE` names what is missing; build from one of the base images of `boathouse image build`."),
    _t("CONTAINER_LAUNCH_FAILURE", "SERVICE_FAULT", "The container engine could not start the containers of a node.",
       ("the engine ran out of disk, memory or processes", "a mount of the runtime failed", "the engine was stopped meanwhile"),
       "Run `boathouse doctor`, then start the cluster again.", ("instance_id", "databricks_error_message")),
    _t("SPARK_IMAGE_NOT_FOUND", "CLIENT_ERROR", "The platform's own image for this spark_version is not on the machine.",
       ("an ML runtime was asked for and its image was never built", "the image was removed"),
       "Build it with the command that the message names, or choose a spark_version from clusters/spark-versions.",
       ("databricks_error_message", "invalid_spark_image_prefix")),
    _t("INVALID_ARGUMENT", "CLIENT_ERROR", "The configuration of the cluster cannot be used as it is.",
       ("a {{secrets/...}} reference names a scope or key that does not exist", "spark_conf holds a value that Spark refuses",
        "the image policy of the workspace refuses the image"),
       "The message names the field, or the rule of the image policy: put it right with clusters/edit."),
    _t("SECRET_PERMISSION_DENIED", "CLIENT_ERROR", "A secret that the cluster refers to may not be read.",
       ("whoever created or last edited the cluster has no READ on the scope",),
       "Have the scope's owner grant READ, or let somebody who has it edit the cluster."),
    _t("SECRET_RESOLUTION_ERROR", "SERVICE_FAULT", "A secret could not be opened.",
       ("the key-encryption key of the data directory is missing or another one",),
       "Restore DIR/keys from its backup; the message names the key that is asked for."),
    _t("INIT_SCRIPT_FAILURE", "CLIENT_ERROR", "An init script of the cluster did not end well.",
       ("the script ended with another exit status than zero", "its file does not exist, or whoever edited the cluster last may "
        "not read it", "it did not end within an hour"),
       "`boathouse why CLUSTER` shows its last lines, the node's logs have all. Mend the script and start the cluster again.",
       ("instance_id", "databricks_error_message")),
    _t("GLOBAL_INIT_SCRIPT_FAILURE", "CLIENT_ERROR", "A global init script of the workspace did not end well.",
       ("the script ended with another exit status than zero", "the image lacks a program that it calls"),
       "An admin mends or disables it with global-init-scripts; `boathouse why CLUSTER` shows its last lines.",
       ("instance_id", "databricks_error_message")),
    _t("BOOTSTRAP_TIMEOUT", "SERVICE_FAULT", "The daemon of a node did not report in time.",
       ("the machine is overloaded", "the node's container died while it started"),
       "Start again with less load; `boathouse why CLUSTER` shows how far each node came.",
       ("instance_id", "databricks_error_message")),
    _t("SPARK_STARTUP_FAILURE", "SERVICE_FAULT", "The container runs but Spark did not start in it.",
       ("libraries in the image do not go with Spark", "spark_conf has a value that Spark refuses",
        "the driver ran out of memory while it started"),
       "`boathouse why CLUSTER` shows the lines of the driver's log; mend the image or spark_conf.",
       ("instance_id", "databricks_error_message")),
    _t("SPARK_ERROR", "SERVICE_FAULT", "Spark's driver ended by itself after it had started.",
       ("it ran out of memory", "code on the cluster ended the process (System.exit, os._exit of the JVM)"),
       "Read the driver's log; use a larger node type when it is memory.", ("instance_id", "databricks_error_message")),
    _t("DRIVER_LAUNCH_TIMEOUT", "SERVICE_FAULT", "Spark's driver was started and did not become ready in time.",
       ("the machine is overloaded", "code that runs at start-up waits for something"),
       "Start again with less load; look at what the image and spark_conf do at start-up.",
       ("instance_id", "databricks_error_message")),
    _t("DRIVER_UNREACHABLE", "SERVICE_FAULT", "The driver does not answer any more.",
       ("the driver's container was killed", "its tunnel is down"), "Start the cluster again.", ("databricks_error_message",)),
    _t("DRIVER_UNRESPONSIVE", "SERVICE_FAULT", "The driver's process runs, but has answered nothing for minutes.",
       ("it spends all of its time collecting garbage", "code on the driver holds a lock for ever"),
       "Read the driver's log; use a larger driver_node_type_id, or collect less. Then start the cluster again.",
       ("instance_id", "databricks_error_message")),
    _t("DRIVER_OUT_OF_MEMORY", "SERVICE_FAULT", "The driver's container used more memory than it has and was killed.",
       ("data was collected to the driver", "the image runs other programs beside Spark"),
       "Use a larger driver_node_type_id, or collect less.", ("instance_id", "databricks_error_message")),
    _t("CLOUD_PROVIDER_RESOURCE_STOCKOUT", "CLOUD_FAILURE", "The machine has no room for the nodes.",
       ("other clusters use its memory", "more workers were asked for than it can hold"),
       "End other clusters, ask for fewer workers, or use a larger machine."),
    _t("CLOUD_PROVIDER_LAUNCH_FAILURE", "CLOUD_FAILURE", "The container engine refused to make a node.",
       ("the engine does not run", "it lacks a right or a kernel feature"),
       "Run `boathouse doctor`: it names each lack and its fix."),
    _t("INSTANCE_POOL_NOT_FOUND", "CLIENT_ERROR", "The instance pool of the cluster does not exist any more.",
       ("the pool was deleted after the cluster was created",),
       "Edit the cluster: give another instance_pool_id, or node_type_id.", ("instance_pool_id", "databricks_error_message")),
    _t("INSTANCE_POOL_MAX_CAPACITY_REACHED", "CLIENT_ERROR", "The instance pool has as many instances as it may have.",
       ("other clusters use the pool's instances", "the cluster asks for more nodes than the pool may have"),
       "End other clusters of the pool, ask for fewer workers, or raise max_capacity with instance-pools/edit.",
       ("instance_pool_id", "databricks_error_message")),
    _t("SUBNET_EXHAUSTED_FAILURE", "CLIENT_ERROR", "No free network is left in the pool of addresses.",
       ("as many clusters run as the pool has networks",), "End clusters, or enlarge the pool in the settings."),
    _t("UNEXPECTED_LAUNCH_FAILURE", "SERVICE_FAULT", "The launch failed in a way that has no name yet.",
       ("a fault of Boathouse",),
       "Start again; report it with the output of `boathouse why CLUSTER`."),
    _t("INTERNAL_ERROR", "SERVICE_FAULT", "A fault of Boathouse itself.", ("a fault of Boathouse",),
       "Report it with the output of `boathouse why CLUSTER`."),
)  # fmt: skip

#: By code.
CATALOGUE: dict[str, Termination] = {termination.code: termination for termination in _ALL}


def type_of(code: str) -> TerminationType:
    """The type that goes with a code. Raises KeyError for a code that we do not give."""
    return CATALOGUE[code].type
