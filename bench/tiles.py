"""`tiles`: slides by tiles, beside OpenSlide's DeepZoomGenerator and large_image; first field of view; memory.

In the service itself every tool reads the same local file in a process of its own. Over HTTP ours is the partners'
gateway with signed grants, log and metrics, on the object store; the others are the same server with nothing around
them, on the local file. The tools take turns, round after round, each round with tiles of its own. The median counts.
"""

from __future__ import annotations

import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx

from bench import page, peers
from bench.deployment import SERVERS, Deployment, deployed
from bench.drops import slide as slide_drop
from bench.load import Load, readers
from bench.one_case import WORKERS, mb, travel
from bench.processes import peak_bytes
from bench.sizes import Size
from imaging.slides import tiles
from imaging.slides.levels import Pyramid, read_pyramids
from imaging.slides.source import FileSource
from storage import accounts

ROOT = Path(__file__).parents[1]
LOCK, TOOLS = ROOT / "bench" / "tile_peers.lock", ROOT / "bench" / "tile_tools.py"
GATEWAY = "gateway-partner"
CLIENTS, SLIDES_OPEN = 8, 50
# A field of view: so many tiles across and down, asked for one after the other.
FIELD = (5, 4)
# Seconds that a reader looks at a field before the next.
PAUSE = 0.5
ALLOWED_P95_MS, ALLOWED_FIELD_S = 10, 1.0
# How many times another tool's tiles a second ours must be: in the service, over HTTP, and where nothing lines up.
TIMES_INSIDE, TIMES_OVER_HTTP, TIMES_COMPOSED = 10, 4, 1
# A viewer's first look: the whole slide on a screen, then its middle at 20x.
SCREEN = (1600, 1000)

At = tuple[int, int, int]
# Tiles a second: of those that line up, and of the others.
Rates = tuple[float, float]
# name in `tile_tools` | what stands on the page | the package in the peers' lock, or ours
ROWS: tuple[tuple[str, str, str], ...] = (
    ("teledx", "**teledx**", ""),
    ("deep_zoom", "OpenSlide's DeepZoomGenerator", "openslide-python"),
    ("large_image", "large_image, as it opens a slide", "large-image"),
    ("large_image_tiff", "large_image's source for TIFF, asked for by name", "large-image-source-tiff"),
)


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Deep Zoom tiles that line up with stored ones, and others: of a level between two stored ones."""

    aligned: Sequence[At]
    others: Sequence[At]


def run(size: Size) -> str:
    """All tables of the benchmark."""
    with (
        deployed((*SERVERS, GATEWAY)) as house,
        tempfile.TemporaryDirectory(prefix="bench-tiles-") as name,
    ):
        folder = Path(name)
        python = peers.installed(LOCK, folder / "peers")
        if isinstance(python, str):
            return f"Not measured: the other tools {python}.\n"
        with house.workers(*WORKERS):
            large = _delivered(house, "BENCH1", size.slide, folder)
            small = _delivered(house, "BENCH2", max(size.slide // 25, 3_000_000), folder)
        file = _fetched(house, large, folder)
        with FileSource(file) as source:
            (pyramid,) = read_pyramids(source, "svs")
        asked = [_requests(pyramid, size.tiles, seed) for seed in range(size.rounds)]
        reader = Reader(house, large)
        first = reader.first_field()  # before anything of the slide is in memory
        load = page.load_now()
        inside = _turns(lambda tool, at: _inside(tool, python, file, at), asked)
        over = _turns(lambda tool, at: _over_http(tool, python, file, at, reader), asked)
        paced = _paced(reader, _requests(pyramid, size.tiles // 4, size.rounds))
        held = _held(house, small)
        return "\n".join((
            f"A slide of {mb(file.stat().st_size)} MB; {len(asked[0].aligned)} tiles that line up and"
            f" {len(asked[0].others)} that do not, in each of {size.rounds} rounds.\n",
            _table("tiles/s in the service itself", inside, TIMES_INSIDE),
            _table(f"tiles/s over HTTP, {CLIENTS} clients", over, TIMES_OVER_HTTP),
            _promises(paced, first, held, load),
        ))  # fmt: skip


def _delivered(house: Deployment, accession: str, size: int, folder: Path) -> str:
    """A slide case on a worklist; returns its id."""
    drop = slide_drop(house.clinics("histology")[0], accession, size, folder)
    travel(house, drop)
    for path in drop.files.values():
        if isinstance(path, Path):
            path.unlink()
    query = "SELECT case_id FROM vault.case_order WHERE accession_number = %s"
    case_id: str = house.one(query, accession)
    return case_id


def _slide_row(house: Deployment, case_id: str) -> Mapping[str, object]:
    query = "SELECT * FROM partner_object WHERE case_id = %s AND role = 'file'"
    return house.fetch(query, case_id)[0]


def _fetched(house: Deployment, case_id: str, folder: Path) -> Path:
    """The case's slide as a local file, for the tools that read one."""
    row, target = _slide_row(house, case_id), folder / "slide.svs"
    bucket = house.network.partner(str(row["partner"])).bucket
    with target.open("wb") as file:
        for block in house.s3.stream(bucket, str(row["key"]), 8 << 20):
            file.write(block)
    return target


