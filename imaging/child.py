"""Native decoding in a child process that can be killed: a time limit and a memory limit from outside.

dramatiq's own time limit does not stop a blocking call, and a decoder that reads hostile bytes may never return.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, ParamSpec, TypeVar

from pebble import ProcessExpired, ProcessPool

from cases.errors import Quarantine, Transient

P = ParamSpec("P")
R = TypeVar("R")

MEMORY_LIMIT = 4 << 30
# How a child ends that was asked to, with its whole process group (the fork server tells the signal without its sign):
# no fault of what it read.
_STOPPED = (signal.SIGTERM, -signal.SIGTERM)


def _limit(memory: int) -> None:
    """Cap the child's address space, in bytes; beyond it allocations fail instead of the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Child:
    """A small pool of children, started when first needed; each call has its own time limit.

    `preload`: modules that the server which forks them loads once. The first pool of a process decides.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        memory: int = MEMORY_LIMIT,
        max_calls: int = 200,
        preload: Sequence[str] = (),
    ) -> None:
        self._workers = workers
        self._memory = memory
        self._max_calls = max_calls
        self._preload = preload
        self._pool: ProcessPool | None = None
        self._lock = threading.Lock()

    def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a top-level `function` in a child for at most 120 s; see `run_for`."""
        return self.run_for(120.0, function, *args, **kwargs)

    def run_for(self, seconds: float, function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
        """Call `function` in a child; raises what it raised, or `Quarantine("read-limit")` if it had to be killed.

        `Transient` if somebody stopped the child: an ordinary shutdown is no fault of what it read.
        """
        pool = self._started()
        try:
            result: R = pool.schedule(function, args=list(args), kwargs=kwargs, timeout=seconds).result()
            return result
        except FutureTimeout:
            raise Quarantine("read-limit", f"{function.__name__} took longer than {seconds:.0f} s") from None
        except MemoryError:
            raise Quarantine("read-limit", f"{function.__name__} wanted too much memory") from None
        except ProcessExpired as error:
            if error.exitcode in _STOPPED:
                raise Transient(f"the child was stopped while it did {function.__name__}") from None
            raise Quarantine(
                "read-limit", f"{function.__name__} ended its process ({error.exitcode})"
            ) from None
        except CancelledError:
            raise Transient(f"the child was closed before it did {function.__name__}") from None

    def _started(self) -> ProcessPool:
        with self._lock:
            if self._pool is None or not self._pool.active:
                context = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(list(self._preload))
                self._pool = ProcessPool(
                    max_workers=self._workers,
                    max_tasks=self._max_calls,
                    initializer=_limit,
                    initargs=[self._memory],
                    context=context,
                )
            return self._pool

    def close(self) -> None:
        with self._lock:
            if self._pool is not None:
                self._pool.stop()
                self._pool.join(timeout=5)
                self._pool = None
