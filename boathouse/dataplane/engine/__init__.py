"""Nodes as containers of a Docker-compatible engine on this machine.

`locate` finds the engine (or starts the embedded one of `podman`), `driver.EngineDriver` makes nodes exist on it, `images`
and `pull` hold the images, `network`, `addresses` and `firewall` keep clusters apart, `probes` tells `doctor` what works.
Nothing here knows cluster states, the API or the database.
"""
