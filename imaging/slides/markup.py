"""XML that scanners write, read for its numbers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

from imaging.slides.tiff import damaged

Element = ElementTree.Element
_NUMBER = re.compile(r"\d{1,6}(?:\.\d{1,12})?\Z")
_SIGNED = re.compile(r"-?\d{1,9}(?:\.\d{1,20})?\Z")
_WHOLE = re.compile(r"-?\d{1,12}\Z")
_DECIMALS = 6
# Plain numbers, addresses of schemas and shorter texts would be found anywhere.
_SAYS_NOTHING = re.compile(r"[-+\d.,eE ]+|\w*://\S*")
_SHORTEST = {True: 6, False: 2}
_LONGEST = 200
# More are one for each tile, and name files of the scanner.
_MOST = 500


def parsed(content: str) -> Element:
    """The root element. Scanners define no entities and no document type: what does is refused before it is read.

    :raises Quarantine: `file-damaged`.
    """
    if "<!" in re.sub(r"<!--.*?-->", "", content, flags=re.S):
        raise damaged("the slide's XML defines what no scanner defines")
    try:
        return ElementTree.fromstring(content.strip("\0 \r\n\t\ufeff"))  # noqa: S314 -- no entities: see above
    except (ElementTree.ParseError, ValueError) as error:
        raise damaged("the slide's XML cannot be read") from error


def name(element: Element) -> str:
    """The element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def below(element: Element, *path: str) -> Iterator[Element]:
    """The elements that lie below by these names, one name a level."""
    for child in element:
        if name(child) == path[0]:
            if len(path) == 1:
                yield child
            else:
                yield from below(child, *path[1:])


def words(element: Element, *path: str) -> str:
    """The text of the first element that lies below by these names; empty if there is none."""
    return next(((e.text or "").strip() for e in below(element, *path)), "")


def whole(element: Element, attribute: str, default: int | None = None) -> int:
    """An attribute that must be a whole number; some scanners write "12.000000".

    :raises Quarantine: `file-damaged` if it is another, or missing without `default`.
    """
    value = element.get(attribute, "").strip()
    if not value and default is not None:
        return default
    head, _, decimals = value.partition(".")
    if not _WHOLE.match(head) or decimals.strip("0"):
        raise damaged(f"the slide's XML has no whole number for {attribute}")
    return int(head)


def plain(value: str) -> str:
    """A positive decimal number as it stands, or rounded where its tail has room for something else; else empty."""
    if not _NUMBER.match(value):
        return ""
    return value if len(value.partition(".")[2]) <= _DECIMALS else f"{float(value):.{_DECIMALS}f}"


def decimal(element: Element, attribute: str, default: int | None = None) -> str:
    """An attribute that must be a decimal number, with six decimals at most.

    :raises Quarantine: `file-damaged` if it is another, or missing without `default`.
    """
    value = element.get(attribute, "").strip()
    if not value and default is not None:
        return str(default)
    if not _SIGNED.match(value):
        raise damaged(f"the slide's XML has no number for {attribute}")
    return value if len(value.partition(".")[2]) <= _DECIMALS else f"{float(value):.{_DECIMALS}f}"


def telling(texts: Iterable[str]) -> tuple[str, ...]:
    """Those texts that say something, for the second pass to look for what was taken out."""
    found = {text.strip() for text in texts}
    return tuple(
        sorted(
            t
            for t in found
            if _SHORTEST[t.isascii()] <= len(t) <= _LONGEST and not _SAYS_NOTHING.fullmatch(t)
        )
    )


def all_texts(root: Element) -> Iterator[str]:
    """Every text and every attribute's value of a document."""
    for element in root.iter():
        yield element.text or ""
        yield element.tail or ""
        yield from element.attrib.values()
