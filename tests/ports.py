"""Ports for servers that must be told theirs beforehand, and find it free again when they are started again."""

import socket

_kept: list[socket.socket] = []


def free_port() -> int:
    """A port of 127.0.0.1 that nobody else is given while this process lives.

    It stays bound, which keeps the kernel from giving it to an outgoing connection or to another test, but nothing
    listens: connections are refused until a server that sets SO_REUSEADDR (they all do) listens there. The option is
    set here after the bind, so that the bind itself shares with nobody.
    """
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _kept.append(kept)
    return int(kept.getsockname()[1])
