"""Sentences about what was found, in Chinese: the house's table with the slide formats' own advice."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from cases.details import Details, table


@functools.cache
def _details() -> Details:
    from imaging.slides.formats import FORMATS

    return Details({**table(), **{f.advice: f.advice_zh for f in FORMATS.values() if f.advice}})


def zh(sentence: str) -> str:
    """The sentence in Chinese, as far as the table goes."""
    return _details().zh(sentence)


def all_zh(sentences: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(zh, sentences))
