"""Is this container's program healthy? `healthy.py URL` asks it; `healthy.py fresh GLOB SECONDS` looks at a file's age.

Run by path and with the standard library alone, so that a look costs the time of starting Python and no more.
"""

import sys
import time
import urllib.request
from pathlib import Path

TIMEOUT = 2.5


def answers(url: str) -> bool:
    """Whether a GET is answered with a status below 400."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT):  # noqa: S310 -- a loopback address of this container
            return True
    except OSError:
        return False


def is_fresh(pattern: str, seconds: float) -> bool:
    """Whether a file that the absolute `pattern` names was touched in the last `seconds`."""
    touched = (file.stat().st_mtime for file in Path("/").glob(pattern.removeprefix("/")))
    return max(touched, default=0.0) > time.time() - seconds


def main(words: list[str]) -> int:
    healthy = is_fresh(words[1], float(words[2])) if words[0] == "fresh" else answers(words[0])
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
