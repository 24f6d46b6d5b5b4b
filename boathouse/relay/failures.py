"""How a call through the tunnel can fail."""


class NodeGone(Exception):
    """The node's tunnel is down, or fell, or the node did not answer in time: whether the call took effect is not known."""


class NodeError(Exception):
    """The node's daemon answered, and refused; the message is `code: why`."""


class Refused(Exception):
    """Raised by a registered method to refuse a call of a node: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message
