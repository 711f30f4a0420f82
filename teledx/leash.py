"""The supervisor's end of the guardian: what runs is told to it, so that it can end all of it once we are gone."""

import subprocess
import sys
import threading
from pathlib import Path

GUARDIAN = Path(__file__).with_name("guardian.py")


class Leash:
    """Holds the guardian's standard input. A guardian that died is started again and told everything anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[int, float] = {}
        self._guardian: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the guardian."""
        with self._lock:
            self._guardian = self._spawn()

    def hold(self, group: int, seconds: float) -> None:
        """End this process group when we are gone, allowing it `seconds` to stop by itself."""
        with self._lock:
            self._groups[group] = seconds
            self._tell(f"+{group} {seconds}\n")

    def release(self, group: int) -> None:
        """This process group has ended."""
        with self._lock:
            self._groups.pop(group, None)
            self._tell(f"-{group}\n")

    def stop(self) -> None:
        """Close its input, by which it ends, and wait for that."""
        with self._lock:
            guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.communicate()

    def _tell(self, line: str) -> None:
        if self._guardian is None:
            return
        try:
            self._write(self._guardian, line)
        except BrokenPipeError:
            self._guardian.communicate()
            self._guardian = self._spawn()
            self._write(self._guardian, "".join(f"+{group} {secs}\n" for group, secs in self._groups.items()))

    @staticmethod
    def _write(guardian: subprocess.Popen[bytes], text: str) -> None:
        assert guardian.stdin is not None
        guardian.stdin.write(text.encode())

    @staticmethod
    def _spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARDIAN)],
            stdin=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
