"""One tile source over one slide in one process: run by path, in the environment that has the tool.

`python -P tile_tools.py rate TOOL SLIDE` reads requests (`level column row`, Deep Zoom's) from standard input and
prints seconds by the clock and of CPU for all of them; `serve TOOL SLIDE PORT` answers `/{level}/{column}_{row}.jpg`
until it is ended. Needs nothing of the project unless the tool is the project's.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

# level, column, row -> the tile as JPEG
Tile = Callable[[int, int, int], bytes]
QUALITY = 90


def teledx(slide: str) -> Tile:
    source = import_module("imaging.slides.source").FileSource(import_module("pathlib").Path(slide))
    (pyramid,) = import_module("imaging.slides.levels").read_pyramids(source, "svs")
    tiles = import_module("imaging.slides.tiles")
    return lambda *at: tiles.picture(source, pyramid, tiles.tile_region(pyramid, *at))


def deep_zoom(slide: str) -> Tile:
    opened = import_module("openslide").OpenSlide(slide)
    generator = import_module("openslide.deepzoom").DeepZoomGenerator(opened, 256, 0, limit_bounds=False)

    def tile(level: int, column: int, row: int) -> bytes:
        out = io.BytesIO()
        generator.get_tile(level, (column, row)).save(out, "JPEG", quality=QUALITY)
        return out.getvalue()

    return tile


def _large_image(opened: Any, top: int) -> Tile:
    """Its levels count from where one tile holds the slide: the top one is the base, as with Deep Zoom."""
    return lambda level, column, row: bytes(opened.getTile(column, row, opened.levels - 1 - (top - level)))


def large_image(slide: str) -> Tile:
    """As it opens a slide by itself."""
    opened = import_module("large_image").open(slide, jpegQuality=QUALITY)
    return _large_image(opened, _top(opened))


def large_image_tiff(slide: str) -> Tile:
    """With its source for TIFF, which hands stored tiles out too; it must be asked for by name."""
    opened = import_module("large_image_source_tiff").TiffFileTileSource(slide, jpegQuality=QUALITY)
    return _large_image(opened, _top(opened))


def _top(opened: Any) -> int:
    told = opened.getMetadata()
    return (max(int(told["sizeX"]), int(told["sizeY"])) - 1).bit_length()


TOOLS: dict[str, Callable[[str], Tile]] = {
    "teledx": teledx,
    "deep_zoom": deep_zoom,
    "large_image": large_image,
    "large_image_tiff": large_image_tiff,
}


def rate(tile: Tile) -> None:
    """Every request once, after one that pays for imports and tables."""
    asked = [tuple(int(part) for part in line.split()) for line in sys.stdin]
    tile(*asked[0])
    clock, cpu = time.perf_counter(), time.process_time()
    for at in asked:
        tile(*at)
    print(time.perf_counter() - clock, time.process_time() - cpu)


def serve(tile: Tile, port: int) -> None:
    responses, routing = import_module("starlette.responses"), import_module("starlette.routing")

    def answer(request: Any) -> Any:
        at = (int(request.path_params[name]) for name in ("level", "column", "row"))
        return responses.Response(tile(*at), media_type="image/jpeg")

    app = import_module("starlette.applications").Starlette(
        routes=[routing.Route("/{level}/{column}_{row}.jpg", answer)]
    )
    import_module("uvicorn").run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)


def main(what: str, tool: str, slide: str, *port: str) -> None:
    tile = TOOLS[tool](slide)
    if what == "rate":
        rate(tile)
    else:
        serve(tile, int(port[0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
