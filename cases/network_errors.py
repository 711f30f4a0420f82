"""What is wrong with a network file, each time as key, value and remedy.

"partners[1].services[0] = 'histolgy': no such service; did you mean 'histology'?"
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from cases.errors import TeledxError


@dataclass(frozen=True, kw_only=True)
class Problem:
    """`key` is the place in the file, `value` what stands there (as written, None if nothing), `remedy` what to do."""

    key: str
    value: str | None
    wrong: str
    remedy: str

    def __str__(self) -> str:
        place = self.key if self.value is None else f"{self.key} = {self.value}"
        return f"{place}: {self.wrong}; {self.remedy}"


class NetworkInvalid(TeledxError):
    """The network file cannot be used; `problems` holds all that was found in one pass."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


def key_of(loc: Sequence[int | str]) -> str:
    """A place as people write it: ("partners", 1, "services", 0) is partners[1].services[0]."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "network"


def did_you_mean(word: object, known: Iterable[str], otherwise: str) -> str:
    """ "did you mean 'histology'?", or what is possible, or `otherwise` where that would be too long."""
    names = sorted(known)
    near = get_close_matches(str(word), names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if names and len(names) <= 12:
        return f"possible: {', '.join(names)}"
    return otherwise


def unknown(loc: Sequence[int | str], value: str, kind: str, known: Iterable[str]) -> Problem:
    """A name that refers to nothing."""
    remedy = did_you_mean(value, known, f"add it to the {kind}s of the file")
    return Problem(key=key_of(loc), value=repr(value), wrong=f"no such {kind}", remedy=remedy)


def from_validation(error: ValidationError, root: type[BaseModel]) -> tuple[Problem, ...]:
    """The problems that pydantic found, in the words of the file."""
    return tuple(_from_line(dict(line), root) for line in error.errors(include_url=False))


# pydantic's error type -> what is wrong, what to do; {…} are filled from the error's context
_WORDS: dict[str, tuple[str, str]] = {
    "missing": ("this key is required", "add it ({description})"),
    "extra_forbidden": ("no such key", "{suggestion}"),
    "literal_error": ("not a possible value", "{suggestion}"),
    "string_type": ("not a text", "write it between quotation marks"),
    "int_type": ("not a whole number", "write digits without quotation marks"),
    "int_parsing": ("not a whole number", "write digits without quotation marks"),
    "int_from_float": ("not a whole number", "write it without a fraction"),
    "float_type": ("not a number", "write digits without quotation marks"),
    "float_parsing": ("not a number", "write digits without quotation marks"),
    "bool_parsing": ("neither true nor false", "write true or false without quotation marks"),
    "bool_type": ("neither true nor false", "write true or false without quotation marks"),
    "tuple_type": ("not a list", "write it between square brackets"),
    "model_type": ("not a table", "write it as a [table] or {{ key = value }}"),
    "greater_than_equal": ("too small", "write {ge} or more"),
    "less_than_equal": ("too large", "write {le} or less"),
    "string_too_short": ("empty", "write at least {min_length} character(s)"),
    "string_too_long": ("too long", "write at most {max_length} characters"),
    "too_short": ("too few", "give at least {min_length}"),
}


def _from_line(line: dict[str, Any], root: type[BaseModel]) -> Problem:
    loc: tuple[int | str, ...] = line["loc"]
    kind: str = line["type"]
    value = None if kind == "missing" or isinstance(line["input"], dict) else _shown(line["input"])
    model = _model_at(root, loc[:-1])
    context = dict(line.get("ctx", {}), **_suggestion(kind, line, model))
    if kind in _WORDS:
        wrong, remedy = _WORDS[kind]
        return Problem(key=key_of(loc), value=value, wrong=wrong, remedy=remedy.format(**context))
    wrong, _, remedy = line["msg"].removeprefix("Value error, ").partition("; ")
    if kind == "string_pattern_mismatch":
        wrong, remedy = "not written as it must be", _description(model, loc) or "see docs/network.md"
    return Problem(key=key_of(loc), value=value, wrong=wrong, remedy=remedy or "see docs/network.md")


def _suggestion(kind: str, line: dict[str, Any], model: type[BaseModel] | None) -> dict[str, str]:
    loc = line["loc"]
    fields = () if model is None else tuple(model.model_fields)
    if kind == "extra_forbidden":
        return {"suggestion": did_you_mean(loc[-1], fields, "remove it")}
    if kind == "literal_error":
        allowed = line["ctx"]["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        return {"suggestion": did_you_mean(line["input"], allowed, "see docs/network.md")}
    return {"description": _description(model, loc) or "see docs/network.md"}


def _description(model: type[BaseModel] | None, loc: Sequence[int | str]) -> str:
    if model is None or not loc or loc[-1] not in model.model_fields:
        return ""
    return (model.model_fields[str(loc[-1])].description or "").rstrip(".")


def _model_at(root: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """The model that the place `loc` is in, or None where it is in no model."""
    model: type[BaseModel] | None = root
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = None if field is None else _model_in(field.annotation)
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_in, get_args(annotation)) if m is not None), None)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
