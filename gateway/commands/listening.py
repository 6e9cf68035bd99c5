"""The socket that a server listens on, taken before anything else is done."""

import ipaddress
import socket

from schema.errors import BadUserInput


def bind(host: str, port: int) -> socket.socket:
    """Take an address, or any free port where `port` is 0; nobody is let in before `listen`.

    Raises:
        BadUserInput: it cannot be taken.
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
    """Begin to let clients in.

    uvloop does this too, but says nothing where it fails.

    Raises:
        BadUserInput: somebody else has begun to, at the address that both took.
    """
    try:
        bound.listen(backlog)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise BadUserInput(f"{host}:{port} cannot be served on: {error.strerror}.") from error


def origin(host: str, bound: socket.socket) -> str:
    """The beginning of every URL there."""
    port = bound.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _first_address(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    """IPv4 first: whoever resolves `localhost` tries that, and not every machine has the other."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return min(found, key=lambda each: each[0] != socket.AF_INET)
