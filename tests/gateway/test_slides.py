"""A reader's doors to slides: who gets in, what is written down, and what comes out."""

import io
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

import httpx
import numpy as np
import openslide
import pytest
from PIL import Image
from pydantic import ValidationError

from gateway import slides
from gateway.app import create
from gateway.grants import Grant, Grants
from gateway.refusals import Refusal
from imaging.slides import tiles
from imaging.slides.levels import read_pyramids
from imaging.slides.source import FileSource
from storage import accounts
from teledx.settings import Settings
from tests.gateway.conftest import parts_of, serving
from tests.gateway.slides import MICRONS, slide_case
from tests.imaging.slides import dicom_slide, vendors
from tests.storage.filled import BODY, delivered

KEY = b"the key of these tests"


@pytest.fixture
def case(region, s3, slide_file):
    return slide_case(region, s3, [slide_file, slide_file])


@pytest.fixture
def ticket(case, at_partner):
    """`lin`'s ticket for the case."""
    return viewing(at_partner("lin"))


def viewing(reader):
    """A ticket for the reader's only work item."""
    (item,) = reader.get("/api/worklist").raise_for_status().json()["work_items"]
    answer = reader.post(f"/api/work-items/{item['work_item_id']}/viewing").raise_for_status().json()
    assert answer["page"] == f"/slides/{item['work_item_id']}#ticket={answer['ticket']}"
    return answer["ticket"]


def opened(anybody, ticket, number=1, **body):
    answer = anybody.post(f"/api/viewings/{ticket}/slides/{number}", json=body)
    return answer.raise_for_status().json()


def looked(region):
    with region.transaction() as connection:
        rows = connection.execute(
            "SELECT account, action, note FROM audit_log WHERE action = 'images.see' ORDER BY id"
        )
        return [(row["account"], row["note"]) for row in rows.fetchall()]


def test_a_reader_sees_every_tile_of_a_slide_of_the_case(ticket, at_partner, slide_file):
    anybody = at_partner("")
    listed = anybody.get(f"/api/viewings/{ticket}/slides").raise_for_status().json()
    assert [(s["number"], s["name"], s["stain"]) for s in listed["slides"]] == [
        (1, "S-1-A1-HE", "HE"),
        (2, "S-2-A1-HE", "HE"),
    ]
    (image,) = opened(anybody, listed["ticket"])["images"]
    assert image["microns"] == MICRONS
    described = ET.fromstring(anybody.get(image["deep_zoom"]).raise_for_status().text)
    assert (described.get("TileSize"), described.get("Overlap")) == (str(image["tile"]), "0")
    assert {(c.get("Width"), c.get("Height")) for c in described} == {
        (str(image["width"]), str(image["height"]))
    }
    source = FileSource(slide_file)
    (pyramid,) = read_pyramids(source, "svs")
    start, top = image["deep_zoom"].removesuffix(".dzi") + "_files", tiles.top_level(pyramid)
    for level, column, row in ((0, 0, 0), (top - 1, 1, 1), (top, 2, 3), (top, 0, 0), (top - 2, 0, 0)):
        answer = anybody.get(f"{start}/{level}/{column}_{row}.jpg").raise_for_status()
        region = tiles.tile_region(pyramid, level, column, row)
        assert region is not None
        assert answer.content == tiles.picture(source, pyramid, region)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["cache-control"] == "no-store"
    assert anybody.get(f"{start}/{top}/9999_0.jpg").status_code == 404


def test_a_viewing_is_one_row_however_many_tiles_and_however_long(ticket, region, at_partner):
    anybody = at_partner("")
    first = opened(anybody, ticket)
    start = first["images"][0]["deep_zoom"].removesuffix(".dzi")
    for column in range(4):
        anybody.get(f"{start}_files/12/{column}_0.jpg")
    opened(anybody, ticket, before=first["grant"])
    assert looked(region) == [("lin", "slide 1")]
    opened(anybody, ticket, 2, before=first["grant"])  # another slide is another viewing
    opened(anybody, ticket, before="forged")
    assert looked(region)[1:] == [("lin", "slide 2"), ("lin", "slide 1")]


