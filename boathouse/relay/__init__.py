"""The tunnel's near end: nodes dial in here, and only through here does the control plane speak to them."""

from boathouse.relay.failures import NodeError, NodeGone, Refused
from boathouse.relay.relay import Relay

__all__ = ["NodeError", "NodeGone", "Refused", "Relay"]
