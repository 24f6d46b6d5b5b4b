"""Unity Catalog's model: metastores, catalogs, schemas, and what is in them; who owns it, and what was granted to whom.

`privileges` and `names` are pure; `securables` and `grant_rows` are the SQL; `access` looks things up as somebody and refuses
there; the endpoints are above them. Files of volumes and everything that runs are other rooms', and ask here.
"""