def test_tiles_cost_no_transaction(ticket, partner_app, at_partner):
    anybody = at_partner("")
    image = opened(anybody, ticket)["images"][0]
    partner_app.state.parts.database.close()
    start = image["deep_zoom"].removesuffix(".dzi")
    for column in range(4):
        assert anybody.get(f"{start}_files/12/{column}_1.jpg").status_code == 200


def test_another_partner_gets_no_ticket(case, at_partner, region):
    lin, wang = at_partner("lin"), at_partner("wang")
    (item,) = lin.get("/api/worklist").json()["work_items"]
    assert wang.post(f"/api/work-items/{item['work_item_id']}/viewing").status_code == 404
    assert at_partner("").post(f"/api/work-items/{item['work_item_id']}/viewing").status_code == 401
    assert looked(region) == []


def test_a_ticket_ends_with_the_right_to_the_case(case, ticket, region, at_partner):
    anybody = at_partner("")
    with region.transaction() as connection:
        connection.execute("UPDATE cases SET partner = 'beijing-pathology' WHERE id = %s", (case,))
    assert anybody.get(f"/api/viewings/{ticket}/slides").status_code == 404
    assert anybody.post(f"/api/viewings/{ticket}/slides/1", json={}).status_code == 404


def test_slides_of_a_declined_case_are_neither_listed_nor_opened(ticket, at_partner):
    lin = at_partner("lin")
    (item,) = lin.get("/api/worklist").json()["work_items"]
    declined = f"/api/work-items/{item['work_item_id']}"
    lin.post(f"{declined}/decline", json={"why": "no capacity"}).raise_for_status()
    anybody = at_partner("")
    assert anybody.get(f"/api/viewings/{ticket}/slides").status_code == 404
    assert anybody.post(f"/api/viewings/{ticket}/slides/1", json={}).status_code == 404
    assert lin.post(f"{declined}/viewing").status_code == 404


def test_a_viewing_ends_with_its_own_work_item_though_another_of_the_case_is_open(ticket, at_partner):
    lin, anybody = at_partner("lin"), at_partner("")
    (item,) = lin.get("/api/worklist").json()["work_items"]
    released = f"/api/work-items/{item['work_item_id']}"
    lin.post(f"{released}/claim").raise_for_status()
    successor = lin.post(f"{released}/release", json={"why": "called away"}).json()["successor"]
    assert anybody.get(f"/api/viewings/{ticket}/slides").status_code == 404
    assert anybody.post(f"/api/viewings/{ticket}/slides/1", json={}).status_code == 404
    assert lin.post(f"{released}/viewing").status_code == 404
    assert lin.post(f"/api/work-items/{successor}/viewing").status_code == 200


def test_a_viewing_is_renewed_while_its_work_item_is_open_and_not_after(ticket, partner_app, at_partner):
    lin, anybody = at_partner("lin"), at_partner("")
    (item,) = lin.get("/api/worklist").json()["work_items"]
    start = f"/api/work-items/{item['work_item_id']}"
    grants = partner_app.state.viewings.grants
    ends, clock = grants.read(ticket).ends, grants._clock
    grants._clock = lambda: clock() + 300
    assert grants.read(anybody.get(f"/api/viewings/{ticket}/slides").json()["ticket"]).ends > ends
    lin.post(f"{start}/claim").raise_for_status()
    lin.post(f"{start}/sign", json={"body": BODY.model_dump(mode="json")}).raise_for_status()
    assert grants.read(anybody.get(f"/api/viewings/{ticket}/slides").json()["ticket"]).ends == ends
    assert grants.read(opened(anybody, ticket)["grant"]).ends == ends
    assert lin.post(f"{start}/viewing").status_code == 200


def test_a_viewing_key_that_could_be_guessed_is_refused():
    with pytest.raises(ValidationError, match="32 characters or more"):
        Settings(viewing_key="a short one")
    assert Settings(viewing_key="k" * 32).viewing_key.get_secret_value() == "k" * 32


