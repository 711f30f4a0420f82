"""A decoder that never returns, importable by the child that it hangs in."""

import time


def one(*_arguments: object) -> None:
    time.sleep(3600)
