"""A page of this gateway's own: its markup filled with words of one language."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Literal

Language = Literal["en", "zh"]
_LANG: Mapping[Language, str] = {"en": "en", "zh": "zh-CN"}


def read(name: str) -> str:
    """A file of `gateway/pages`."""
    return (resources.files("gateway.pages") / name).read_text(encoding="utf-8")


def filled(name: str, words: Mapping[str, str], spoken: Sequence[str], lang: Language, **more: str) -> str:
    """The page with `words` and `more` at their places; those that the script says (`spoken`) as JSON at `words`."""
    told = {key: escape(text) for key, text in {**words, **more}.items()}
    told |= {
        "lang": _LANG[lang],
        "other": "en" if lang == "zh" else "zh",
        "words": escape(json.dumps({key: words[key] for key in spoken}, ensure_ascii=False)),
    }
    return read(name).format_map(told)
