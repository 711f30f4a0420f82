"""Rendered frames and thumbnails: the pixels that pydicom decodes, in the window, size and form that is asked for."""

import io
from threading import BoundedSemaphore

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import pixel_array

from gateway.app import create
from tests.gateway.conftest import parts_of, serving
from tests.gateway.instances import address, at_partner_with, sample

PNG = {"Accept": "image/png"}
CT = "CT_small.dcm"


def picture(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


@pytest.fixture
def lin(at_partner):
    return at_partner("lin")


def test_a_window_is_the_functions_of_the_standard(region, s3, lin):
    at_partner_with(region, s3, [sample(CT)])
    stored = pydicom.dcmread(sample(CT))
    at = address(stored)
    values = stored.pixel_array * stored.RescaleSlope + stored.RescaleIntercept
    shown = picture(lin.get(f"{at}/rendered", params={"window": "40,400,linear"}, headers=PNG))
    expected = np.clip(((values - 39.5) / 399 + 0.5) * 255, 0, 255)
    assert np.abs(shown - expected).max() <= 1
    exact = picture(lin.get(f"{at}/rendered", params={"window": "40,400,linear-exact"}, headers=PNG))
    assert np.abs(exact - np.clip(((values - 40) / 400 + 0.5) * 255, 0, 255)).max() <= 1
    curve = picture(lin.get(f"{at}/rendered", params={"window": "40,400,sigmoid"}, headers=PNG))
    assert np.abs(curve - 255 / (1 + np.exp(-4 * (values - 40) / 400))).max() <= 1


# file, frame from 1
FRAMES = [
    ("emri_small_RLE.dcm", 4),
    ("emri_small_big_endian.dcm", 4),
    ("emri_small_jpeg_2k_lossless.dcm", 10),
    ("MR_small_implicit.dcm", 1),
    ("MR_small_bigendian.dcm", 1),
    ("MR_small_jpeg_ls_lossless.dcm", 1),
]


@pytest.mark.parametrize(("name", "number"), FRAMES)
def test_the_frame_that_is_asked_for_is_drawn_whatever_it_is_stored_in(region, s3, lin, name, number):
    at_partner_with(region, s3, [sample(name)])
    stored = pydicom.dcmread(sample(name))
    shown = picture(lin.get(f"{address(stored)}/frames/{number}/rendered?window=500,1000", headers=PNG))
    values = pixel_array(stored, index=number - 1).astype(float)
    assert np.abs(shown - np.clip(((values - 499.5) / 999 + 0.5) * 255, 0, 255)).max() <= 1


@pytest.mark.parametrize(
    "name", ["color3d_jpeg_baseline.dcm", "SC_rgb_expb_2frame.dcm", "liver.dcm", "image_dfl.dcm"]
)
def test_colours_single_bits_and_deflated_data_sets_are_drawn(region, s3, lin, name):
    at_partner_with(region, s3, [sample(name)])
    stored = pydicom.dcmread(sample(name))
    shown = picture(lin.get(f"{address(stored)}/frames/1/rendered", headers=PNG))
    assert shown.shape[:2] == (stored.Rows, stored.Columns)
    assert shown.ndim == (3 if stored.SamplesPerPixel == 3 else 2)
    assert shown.min() < shown.max() or name == "liver.dcm"


def test_a_viewport_fits_cuts_and_mirrors(region, s3, lin):
    at_partner_with(region, s3, [sample(CT)])
    at = f"{address(pydicom.dcmread(sample(CT)))}/rendered"
    whole = picture(lin.get(at, headers=PNG))
    assert whole.shape == (128, 128)
    assert picture(lin.get(at, params={"viewport": "64,200"}, headers=PNG)).shape == (64, 64)
    assert picture(lin.get(at, params={"viewport": "256,256"}, headers=PNG)).shape == (256, 256)
    part = picture(lin.get(at, params={"viewport": "32,16,10,20,32,16"}, headers=PNG))
    assert np.array_equal(part, whole[20:36, 10:42])
    turned = picture(lin.get(at, params={"viewport": "32,16,10,20,-32,-16"}, headers=PNG))
    assert np.array_equal(turned, part[::-1, ::-1])


def test_jpeg_is_given_unless_png_is_preferred(region, s3, lin):
    at_partner_with(region, s3, [sample(CT)])
    at = f"{address(pydicom.dcmread(sample(CT)))}/rendered"
    assert lin.get(at).headers["content-type"] == "image/jpeg"
    assert (
        lin.get(at, headers={"Accept": "image/jpeg;q=0.5, image/png"}).headers["content-type"] == "image/png"
    )
    fallen = lin.get(at, headers={"Accept": "image/jpeg;q=0.1, image/*"})
    assert fallen.headers["content-type"] == "image/png"
    assert lin.get(at, headers={"Accept": "image/gif"}).status_code == 406
    coarse, fine = (lin.get(at, params={"quality": q}).content for q in (5, 100))
    assert len(coarse) < len(fine)


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_a_thumbnail_stands_for_each_level(region, s3, lin, level):
    at_partner_with(region, s3, [sample("emri_small.dcm")])
    at = address(pydicom.dcmread(sample("emri_small.dcm")), level)
    assert max(picture(lin.get(f"{at}/thumbnail")).shape) == 256
    assert picture(lin.get(f"{at}/thumbnail?viewport=32,32")).shape == (32, 32)


@pytest.mark.parametrize(
    "query",
    ["window=40", "window=40,0", "window=40,400,cubic", "viewport=0,10", "viewport=9999,10", "viewport=1,2,3",
     "quality=0", "quality=all", "annotation=patient", "viewport=nan,10"],
)  # fmt: skip
def test_what_cannot_be_understood_is_refused_with_a_reason(region, s3, lin, query):
    at_partner_with(region, s3, [sample(CT)])
    answer = lin.get(f"{address(pydicom.dcmread(sample(CT)))}/rendered?{query}")
    assert answer.status_code == 400
    assert answer.json()["problems"]


def test_several_frames_a_frame_that_is_not_there_and_what_has_no_pixels_have_no_picture(region, s3, lin):
    at_partner_with(region, s3, [sample(CT), sample("rtdose.dcm"), sample("rtplan.dcm")])
    at = address(pydicom.dcmread(sample(CT)))
    assert lin.get(f"{at}/frames/1,1/rendered").status_code == 400
    assert lin.get(f"{at}/frames/2/rendered").status_code == 404
    assert lin.get(f"{address(pydicom.dcmread(sample('rtplan.dcm')))}/rendered").status_code == 404


def test_pictures_beyond_those_that_may_wait_in_memory_are_put_off(region, partner, s3, token):
    at_partner_with(region, s3, [sample(CT)])
    parts = parts_of(partner, s3, drawings=BoundedSemaphore(1), drawing_patience=0.01)
    at = f"{address(pydicom.dcmread(sample(CT)))}/thumbnail"
    with (
        serving(create("partner", parts)) as url,
        httpx.Client(headers={"Authorization": f"Bearer {token('lin')}"}) as lin,
    ):
        with parts.drawings:
            answer = lin.get(f"{url}{at}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert answer.headers["retry-after"] == "5"
        assert lin.get(f"{url}{at}", timeout=60).status_code == 200
    parts.child.close()
