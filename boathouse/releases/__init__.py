"""Runtime releases: which there are, how one is built, and how its programs are started.

`runtimes` is the table of versions, `release` finds what is built, `arguments` are the pure command lines and
configuration, `build` and its neighbours make a release. Knows nothing of clusters, nodes or engines.
"""

from boathouse.releases.release import Release, Releases
from boathouse.releases.runtimes import RUNTIMES, Runtime, is_ml, plain_key, runtime, spark_versions

__all__ = ["RUNTIMES", "Release", "Releases", "Runtime", "is_ml", "plain_key", "runtime", "spark_versions"]
