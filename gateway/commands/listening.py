"""The socket that a server listens on, bound before anything else is done."""

import ipaddress
import socket

from schema.errors import BadUserInput


def bind(host: str, port: int) -> socket.socket:
    """Bind to an address, or to any free port if `port` is 0; no connection is accepted before `listen`.

    Raises:
        BadUserInput: the address is not available.
    """
    try:
        family, kind, protocol, _, address = _first_address(host, port)
        taken = socket.socket(family, kind, protocol)
    except OSError as error:
        raise BadUserInput(f"{host}:{port} cannot be served on: {error.strerror}.") from error
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        taken.close()
        raise BadUserInput(f"{host}:{port} cannot be served on: {error.strerror}.") from error
    return taken


def listen(bound: socket.socket, backlog: int) -> None:
    """Start accepting connections.

    uvloop does this too, but does not report a failure.

    Raises:
        BadUserInput: another process bound to the same address and is listening already.
    """
    try:
        bound.listen(backlog)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise BadUserInput(f"{host}:{port} cannot be served on: {error.strerror}.") from error


def origin(host: str, bound: socket.socket) -> str:
    """The origin of the URLs that are served on a socket."""
    port = bound.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _first_address(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    """The first address of a host, IPv4 preferred: clients try it for `localhost`, and not every machine has IPv6."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return min(found, key=lambda each: each[0] != socket.AF_INET)
