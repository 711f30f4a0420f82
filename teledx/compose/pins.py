"""From requirements.lock, the pins that the image needs: what the programs stand on, without the tools of development.

The lock says of every pin what asked for it (`# via`). Kept are those that the project's own dependencies ask for,
directly or through others; the hashes stay as they are. Standard library alone: it runs before anything is installed.
"""

import argparse
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

PROJECT = re.compile(r"teledx \(pyproject\.toml\)")
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)(\[[^\]]*\])?==", re.IGNORECASE)
VIA = re.compile(r"^ +# +(?:via )?(?P<asker>\S.*)$")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One pin: its name, its lines as they stand, and who asked for it."""

    name: str
    lines: tuple[str, ...]
    askers: frozenset[str]


def pins(lock: str) -> dict[str, tuple[Pin, ...]]:
    """The lock's pins by name; one package may have several, each for another platform. ValueError: no pin in it."""
    blocks: list[list[str]] = []
    for line in lock.splitlines():
        if PIN.match(line):
            blocks.append([line])
        elif blocks and line.startswith(" "):
            blocks[-1].append(line)
        elif line and not line.startswith("#"):
            raise ValueError(f"not a line of a lock: {line!r}")
    if not blocks:
        raise ValueError("no pin in the lock")
    found: dict[str, tuple[Pin, ...]] = {}
    for block in blocks:
        pin = _pin(block)
        found[pin.name] = (*found.get(pin.name, ()), pin)
    return found


def needed(found: Mapping[str, tuple[Pin, ...]], without: Collection[str] = ()) -> list[Pin]:
    """The pins that the project asks for, itself or through others, in the lock's order; `without` cuts names off.

    LookupError: a name to leave out that the lock does not have.
    """
    unknown = sorted(set(without) - set(found))
    if unknown:
        raise LookupError(f"the lock has no {', '.join(unknown)}")
    kept = {name for name, group in found.items() if _asked(group, PROJECT.fullmatch)} - set(without)
    grown = True
    while grown:
        more = {n for n, group in found.items() if n not in kept and _asked(group, kept.__contains__)} - set(
            without
        )
        kept |= more
        grown = bool(more)
    return [pin for name, group in found.items() if name in kept for pin in group]


def _asked(group: tuple[Pin, ...], by: Callable[[str], object]) -> bool:
    return any(by(asker) for pin in group for asker in pin.askers)


def _pin(block: list[str]) -> Pin:
    match = PIN.match(block[0])
    assert match is not None, "blocks begin with a pin"
    askers = {found["asker"] for line in block[1:] if (found := VIA.match(line)) and found["asker"] != "via"}
    return Pin(name=match["name"], lines=tuple(block), askers=frozenset(askers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("lock", type=Path)
    parser.add_argument("--without", nargs="*", default=[], help="packages that the image has no use for")
    told = parser.parse_args()
    for pin in needed(pins(told.lock.read_text("utf-8")), told.without):
        sys.stdout.write("\n".join(pin.lines) + "\n")


if __name__ == "__main__":
    main()
