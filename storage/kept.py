"""What is kept in memory of what was fetched or made: bounded by what it weighs, the longest unused goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by key, for all threads of a process. What many ask for at once is made once."""

    def __init__(self, capacity: int, weigh: Callable[[Value], int], most: int | None = None) -> None:
        """:param capacity: of all values together, in the unit of `weigh`. :param most: values, if that is bounded."""
        self._capacity = capacity
        self._weigh = weigh
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._under_way: dict[Hashable, Future[Value]] = {}
        self._lock = threading.Lock()
        self._weight = 0

    @property
    def weight(self) -> int:
        """Of all that is kept now."""
        return self._weight

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable) -> Value | None:
        """What is kept under the key, at once; None if nothing is."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def made(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """What is kept under the key, else what `make` makes; its exception goes to all who wait for it."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            waiting = self._under_way.get(key)
            if waiting is None:
                mine = self._under_way[key] = Future()
        if waiting is not None:
            return waiting.result()
        try:
            value = make()
        except BaseException as error:
            with self._lock:
                del self._under_way[key]
            mine.set_exception(error)
            raise
        self._keep(key, value)
        mine.set_result(value)
        return value

    def _keep(self, key: Hashable, value: Value) -> None:
        """Keep it unless it is heavier than everything may be, and let others go for it."""
        weight = self._weigh(value)
        with self._lock:
            del self._under_way[key]
            if weight > self._capacity:
                return
            self._values[key] = value
            self._weight += weight
            while self._weight > self._capacity or (
                self._most is not None and len(self._values) > self._most
            ):
                _, gone = self._values.popitem(last=False)
                self._weight -= self._weigh(gone)
