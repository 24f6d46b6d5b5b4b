"""Ways to run something on a cluster by hand: command contexts (API 1.2) and the Spark UI.

`contexts.py` and `commands.py` answer the API by writing rows; `reconciler.py` alone brings rows and node together; a session
(`python_context.py`, `sql_context.py`) is the near end of one context while this process lives, and holds nothing that is not in
the rows or in the node.
"""