def _requests(pyramid: Pyramid, count: int, seed: int) -> Requests:
    """Fields of view at random places of the base and of the level below it, without the slide's edges."""
    chosen, top = random.Random(seed), tiles.top_level(pyramid)
    aligned, others = (_fields(pyramid, level, count, chosen) for level in (top, top - 1))
    regions = [tiles.tile_region(pyramid, *at) for at in (*aligned, *others)]
    lines_up = [region is not None and tiles.stored(pyramid, region) is not None for region in regions]
    assert all(lines_up[: len(aligned)]), "the base's own tiles line up"
    assert not any(lines_up[len(aligned) :]), "the level below the base is not stored"
    return Requests(aligned=aligned, others=others)


def _fields(pyramid: Pyramid, level: int, count: int, chosen: random.Random) -> Sequence[At]:
    halved, side = tiles.top_level(pyramid) - level, tiles.tile_side(pyramid)
    columns, rows = (pyramid.base.width >> halved) // side - 1, (pyramid.base.height >> halved) // side - 1
    across, down = min(FIELD[0], columns), min(FIELD[1], rows)
    found: dict[At, None] = {}
    for _ in range(count):
        left, top = chosen.randint(0, columns - across), chosen.randint(0, rows - down)
        found |= {(level, left + x, top + y): None for y in range(down) for x in range(across)}
        if len(found) >= count:
            break
    return tuple(found)[:count]


def _inside(tool: str, python: Path, file: Path, at: Sequence[At]) -> float:
    """Tiles a second in the tool's own process."""
    done = subprocess.run(
        [*_command(tool, python), "rate", tool, str(file)],
        input="\n".join(" ".join(map(str, each)) for each in at),
        capture_output=True, text=True, check=True, env=_environment(tool),
    )  # fmt: skip
    return len(at) / float(done.stdout.split()[0])


def _over_http(tool: str, python: Path, file: Path, at: Sequence[At], reader: Reader) -> float:
    """Tiles a second that eight clients get."""
    if tool == "teledx":
        return _rate(readers(reader.url, _dealt(reader.paths(at))))
    with _served(tool, python, file) as url:
        return _rate(readers(url, _dealt([f"/{level}/{column}_{row}.jpg" for level, column, row in at])))


def _turns(one: Callable[[str, Sequence[At]], float], asked: Sequence[Requests]) -> Mapping[str, Rates]:
    """The median of each tool's rates, the tools taking turns."""
    found: dict[str, list[Rates]] = {tool: [] for tool, *_ in ROWS}
    for requests in asked:
        for tool in found:
            found[tool].append((one(tool, requests.aligned), one(tool, requests.others)))
    return {
        tool: (statistics.median(r[0] for r in rates), statistics.median(r[1] for r in rates))
        for tool, rates in found.items()
    }


