"""`clusters/spark-versions`: what a cluster can run: of the table of runtimes, those whose release is built."""

from boathouse.compute import surroundings
from boathouse.edge import Ctx, endpoint
from boathouse.wire.compute import GetSparkVersionsResponse


@endpoint("GET", "/api/2.1/clusters/spark-versions", also=["/api/2.0/clusters/spark-versions"], action="clusters.sparkVersions")
def spark_versions(ctx: Ctx) -> GetSparkVersionsResponse:
    """Keys and names; names carry `LTS` and `Apache Spark x.y`, which clients select by."""
    built = ctx.service(surroundings.Surroundings).built
    return GetSparkVersionsResponse([version for key, version in surroundings.spark_versions().items() if built(key)])
