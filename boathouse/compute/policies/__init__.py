"""Cluster policies: what administrators allow, fix, forbid and suggest for the clusters of others (reference api C).

`attributes`, `definition`, `rules`, `mending`, `families` and `runtimes` are pure: the policy language, asked by the API, by the
verbs on clusters (`admission`), by compliance and by `boathouse policies check` alike. `store` has the rows.
"""
