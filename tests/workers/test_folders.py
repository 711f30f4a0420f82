"""A slide of several files on its way: dropped one by one or in one archive, it arrives as such a slide again."""

import io
import zipfile
from datetime import UTC, datetime

import openslide
import pytest
from PIL import Image

from cases.errors import Quarantine
from storage.s3 import Absent
from teledx.samples import orders, studies
from tests.imaging.slides.conftest import NUMBER
from tests.imaging.slides.mirax_slide import CANARIES, parts, write_mirax
from tests.imaging.slides.treated import found_in
from workers.folders import grouped, only_slide

PATIENT = orders.PATIENTS[0]


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    return write_mirax(tmp_path_factory.mktemp("mirax") / "a.mrxs", parts())


def files_of(slide, under="slides/"):
    own = sorted(slide.with_suffix("").iterdir())
    return {f"{under}{p.relative_to(slide.parent)}": p.read_bytes() for p in (slide, *own)}


def packed(files, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return {"slide.zip": out.getvalue()}


def drop(region, files, named):
    line = orders.slide_line(named, pathology_number=NUMBER, block="A1", stain="HE")
    lines = [orders.file_line(name, content) for name, content in files.items()]
    order = orders.order("histology", PATIENT, lines, accession_number="S-1", slides=[line])
    region.drop("jiangshan", order, files)
    region.settle()
    return region.one("SELECT id, state, partner, reason_code, reason_detail, brief FROM cases")


def arrived(region, case, folder):
    """The slide as the partner has it: written below `folder`, where OpenSlide finds its parts."""
    zone = f"partner-{case['partner']}"
    start = f"{case['id']}/deliver/"
    keys = [f.key for f in region.s3.listing(zone, "") if "/slide/" in f.key]
    for key in keys:
        path = folder / key.removeprefix(start).partition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(region.s3.get(zone, key))
    (opens,) = folder.rglob("*.mrxs")
    return opens, keys


@pytest.mark.parametrize("way", ["files", "stored", "deflated"])
def test_it_reaches_the_partner_without_label_and_reads_the_same(way, slide, region, tmp_path):
    files = files_of(slide)
    if way != "files":
        files = packed(files, zipfile.ZIP_STORED if way == "stored" else zipfile.ZIP_DEFLATED)

    case = drop(region, files, next(iter(files)))

    assert case["state"] == "delivered", case
    result, keys = arrived(region, case, tmp_path)
    assert case["brief"]["slides"][0]["name"] == result.stem
    assert len(keys) == 5
    content = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert not found_in("".join(keys).encode() + content, CANARIES)
    with openslide.OpenSlide(result) as after, openslide.OpenSlide(slide) as before:
        assert openslide.OpenSlide.detect_format(result) == "mirax"
        assert after.level_dimensions == before.level_dimensions
        assert after.properties["openslide.mpp-x"] == before.properties["openslide.mpp-x"]
        assert not after.associated_images
        where = ((600, 400), 0, (512, 512))
        assert after.read_region(*where).tobytes() == before.read_region(*where).tobytes()


def test_what_came_out_of_an_archive_belongs_to_the_case(slide, region):
    drop(region, packed(files_of(slide) | {"readme.txt": b"from the scanner"}), "slide.zip")

    body = region.one("SELECT body FROM vault.document WHERE stage = 'preprocess'")["body"]
    assert body["ignored"] == ["1/00005: beside a slide", "1/00006: beside a slide"]
    rows = region.fetch(
        "SELECT claimed_at FROM object WHERE zone = 'identified' AND key LIKE '%%/unfolded/%%'"
    )
    assert len(rows) == 4
    assert all(row["claimed_at"] for row in rows)


def encoded(form):
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(out, form)
    return out.getvalue()


def instance():
    return studies.single("CT_small.dcm", PATIENT, station="CT1", at=datetime.now(UTC))


@pytest.mark.parametrize("place", ["other", "slides/a/other", "slides/b/other"])
@pytest.mark.parametrize(
    "image",
    [instance(), encoded("TIFF"), encoded("JPEG"), encoded("PNG"), b"TMAP0" + bytes(99)],
    ids=["dicom", "tiff", "jpeg", "png", "tmap"],
)
def test_images_beside_it_in_one_archive_are_not_left_behind_unseen(image, place, slide, tmp_path):
    path = tmp_path / "slide.zip"
    path.write_bytes(packed(files_of(slide) | {place: image})["slide.zip"])
    with pytest.raises(Quarantine, match="images beside a slide") as refused:
        only_slide(path)
    assert refused.value.code == "archive-unsafe"


def test_what_beside_it_in_one_archive_is_no_image_is_left_there(slide, tmp_path):
    path = tmp_path / "slide.zip"
    path.write_bytes(
        packed(files_of(slide) | {"readme.txt": b"from the scanner", "a.bin": bytes(99)})["slide.zip"]
    )
    names = ("Slidedat.ini", "Index.dat", "Data0000.dat", "Data0001.dat")
    own = frozenset(f"slides/a/{name}" for name in names)
    assert only_slide(path) == ("slides/a.mrxs", own)


def test_an_archive_with_images_beside_the_slide_is_set_aside(slide, region):
    case = drop(region, packed(files_of(slide) | {"IM0001.dcm": instance()}), "slide.zip")
    assert (case["state"], case["reason_code"]) == ("quarantined", "archive-unsafe")


def test_an_instance_in_its_folder_is_an_instance_of_the_case(slide, region):
    case = drop(region, files_of(slide) | {"slides/a/IM0001.dcm": instance()}, "slides/a.mrxs")
    body = region.one("SELECT body FROM vault.document WHERE stage = 'preprocess'")["body"]
    found = [i["file"] for study in body["studies"] for s in study["series"] for i in s["instances"]]
    assert found == ["slides/a/IM0001.dcm"], case
    assert len(body["slides"]) == 1


@pytest.mark.parametrize("form", ["TIFF", "JPEG"])
def test_a_picture_in_its_folder_is_refused_like_any_other(form, slide, region):
    case = drop(region, files_of(slide) | {"slides/a/scan.bin": encoded(form)}, "slides/a.mrxs")
    assert (case["state"], case["reason_code"]) == ("quarantined", "format-unknown"), case
    assert case["reason_detail"] == f"file 7 of the order: a {form.lower()} file"


def test_the_manifest_names_every_file_of_it(slide, region):
    case = drop(region, files_of(slide), "slides/a.mrxs")

    body = region.one("SELECT body FROM vault.document WHERE stage = 'deliver'")["body"]
    zone = f"partner-{case['partner']}"
    (manifest,) = [f.key for f in region.s3.listing(zone, "") if f.key.endswith("manifest.json")]
    told = region.s3.get(zone, manifest).decode()
    names = [o["key"].split("/", 3)[3] for o in body["objects"] if "/slide/" in o["key"]]
    assert len(names) == 5
    assert all(name in told for name in names)


@pytest.mark.parametrize(
    ("lacking", "code"),
    [
        ("slides/a.mrxs", "slide-unsafe"),
        ("slides/a/Slidedat.ini", "slide-unsafe"),
        ("slides/a/Data0001.dat", "file-damaged"),
    ],
)
def test_one_that_is_not_whole_is_set_aside(lacking, code, slide, region):
    files = files_of(slide)
    del files[lacking]

    case = drop(region, files, "slides/a.mrxs" if lacking != "slides/a.mrxs" else "slides/a/Slidedat.ini")

    assert (case["state"], case["reason_code"]) == ("quarantined", code), case
    assert code == "file-damaged" or "together with the whole folder" in case["reason_detail"]


def test_two_slides_in_one_archive_are_refused(slide, region):
    case = drop(region, packed(files_of(slide, "1/") | files_of(slide, "2/")), "slide.zip")

    assert (case["state"], case["reason_code"]) == ("quarantined", "archive-unsafe"), case
    assert "two slides" in case["reason_detail"]


def test_what_was_made_anew_and_changed_since_goes_nowhere(slide, region, monkeypatch):
    """Somebody with the store's own hands: same size, same metadata, other bytes."""
    read = type(region.s3).get

    def changed(s3, bucket, key, *rest, **named):
        content = read(s3, bucket, key, *rest, **named)
        return content[:-1] + b"\0" if "/made/" in key else content

    monkeypatch.setattr(type(region.s3), "get", changed)

    case = drop(region, files_of(slide), "slides/a.mrxs")

    assert (case["state"], case["reason_code"]) == ("quarantined", "binding-broken"), case
    with pytest.raises(Absent):
        region.s3.head("deidentified", f"{case['id']}/deidentify/002/slide/x.mrxs")


def test_files_are_grouped_by_the_one_that_opens_them():
    names = [
        "a/b.mrxs",
        "a/b/Slidedat.ini",
        "a/b/Index.dat",
        "a/b/Data0000.dat",
        "a/b/other.dat",
        "a/b/c/Data0000.dat",
        "a/x.mrxs",
        "y.mrxs",
        "z/Slidedat.ini",
    ]
    settings = b"[HIERARCHICAL]\nINDEXFILE = Index.dat\n[DATAFILE]\nFILE_0 = Data0000.dat\nFILE_1 = gone.dat"

    def read(name):
        assert name.endswith("Slidedat.ini")
        return settings

    own = {f"a/b/{name}" for name in ("Slidedat.ini", "Index.dat", "Data0000.dat")}
    assert grouped(names, read) == {"a/b.mrxs": own}
    assert grouped(["a\\b.mrxs", "a\\b\\Slidedat.ini"], read) == {"a\\b.mrxs": {"a\\b\\Slidedat.ini"}}
