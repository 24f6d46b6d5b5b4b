"""People and what they need (users, schemas, grants, clusters, permissions) from one file: `boathouse provision`.

Everything goes through the public API by the Databricks SDK, so it works against Databricks as well. The way of a run:
`fleet` and `people` read the files, `wishes` says what is wanted (pure), `found` looks at what is there by lists, `diff` says
the actions (pure), `runner` carries them out many at a time and `journal` remembers, so that a killed run goes on and `undo`
removes only what was made here.
"""
