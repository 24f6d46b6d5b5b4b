"""Libraries of clusters: what is wished, and having it on every node.

`api` writes wishes (`rows`); `reconciler` looks at the nodes, asks the pure `plan`, has `installer` carry it out. Python and R
packages are installed by processes in each node, with the image's own pip and R; jars are added by the driver's Spark, which
resolves Maven coordinates itself and hands jars to its executors. A node's container is new at each launch, so a restart
uninstalls what is no more wished and installs the rest again.
"""
