"""One row in the audit log for each viewing of a study by a person, not for each frame of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

# account, case, study
Looked = tuple[str, str, str]
_REMEMBERED = 10_000


@dataclass
class Viewings:
    """Who looks at what at present. After `pause` seconds without a look the next one is another viewing.

    Each gateway process remembers its own, so a viewing may leave a row in each: never none.
    """

    pause: float = 1800.0
    _last: dict[Looked, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def new(self, looks: Iterable[Looked]) -> list[Looked]:
        """Those that begin a viewing."""
        now = time.monotonic()
        with self._lock:
            return [look for look in looks if now - self._last.get(look, -self.pause) >= self.pause]

    def seen(self, looks: Iterable[Looked]) -> None:
        """Remember looks whose rows are written."""
        with self._lock:
            for look in looks:
                self._last.pop(look, None)
                self._last[look] = time.monotonic()
            while len(self._last) > _REMEMBERED:
                del self._last[next(iter(self._last))]
