"""Named content: DBFS, workspace objects and volumes, in one table of nodes over the blob store.

`paths` and `rights` are pure; `nodes` is the SQL; `tree` reads and writes as somebody, `volume_tree` in volumes
as the catalog lets them; the endpoints are above them.
"""