def _rate(load: Load) -> float:
    if load.failed:
        raise RuntimeError(f"{load.failed} of {len(load.took)} tiles were refused")
    return load.rate


def _dealt(paths: Sequence[str]) -> list[Sequence[str]]:
    """Whole fields of view in turn to each client."""
    field = FIELD[0] * FIELD[1]
    fields = [paths[at : at + field] for at in range(0, len(paths), field)]
    dealt = [[path for own in fields[client::CLIENTS] for path in own] for client in range(CLIENTS)]
    return [own for own in dealt if own]


def _command(tool: str, python: Path) -> list[str]:
    return [sys.executable if tool == "teledx" else str(python), "-P", str(TOOLS)]


def _environment(tool: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT) if tool == "teledx" else "", "PYTHONWARNINGS": "ignore"}


@contextmanager
def _served(tool: str, python: Path, file: Path) -> Iterator[str]:
    """The tool behind a server of its own, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [*_command(tool, python), "serve", tool, str(file), str(port)], env=_environment(tool)
    )
    try:
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=20)


class Reader:
    """A person of the case's partner, at the partners' gateway."""

    def __init__(self, house: Deployment, case_id: str) -> None:
        self.url = house.house.urls["partner"]
        (self._item,) = house.fetch("SELECT id, partner FROM work_item WHERE case_id = %s", case_id)
        people = (a for a in house.network.accounts if a.organisation == self._item["partner"])
        account = next(a.id for a in people if a.role == "reader")
        with house.rows.transaction() as connection:
            token = accounts.issue(connection, account, lifetime=timedelta(hours=12))
        self._client = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=60, trust_env=False
        )
        self._client.get("/api/worklist").raise_for_status()

    def open(self, number: int = 1) -> tuple[str, int]:
        """Open a slide: where its tiles are, and the number of its largest level."""
        image = self._opened(number)
        top = (max(int(str(image[side])) for side in ("width", "height")) - 1).bit_length()
        return str(image["deep_zoom"]).removesuffix(".dzi") + "_files", top

    def _opened(self, number: int) -> Mapping[str, object]:
        told = self._client.post(f"/api/work-items/{self._item['id']}/viewing").raise_for_status().json()
        path = f"/api/viewings/{told['ticket']}/slides/{number}"
        image: Mapping[str, object] = self._client.post(path, json={}).raise_for_status().json()["images"][0]
        return image

    def paths(self, at: Sequence[At], number: int = 1) -> list[str]:
        start, _ = self.open(number)
        return [f"{start}/{level}/{column}_{row}.jpg" for level, column, row in at]

    def first_field(self) -> tuple[float, float]:
        """Seconds from the claim to the whole slide on the screen, and from there to its middle at full resolution."""
        begun = time.perf_counter()
        self._client.post(f"/api/work-items/{self._item['id']}/claim").raise_for_status()
        image = self._opened(1)
        width, height, side = (int(str(image[key])) for key in ("width", "height", "tile"))
        start = str(image["deep_zoom"]).removesuffix(".dzi") + "_files"
        top = (max(width, height) - 1).bit_length()
        fits = max(range(top + 1), key=lambda z: (width >> (top - z) <= SCREEN[0]) * z)
        whole = [
            f"{start}/{fits}/{x}_{y}.jpg"
            for x in range(-(-(width >> (top - fits)) // side))
            for y in range(-(-(height >> (top - fits)) // side))
        ]
        self._all(whole)
        seen = time.perf_counter()
        column, row = (width // side - FIELD[0]) // 2, (height // side - FIELD[1]) // 2
        self._all(
            [f"{start}/{top}/{column + x}_{row + y}.jpg" for x in range(FIELD[0]) for y in range(FIELD[1])]
        )
        return seen - begun, time.perf_counter() - seen

    def _all(self, paths: Sequence[str]) -> None:
        """As a browser: some at once."""
        _rate(readers(self.url, [paths[at::CLIENTS] for at in range(min(CLIENTS, len(paths)))]))


def _paced(reader: Reader, asked: Requests) -> Load:
    """Eight people who look at each field for a while."""
    field = FIELD[0] * FIELD[1]
    return readers(reader.url, _dealt(reader.paths(asked.aligned)), PAUSE, field)


def _held(house: Deployment, case_id: str) -> tuple[int, int]:
    """The gateway's peak in bytes before and after fifty slides are open and looked at."""
    row = dict(_slide_row(house, case_id))
    bucket, key = house.network.partner(str(row["partner"])).bucket, str(row["key"])
    for number in range(SLIDES_OPEN - 1):
        copy = key.replace(".svs", f"-{number:02d}.svs")
        source, kind = (bucket, key, int(str(row["size"]))), str(row["media_type"])
        house.s3.copy(source, (bucket, copy), media_type=kind, sha256=str(row["sha256"]))
        house.fetch(
            "INSERT INTO partner_object VALUES (%s, %s, %s, 'file', %s, %s, %s) RETURNING key",
            case_id, row["partner"], copy, row["size"], row["sha256"], row["media_type"],
        )  # fmt: skip
    pid = house.house.supervisor.pid(GATEWAY) or 0
    before, reader = peak_bytes(pid), Reader(house, case_id)
    for number in range(1, SLIDES_OPEN + 1):
        start, top = reader.open(number)
        at = [(level, x, y) for level in (top - 2, top - 1, top) for x in range(3) for y in range(3)]
        _rate(readers(reader.url, [[f"{start}/{level}/{x}_{y}.jpg" for level, x, y in at]]))
    return before, peak_bytes(pid)


