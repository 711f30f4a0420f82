"""Ports on loopback that nobody uses at this moment.

They lie below the range from which the kernel takes ports for outgoing connections (32768 and above), so none of those
takes one between our look and the server's bind.
"""

import json
import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
LOWEST, HIGHEST = 10_240, 22_000
GRPC_OFFSET = 10_000  # SeaweedFS adds it to a port of its own for gRPC
ATTEMPTS = 1_000


def is_free(port: int) -> bool:
    """Whether a server may bind the port on loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int, *, beside: int = 0) -> list[int]:
    """`count` different free ports; with `beside`, the port that far above each is free too. OSError if none are."""
    found: list[int] = []
    dice = random.SystemRandom()
    for _ in range(ATTEMPTS):
        if len(found) == count:
            return found
        port = dice.randint(LOWEST, HIGHEST)
        if port not in found and is_free(port) and (not beside or is_free(port + beside)):
            found.append(port)
    raise OSError(f"no {count} free ports between {LOWEST} and {HIGHEST} on {LOOPBACK}")


def kept_ports(file: Path, count: int, *, beside: int = 0) -> list[int]:
    """The ports of the last time, as `file` names them, if all are free; else new ones, which `file` then names."""
    if file.exists():
        ports: list[int] = json.loads(file.read_text())
        if len(ports) == count and all(is_free(port) and is_free(port + beside) for port in ports):
            return ports
    ports = free_ports(count, beside=beside)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(ports))
    return ports
