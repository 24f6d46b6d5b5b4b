"""Whether the image of a running cluster can still be had, asked before a restart takes anything down.

Between the verbs that restart a cluster (`clusters`, `cluster_changes`, by `Surroundings`) and its registry: the same reference,
track and credentials as its launch would have, and the words with which that would end. Only what the registry says is asked;
what the machine or the image policy says is for the launch. Decision 33 says why.
"""

from typing import Any

from boathouse.compute import launch_inputs, tracks
from boathouse.compute.images_step import ImageService, Preload
from boathouse.compute.launch_inputs import Sources
from boathouse.compute.secrets_step import Refused
from boathouse.dataplane.contract import NodeFailure
from boathouse.edge.errors import ApiError, invalid, invalid_state
from boathouse.images import failures
from boathouse.images.failures import ImageFailure
from boathouse.wire.compute import ClusterSpec

#: Seconds that a call waits for a registry.
PATIENCE = 8.0

#: What a registry says for good: who asks again gets the same answer.
FINAL = (failures.Refused, failures.NotThere, failures.WrongPlatform)


class ImageQuestion:
    """`sources`: where a launch would have credentials from. One for the control plane; any thread."""

    def __init__(self, sources: Sources, service: ImageService) -> None:
        self._sources, self._service = sources, service

    def __call__(self, row: Any, spec: ClusterSpec, editor: str) -> None:
        """Ask for the image that the cluster in `row` would restart with: that of `spec`, with the rights of `editor`. Waits for
        the registry. Raises ApiError: 400 INVALID_PARAMETER_VALUE where a restart would fail each time, 400 INVALID_STATE where
        it would fail now."""
        if spec.docker_image is None or not spec.docker_image.url:
            return
        try:
            self._ask(row, spec, editor)
        except Refused as refused:
            raise _final(row.cluster_id, refused.failure.message) from None
        except NodeFailure as failure:
            raise _final(row.cluster_id, failure.message) from None
        except FINAL as failure:
            raise _final(row.cluster_id, failure.text) from None
        except ImageFailure as failure:
            raise invalid_state(
                f"Cluster {row.cluster_id} goes on as it is and is not restarted, because its registry does not give the image "
                f"now: {failure.text} Try again later. To end it all the same: clusters.delete, then clusters.start."
            ) from None

    def _ask(self, row: Any, spec: ClusterSpec, editor: str) -> None:
        track = launch_inputs.followed(self._sources, row.workspace_id, spec)
        wish = spec if track is None else tracks.launched(spec, track)
        docker = wish.docker_image
        assert docker is not None and docker.url, "asked for an image alone"
        only = ClusterSpec(spark_version=spec.spark_version, docker_image=docker, aws_attributes=spec.aws_attributes)
        values = launch_inputs.opened(self._sources, only, row.workspace_id, editor, row.cluster_id, track)
        key = self._service.key(Preload(row.cluster_id, 0, only, values, row.workspace_id, editor))
        self._service.ask(docker.url, key, PATIENCE)


def _final(cluster_id: str, why: str) -> ApiError:
    return invalid(
        f"docker_image: cluster {cluster_id} goes on as it is and is not restarted, because a launch could not have the image: "
        f"{why} Mend that, or end the cluster with clusters.delete."
    )