def _table(title: str, rates: Mapping[str, Rates], times: float) -> str:
    mine = rates["teledx"]
    rows = []
    for tool, said, package in ROWS:
        aligned, others = rates[tool]
        name = f"{said}, {peers.version(LOCK, package)}" if package else said
        ratios = ("", "") if tool == "teledx" else (f"{mine[0] / aligned:.1f}", f"{mine[1] / others:.1f}")
        rows.append((name, f"{aligned:.0f}", ratios[0], f"{others:.0f}", ratios[1]))
    least = [min(mine[n] / rates[tool][n] for tool in ("deep_zoom", "large_image")) for n in (0, 1)]
    kept, others_kept = _verdict(least[0] >= times), _verdict(least[1] >= TIMES_COMPOSED)
    head = (title, "lines up", "ours, times", "does not", "ours, times")
    return (
        f"{page.table(head, rows)}\nAt least {times} times DeepZoom and large_image where tiles line up: {kept};"
        f" no slower where they do not: {others_kept}.\n"
    )


def _promises(paced: Load, first: tuple[float, float], held: tuple[int, int], load: float) -> str:
    p95 = page.p95(paced.took) * 1000
    rows = (
        (f"p95 of a tile, {CLIENTS} readers, a field each {PAUSE} s, ms", f"{p95:.1f}", f"{ALLOWED_P95_MS}",
         _verdict(p95 <= ALLOWED_P95_MS and not paced.failed)),
        ("claim to the whole slide on the screen, s", f"{first[0]:.2f}", f"{ALLOWED_FIELD_S:.0f}",
         _verdict(first[0] <= ALLOWED_FIELD_S)),
        ("then its middle at full resolution, s", f"{first[1]:.2f}", "", ""),
        (f"gateway's peak memory before {SLIDES_OPEN} slides are open, MB", mb(held[0]), "", ""),
        (f"and after, with {SLIDES_OPEN} open and looked at, MB", mb(held[1]), "", ""),
        ("load of the machine before", f"{load:.1f}", "", ""),
    )  # fmt: skip
    return page.table(("the partners' gateway on the object store", "", "at most", ""), rows)


def _verdict(kept: bool) -> str:
    return "kept" if kept else "missed"
