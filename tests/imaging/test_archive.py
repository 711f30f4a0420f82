"""ZIP archives: what is within limits unfolds, whatever could do harm is refused before it does."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from cases.errors import Quarantine
from imaging import archive
from imaging.archive import Limits
from imaging.dicom.read import inspect, inspect_stream
from tests.imaging.dicom import samples


def made(
    path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in entries:
            target.writestr(name, content, compress_type=method)
    return path


def refused(path: Path, limits: Limits = archive.LIMITS) -> Quarantine:
    """The one refusal that listing, opening and extracting agree on."""
    with pytest.raises(Quarantine) as listing:
        archive.members(path, limits)
    with pytest.raises(Quarantine) as extracting:
        list(archive.extract(path, path.parent, limits))
    assert listing.value.detail == extracting.value.detail
    return listing.value


def test_a_study_in_an_archive_is_read_member_by_member(tmp_path: Path) -> None:
    raws = samples.ct_series(5)
    path = made(tmp_path / "a.zip", *((f"CT/IM{n}", raw) for n, raw in enumerate(raws)))
    found = archive.members(path)
    assert [each.size for each in found] == [len(raw) for raw in raws]
    for member, raw in zip(found, raws, strict=True):
        with archive.open_member(path, member.key) as stream:
            assert inspect_stream(stream, file="f", member=member.key) == inspect(
                raw, file="f", member=member.key
            )


def test_extracting_gives_one_file_after_the_other_under_their_keys(tmp_path: Path) -> None:
    path = made(
        tmp_path / "a.zip", ("d/", b""), ("d/张三.dcm", b"one"), ("d/../../x".replace("../", ""), b"two")
    )
    folder = tmp_path / "out"
    folder.mkdir()
    for member, target in archive.extract(path, folder):
        assert target == folder / member.key
        assert target.stat().st_size == member.size
        target.unlink()
    assert list(folder.iterdir()) == []
    assert [each.key for each in archive.members(path)] == ["00001", "00002"]


def test_names_are_kept_as_they_were_meant_and_never_shown(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("张三.dcm")
    path = made(tmp_path / "a.zip", (entry, b"x"))
    raw = path.read_bytes().replace("张三".encode(), "张三啊".encode("gb18030"))  # six bytes either way
    raw = raw.replace(b"\x14\x00\x00\x08", b"\x14\x00\x00\x00")  # without the flag that says UTF-8
    path.write_bytes(raw)
    (member,) = archive.members(path)
    assert member.name == "张三啊.dcm"
    assert "张三" not in repr(member)


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "..\\x", "a\\..\\..\\x", "/etc/passwd", "\\\\host\\x", "C:\\x", "c:x", "a\nb", "a\x1bb",
     "a\x7f", "x" * 600],
)  # fmt: skip
def test_names_that_lead_outside_or_hold_control_characters_are_refused(name: str, tmp_path: Path) -> None:
    found = refused(made(tmp_path / "a.zip", (name, b"x")))
    assert found.code == "archive-unsafe"
    assert name not in found.detail


def test_a_name_with_a_nul_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("aXb", b"x"))
    path.write_bytes(path.read_bytes().replace(b"aXb", b"a\0b"))
    assert refused(path).code == "archive-unsafe"


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(mode: int, tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (mode | 0o777) << 16
    assert refused(made(tmp_path / "a.zip", (entry, b"/etc/passwd"))).code == "archive-unsafe"


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x", b"secret"))
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(mark) + at] |= 1
    path.write_bytes(raw)
    assert refused(path).code == "archive-unsafe"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unfold_without_bounds_are_refused(method: int, tmp_path: Path) -> None:
    assert refused(made(tmp_path / "a.zip", ("x", b"x" * 1000), method=method)).code == "archive-unsafe"


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = made(tmp_path / "a.zip", ("IM1", b"x"), ("IM1", b"y"))
    assert refused(path).code == "archive-unsafe"
    assert refused(made(tmp_path / "b.zip", ("IM1", b"x"), ("im1", b"y"))).code == "archive-unsafe"


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (Limits(members=2), "members"),
        (Limits(total=2500), "together"),
        (Limits(member=999), "a member of more"),
    ],
)
def test_each_limit_is_kept(limits: Limits, why: str, tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", *((str(n), bytes(1000)) for n in range(3)))
    found = refused(path, limits)
    assert found.code == "archive-unsafe"
    assert why in found.detail
    assert len(archive.members(path)) == 3


def test_a_bomb_is_refused_by_its_ratio_before_it_unfolds(tmp_path: Path) -> None:
    assert "times as large" in refused(made(tmp_path / "a.zip", ("bomb", bytes(50 << 20)))).detail
    many = made(tmp_path / "b.zip", *((str(n), bytes(1 << 19)) for n in range(50)))
    assert "times as large" in refused(many).detail


def test_black_and_empty_pictures_that_fold_well_are_no_bomb(tmp_path: Path) -> None:
    assert len(archive.members(made(tmp_path / "a.zip", ("black", bytes(512 * 1024))))) == 1


@pytest.mark.parametrize(
    "inner", [b"PK\x03\x04" + bytes(30), b"\x1f\x8b\x08" + bytes(30), b"Rar!\x1a\x07\0" + bytes(30)]
)
def test_an_archive_within_the_archive_is_refused(inner: bytes, tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x.dcm", inner))
    (member,) = archive.members(path)
    with pytest.raises(Quarantine, match="within the archive"), archive.open_member(path, member.key):
        pass
    with pytest.raises(Quarantine, match="within the archive"):
        list(archive.extract(path, tmp_path))


def lying(path: Path, claimed: int, content: bytes) -> Path:
    """An archive whose directory claims another size than the member unfolds to."""
    made(path, ("x", content))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<L", raw, raw.index(b"PK\x03\x04") + 22, claimed)
    struct.pack_into("<L", raw, raw.index(b"PK\x01\x02") + 24, claimed)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("claimed", [10, 5000])
def test_a_member_of_another_size_than_claimed_is_damage(claimed: int, tmp_path: Path) -> None:
    path = lying(tmp_path / "a.zip", claimed, bytes(range(250)) * 4)
    with pytest.raises(Quarantine) as found:
        list(archive.extract(path, tmp_path))
    assert found.value.code == "file-damaged"


def test_a_small_claim_bounds_what_a_bomb_can_unfold(tmp_path: Path) -> None:
    path = lying(tmp_path / "a.zip", 100_000, bytes(20 << 20))
    with pytest.raises(Quarantine):
        list(archive.extract(path, tmp_path))
    assert (tmp_path / "00000").stat().st_size <= 100_000


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x", b"1" * 100), ("y", b"2" * 100))
    raw = bytearray(path.read_bytes())
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 4)
    struct.pack_into("<L", raw, second + 42, 0)
    path.write_bytes(raw)
    assert refused(path).code in ("archive-unsafe", "file-damaged")


def test_a_flipped_bit_in_a_member_is_damage(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x", bytes(range(256)) * 8), method=zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(raw)
    with pytest.raises(Quarantine) as found:
        list(archive.extract(path, tmp_path))
    assert found.value.code == "file-damaged"


def test_an_archive_cut_anywhere_or_made_of_noise_is_refused(tmp_path: Path) -> None:
    whole = made(tmp_path / "a.zip", ("x", zlib.compress(b"x")), ("y", bytes(300))).read_bytes()
    path = tmp_path / "cut.zip"
    for length in range(0, len(whole) - 1, 3):
        path.write_bytes(whole[:length])
        with pytest.raises(Quarantine):
            archive.members(path)


def test_an_error_of_the_reader_of_a_member_stays_what_it_is(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x", b"x"))
    with pytest.raises(RuntimeError, match="the caller's own"), archive.open_member(path, "00000"):
        raise RuntimeError("the caller's own")


def test_an_unknown_member_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "a.zip", ("x", b"x"))
    with pytest.raises(Quarantine), archive.open_member(path, "00007"):
        pass


def test_the_sample_archives_of_real_ultrasound_unfold() -> None:
    import deid_data

    for path in sorted(Path(deid_data.__path__[0]).rglob("*.zip")):
        for member in archive.members(path):
            with archive.open_member(path, member.key) as stream:
                target = io.BytesIO()
                while chunk := stream.read():
                    target.write(chunk)
            assert len(target.getvalue()) == member.size


@pytest.mark.parametrize("block", range(4))
def test_broken_archives_unfold_or_are_refused_and_nothing_else(block: int, tmp_path: Path) -> None:
    whole = made(
        tmp_path / "whole.zip", ("a/", b""), *((f"a/IM{n}", bytes(range(256)) * n) for n in range(6))
    ).read_bytes()
    path = tmp_path / "broken.zip"
    unfolded = 0
    for seed in range(block * 200, block * 200 + 200):
        dice = random.Random(seed)
        raw = bytearray(whole)
        for _ in range(dice.choice((1, 1, 3, 10))):
            at = dice.randrange(len(raw))
            if dice.random() < 0.8:
                raw[at] = dice.randrange(256)
            else:
                del raw[at : at + dice.randrange(30)]
        path.write_bytes(raw)
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            for _, target in archive.extract(path, folder):
                target.unlink()
            unfolded += 1
        except Quarantine as found:
            assert found.code in ("archive-unsafe", "file-damaged")  # noqa: PT017
        assert all(each.parent == folder for each in folder.rglob("*"))
    assert unfolded < 200
