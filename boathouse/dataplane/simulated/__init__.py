"""Nodes without containers: the contract of the data plane with scripted delays and faults, for scale and crash tests.

`SimulatedDriver` and `SimulatedLink` share a `World`, which is what "really runs": it may live in a file, and then outlives
the control plane as containers do. Nothing ever waits here: what takes time is a time in the world, compared with the clock
that was handed in. No command is ever answered: whoever runs commands asks `driver.simulated` and refuses them by name.
"""

from boathouse.dataplane.simulated.driver import SimulatedDriver
from boathouse.dataplane.simulated.faults import Delays, Fault, Trouble
from boathouse.dataplane.simulated.link import SimulatedLink
from boathouse.dataplane.simulated.world import World

__all__ = ["Delays", "Fault", "SimulatedDriver", "SimulatedLink", "Trouble", "World"]
