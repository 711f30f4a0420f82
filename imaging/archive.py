"""ZIP archives within limits, member by member, believing nothing that the archive says of itself.

Members are known by their place (`key`, "00007"): names inside an archive may carry identity and are never paths.
"""

from __future__ import annotations

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cases.errors import Quarantine
from imaging.kinds import kind_of_head

CHUNK = 1 << 18
_ENCRYPTED, _UTF8_NAME, _PATCHED = 0x1, 0x800, 0x20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEAD = 0x8006


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`ratio` is unfolded to folded bytes, judged beyond `ratio_from` bytes, of each and of all; else bytes."""

    members: int = 20_000
    total: int = 64 << 30
    member: int = 16 << 30
    ratio: int = 200
    ratio_from: int = 1 << 20
    name: int = 512


LIMITS = Limits()


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file inside an archive: its place, its unfolded size in bytes, and its name, which is never shown."""

    key: str
    size: int
    name: str = field(repr=False)


def members(path: Path, limits: Limits = LIMITS) -> tuple[Member, ...]:
    """The files in an archive, in its order; folders are left out. Nothing is unfolded.

    :raises Quarantine: `archive-unsafe` if the directory breaks a limit, names a place outside, a link, a device or
        one name twice, or uses encryption or another method than deflate; `file-damaged` if it cannot be read.
    """
    with _opened(path) as archive:
        return tuple(_member(index, entry) for index, entry in _entries(archive, path, limits))


@contextmanager
def open_member(path: Path, key: str, limits: Limits = LIMITS) -> Iterator[MemberStream]:
    """A member's bytes as a stream that is read forward, with its size and CRC checked on the way.

    :raises Quarantine: as `members`; also `archive-unsafe` for an archive within the archive.
    """
    with _opened(path) as archive:
        found = next((entry for index, entry in _entries(archive, path, limits) if _key(index) == key), None)
        if found is None:
            raise Quarantine("file-damaged", "the archive holds no such member")
        stream = _checked(archive, found)
        try:
            yield stream
        finally:
            stream.close()


def extract(path: Path, folder: Path, limits: Limits = LIMITS) -> Iterator[tuple[Member, Path]]:
    """Unfolds an archive, one member after the other, into files of `folder` named by their key.

    A file may be deleted as soon as it was looked at, so that one member's size of disk is enough.

    :raises Quarantine: as `open_member`.
    """
    with _opened(path) as archive:
        for index, entry in _entries(archive, path, limits):
            member = _member(index, entry)
            target = folder / member.key
            with closing(_checked(archive, entry)) as stream, target.open("wb") as unfolded:
                while chunk := stream.read(CHUNK):
                    unfolded.write(chunk)
            yield member, target


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _reading():
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def _reading() -> Iterator[None]:
    """What a broken archive makes zipfile raise, in our words."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError):
        raise Quarantine("file-damaged", "the archive is broken") from None
    except (NotImplementedError, RuntimeError):
        raise Quarantine(
            "archive-unsafe", "the archive uses what is not allowed (encryption or a method)"
        ) from None


def _key(index: int) -> str:
    return f"{index:05d}"


def _member(index: int, entry: zipfile.ZipInfo) -> Member:
    return Member(key=_key(index), size=entry.file_size, name=_name(entry))


def _entries(archive: zipfile.ZipFile, path: Path, limits: Limits) -> tuple[tuple[int, zipfile.ZipInfo], ...]:
    """The entries that are files, after the whole directory was judged."""
    entries = archive.infolist()
    if len(entries) > limits.members:
        raise _unsafe(f"more than {limits.members} members")
    names: set[str] = set()
    for entry in entries:
        _judge(entry, limits)
        name = _name(entry).casefold().rstrip("/")
        if name in names:
            raise _unsafe("two members bear one name")
        names.add(name)
    folded = sum(entry.compress_size for entry in entries)
    total = sum(entry.file_size for entry in entries)
    if total > limits.total:
        raise _unsafe(f"members of more than {limits.total} bytes together")
    if folded > path.stat().st_size or _overlap(entries):
        raise _unsafe("members share bytes")
    if total > limits.ratio_from and total > limits.ratio * max(folded, 1):
        raise _unsafe(f"members more than {limits.ratio} times as large as the archive")
    return tuple((index, entry) for index, entry in enumerate(entries) if not entry.is_dir())


def _judge(entry: zipfile.ZipInfo, limits: Limits) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _unsafe("a member is a link or a device")
    if entry.flag_bits & _ENCRYPTED:
        raise _unsafe("a member is encrypted")
    if entry.flag_bits & _PATCHED or entry.compress_type not in _METHODS:
        raise _unsafe("a member is folded by another method than deflate")
    if entry.file_size > limits.member:
        raise _unsafe(f"a member of more than {limits.member} bytes")
    if entry.file_size > limits.ratio_from and entry.file_size > limits.ratio * max(entry.compress_size, 1):
        raise _unsafe(f"a member more than {limits.ratio} times as large as its folded bytes")
    _judge_name(_name(entry), limits)


def _judge_name(name: str, limits: Limits) -> None:
    plain = name.replace("\\", "/")
    if plain.startswith("/") or re.match(r"[A-Za-z]:", plain):
        raise _unsafe("a member's name is absolute")
    if ".." in plain.split("/"):
        raise _unsafe("a member's name leads outside")
    if not plain or len(plain) > limits.name or any(ord(c) < 0x20 or ord(c) == 0x7F for c in plain):
        raise _unsafe("a member's name is empty, too long or holds control characters")


def _name(entry: zipfile.ZipInfo) -> str:
    """The name as it was meant: without the UTF-8 flag, Chinese Windows writes GBK."""
    name = entry.orig_filename
    if entry.flag_bits & _UTF8_NAME or name.isascii():
        return name
    raw = name.encode("cp437", "replace")
    for codec in ("utf_8", "gb18030"):
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            continue
    return name


def _overlap(entries: list[zipfile.ZipInfo]) -> bool:
    """Whether two members' bytes overlap, by which small archives unfold to anything (D. Fifield, 2019)."""
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            return True
        end = entry.header_offset + 30 + entry.compress_size
    return False


def _unsafe(what: str) -> Quarantine:
    return Quarantine("archive-unsafe", what)


class MemberStream:
    """A member's bytes, read forward: refuses archives by their head, counts, and names damage in our words."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size
        with _reading():
            self._head = stream.read(min(size, _HEAD))
        if kind_of_head(self._head).family in ("archive", "packed"):
            raise _unsafe("an archive within the archive")

    def read(self, size: int = CHUNK, /) -> bytes:
        """:raises Quarantine: `file-damaged` if the CRC or the size is not what the archive says."""
        if self._head:
            chunk, self._head = self._head[:size], self._head[size:]
        else:
            with _reading():
                chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0 or (not chunk and size and self._left):
            raise Quarantine("file-damaged", "a member has another size than the archive says")
        return chunk

    def close(self) -> None:
        self._stream.close()


def _checked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> MemberStream:
    with _reading():
        stream = archive.open(entry)
    try:
        return MemberStream(stream, entry.file_size)
    except Quarantine:
        stream.close()
        raise