def test_who_has_left_looks_no_longer(ticket, region, at_partner):
    with region.transaction() as connection:
        accounts.revoke_all(connection, "lin")
    assert at_partner("").get(f"/api/viewings/{ticket}/slides").status_code == 401
    assert at_partner("").post(f"/api/viewings/{ticket}/slides/1", json={}).status_code == 401


@pytest.mark.parametrize("path", ["/api/viewings/{}/slides", "/tiles/{}/0.dzi", "/tiles/{}/0_files/9/0_0.jpg",
                                  "/iiif/{}/0/info.json", "/iiif/{}/0/full/max/0/default.jpg"])  # fmt: skip
def test_a_forged_grant_opens_nothing(path, ticket, at_partner):
    middle = len(ticket) // 2
    other = "A" if ticket[middle] != "A" else "B"
    for forged in ("AAAA", "!", ticket[:middle] + other + ticket[middle + 1 :], ticket[:-4]):
        answer = at_partner("").get(path.format(forged))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "viewing-over")


def test_a_ticket_opens_no_tile_and_a_grant_lists_no_slides(ticket, at_partner):
    anybody = at_partner("")
    grant = opened(anybody, ticket)["grant"]
    assert anybody.get(f"/tiles/{ticket}/0.dzi").status_code == 404
    assert anybody.get(f"/api/viewings/{grant}/slides").status_code == 404


def test_a_grant_ends():
    now = [1000.0]
    grants = Grants(KEY, clock=lambda: now[0])
    grant = Grant(
        account="lin", organisation="yinzhou2", work_item_id=uuid4(), slide=1, ends=grants.until(600)
    )
    text = grants.sign(grant)
    assert grants.read(text) == grant
    now[0] = 1601
    with pytest.raises(Refusal):
        grants.read(text)
    assert grants.read(text, grace=600) == grant
    with pytest.raises(Refusal):
        Grants(b"another key", clock=lambda: 1000.0).read(text)


def test_processes_that_share_the_key_read_each_others_grants(
    case, ticket, at_partner, region, partner, s3, token
):
    with (
        serving(create("partner", parts_of(partner, s3, viewing_key=KEY))) as one,
        serving(create("partner", parts_of(partner, s3, viewing_key=KEY))) as two,
        httpx.Client(headers={"Authorization": f"Bearer {token('lin')}"}) as lin,
    ):
        (item,) = lin.get(f"{one}/api/worklist").json()["work_items"]
        told = lin.post(f"{one}/api/work-items/{item['work_item_id']}/viewing").json()["ticket"]
        image = lin.post(f"{one}/api/viewings/{told}/slides/1", json={}).json()["images"][0]
        assert lin.get(f"{two}{image['deep_zoom']}").status_code == 200


def test_a_slide_that_is_not_the_one_sent_is_not_shown(ticket, region, at_partner):
    with region.transaction() as connection:
        connection.execute("UPDATE partner_object SET sha256 = repeat('0', 64)")
    answer = at_partner("").post(f"/api/viewings/{ticket}/slides/1", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "file-differs")


def test_eight_readers_at_once_see_the_same_tiles_as_one(ticket, at_partner, partner_url):
    image = opened(at_partner(""), ticket)["images"][0]
    start = image["deep_zoom"].removesuffix(".dzi")
    paths = [f"{start}_files/{level}/{c}_{r}.jpg" for level in (11, 12) for c in range(3) for r in range(3)]
    one = [at_partner("").get(path).content for path in paths]

    def reader(_):
        with httpx.Client(base_url=partner_url, timeout=30) as client:
            return [client.get(path).content for path in paths]

    with ThreadPoolExecutor(8) as pool:
        assert all(seen == one for seen in pool.map(reader, range(8)))


@pytest.fixture
def dicom_case(region, s3, tmp_path):
    """Two DICOM slides, of three levels and a thumbnail each."""
    base = vendors.tissue_on_glass()[:1100, :1600]
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths += dicom_slide.write_slide(tmp_path / name, base)
    slide_case(region, s3, paths)
    return base


