"""`/api/2.0/permissions/clusters/{id}` and `/api/2.0/permissions/instance-pools/{id}`."""

from boathouse.auth import permissions
from boathouse.compute.access import CLUSTERS
from boathouse.compute.pool_stock import POOLS

get_of_cluster, set_of_cluster, update_of_cluster, levels_of_cluster = permissions.endpoints(CLUSTERS, __name__)
get_of_pool, set_of_pool, update_of_pool, levels_of_pool = permissions.endpoints(POOLS, __name__, action="instancePools")
