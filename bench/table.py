"""The benchmarks by name, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench import cases, deid, one_case, qido, slides, stat, tiles, where
from bench.sizes import Size


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """`run` measures at a size and returns what stands between the benchmark's marks on the page."""

    name: str
    what: str
    run: Callable[[Size], str]


BENCHMARKS: Mapping[str, Benchmark] = {
    b.name: b
    for b in (
        Benchmark(
            name="cases", what="small cases a second through all stages, beside no-op messages", run=cases.run
        ),
        Benchmark(name="where", what="where a small case's time goes, stage by stage", run=where.run),
        Benchmark(
            name="ct300", what="drop to worklist, memory and bytes of a 300-slice CT", run=one_case.ct300
        ),
        Benchmark(
            name="slide1g", what="drop to worklist, memory and bytes of a 1 GB slide", run=one_case.slide1g
        ),
        Benchmark(
            name="slides",
            what="slides of 1 GB and 4 GB de-identified, beside the store's own copy",
            run=slides.run,
        ),
        Benchmark(
            name="tiles",
            what="slides by tiles, beside OpenSlide's DeepZoom and large_image",
            run=tiles.run,
        ),
        Benchmark(
            name="stat",
            what="a stat case on a flooded system; a third clinic beside two that flood",
            run=stat.run,
        ),
        Benchmark(
            name="qido", what="searches over 100,000 studies of one partner, by what is asked", run=qido.run
        ),
        Benchmark(
            name="deid",
            what="a CT series de-identified, beside copying, pydicom and other tools",
            run=deid.run,
        ),
    )
}
