"""Ports for servers that must be told theirs beforehand, and find it free again when they are started again."""

import os
import socket


class Port:
    """A port of 127.0.0.1 that nobody else is given as long as this object lives.

    It stays bound, which keeps the kernel from giving it to an outgoing connection or to another test, but nothing
    listens: connections are refused until a server that sets SO_REUSEADDR (they all do) listens there. The option is
    set here after the bind, so that the bind itself shares with nobody.
    """

    def __init__(self) -> None:
        kept = socket.socket()
        kept.bind(("127.0.0.1", 0))
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number = int(kept.getsockname()[1])
        self._descriptor = kept.detach()

    def __del__(self) -> None:
        os.close(self._descriptor)


_kept: list[Port] = []


def free_port() -> int:
    """The number of one that is kept as long as this process lives."""
    _kept.append(Port())
    return _kept[-1].number
