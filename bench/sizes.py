"""How much is measured: `full` for the page, `tiny` to see that a benchmark still runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """Counts of cases, workers a round, slices, repetitions, rounds of tools, tiles; pixels a side; bytes of slides;
    studies that are searched, and searches of each kind."""

    cases: int
    processes: tuple[int, ...]
    profiled: int
    slices: int
    rows: int
    slide: int
    slides: tuple[int, ...]
    repeat: int
    rounds: int
    waiting: int
    stat: int
    flood: int
    busy_slide: int
    tiles: int
    studies: int
    searches: int


FULL = Size(
    cases=300,
    processes=(1, 2),
    profiled=60,
    slices=300,
    rows=512,
    slide=1_000_000_000,
    slides=(1_000_000_000, 4_000_000_000),
    repeat=3,
    rounds=3,
    waiting=1000,
    stat=40,
    flood=150,
    busy_slide=500_000_000,
    tiles=4000,
    studies=100_000,
    searches=200,
)
TINY = Size(
    cases=4,
    processes=(1,),
    profiled=1,
    slices=3,
    rows=128,
    slide=3_000_000,
    slides=(3_000_000, 6_000_000),
    repeat=1,
    rounds=1,
    waiting=4,
    stat=1,
    flood=2,
    busy_slide=3_000_000,
    tiles=160,
    studies=300,
    searches=3,
)