def test_the_instances_of_a_dicom_series_are_one_slide(dicom_case, at_partner):
    anybody, ticket = at_partner(""), viewing(at_partner("lin"))
    listed = anybody.get(f"/api/viewings/{ticket}/slides").raise_for_status().json()["slides"]
    assert len(listed) == 2
    image = opened(anybody, ticket, 2)["images"][0]
    assert (image["width"], image["height"], image["tile"], image["microns"]) == (1600, 1100, 256, 0.25)
    start = image["deep_zoom"].removesuffix(".dzi")
    for halved, column, row in ((0, 2, 1), (1, 1, 1), (2, 0, 0), (3, 0, 0)):
        seen = pixels(
            anybody.get(f"{start}_files/{11 - halved}/{column}_{row}.jpg").raise_for_status().content
        )
        left, top, side = column * 256 << halved, row * 256 << halved, 256 << halved
        part = Image.fromarray(dicom_case[top : top + side, left : left + side]).reduce(1 << halved)
        assert np.abs(seen - np.asarray(part, dtype=np.int16)).mean() < 6


def test_a_radiology_case_has_no_slides(region, at_partner):
    delivered(region)
    ticket = viewing(at_partner("lin"))
    assert at_partner("").get(f"/api/viewings/{ticket}/slides").json()["slides"] == []


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=np.int16)


def test_iiif_gives_any_part_at_any_size_as_openslide_sees_it(ticket, at_partner, slide_file):
    anybody = at_partner("")
    image = opened(anybody, ticket)["images"][0]
    assert (
        anybody.get(image["iiif"], follow_redirects=False).headers["location"] == f"{image['iiif']}/info.json"
    )
    info = anybody.get(f"{image['iiif']}/info.json").json()
    assert (info["type"], info["width"], info["height"]) == ("ImageService3", image["width"], image["height"])
    assert info["id"].endswith(image["iiif"])
    with openslide.OpenSlide(slide_file) as theirs:
        shown = theirs.read_region((300, 200), 0, (500, 400)).convert("RGB")
    expected = np.asarray(shown.resize((250, 200), Image.Resampling.BOX), dtype=np.int16)
    seen = pixels(anybody.get(f"{image['iiif']}/300,200,500,400/250,/0/default.jpg").content)
    assert np.abs(seen - expected).mean() < 5
    turned = pixels(anybody.get(f"{image['iiif']}/300,200,500,400/250,/90/default.png").content)
    assert turned.shape == (250, 200, 3)
    assert np.abs(np.rot90(turned, 1) - expected).mean() < 5
    mirrored = pixels(anybody.get(f"{image['iiif']}/300,200,500,400/!250,250/!0/default.png").content)
    assert np.abs(mirrored[:, ::-1] - expected).mean() < 5
    assert anybody.get(f"{image['iiif']}/full/!200,200/0/gray.jpg").headers["content-type"] == "image/jpeg"
    side = info["tiles"][0]["width"]
    stored = anybody.get(f"{image['iiif']}/{side},0,{side},{side}/{side},{side}/0/default.jpg").content
    top = (max(image["width"], image["height"]) - 1).bit_length()
    same = anybody.get(f"{image['deep_zoom'].removesuffix('.dzi')}_files/{top}/1_0.jpg").content
    assert stored == same


@pytest.mark.parametrize("asked", ["full/^max/0/default.jpg", "full/max/45/default.jpg", "full/max/0/default.tif",
                                   "999999,0,1,1/max/0/default.jpg", "full/0,/0/default.jpg", "x/max/0/default.jpg",
                                   "0,0,10,10/20,/0/default.jpg"])  # fmt: skip
def test_iiif_refuses_what_is_not_offered(asked, ticket, at_partner):
    image = opened(at_partner(""), ticket)["images"][0]
    answer = at_partner("").get(f"{image['iiif']}/{asked}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "not-offered")


def test_grants_are_good_for_minutes():
    assert timedelta(0) < slides.LIFETIME <= timedelta(minutes=10)
