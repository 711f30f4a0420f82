"""The pages of docs/ made from the domain's tables: `script/generate-docs` writes them, a test compares them."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from cases.access import ACTIONS, ROLES
from cases.milestones import AS_BEFORE, AT_REST, MILESTONES
from cases.network import Hours, Network
from cases.order import Order
from cases.reasons import REASONS
from cases.states import MACHINES
from cases.turnaround import LEGS, MEASURES
from teledx.samples import orders

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- generated: begin -->", "<!-- generated: end -->"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; bars inside a cell are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in lines)


def network_keys() -> str:
    """Every key of the network file: one section for each table of it."""
    sections = [_keys("The file itself", Network)]
    for name, field in Network.model_fields.items():
        model = _model_in(field.annotation)
        if model is not None and model is not Hours:
            sections.append(_keys(f"`[[{name}]]`" if _is_list(field) else f"`[{name}]`", model))
            sections += [
                _keys(f"`{inner}` of `{name}`", within)
                for inner, inner_field in model.model_fields.items()
                if (within := _model_in(inner_field.annotation)) is not None and within is not Hours
            ]
    sections.append(_keys("Hours, wherever they stand", Hours))
    return "\n".join(sections)


def order_schema() -> str:
    """The order's JSON Schema (draft 2020-12)."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Order.model_json_schema(),
        "title": "teledx order",
    }
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def order_example() -> str:
    """A complete order for a chest CT of one file, to begin from."""
    image = {"name": "image.dcm", "size": 123456, "sha256": "0" * 64}
    made = orders.order("ct", orders.PATIENTS[0], [image], accession_number="CT20261123-001")
    return made.model_dump_json(indent=2, exclude_none=True, exclude_defaults=True) + "\n"


def tables() -> str:
    """States, milestones, legs, reasons and permissions."""
    return "\n".join((_states(), _milestones(), _legs(), _reasons(), _permissions()))


def deidentification() -> str:
    """What happens to each attribute: one section for each table of `imaging.deid`."""
    from imaging.deid import described

    return "\n".join(f"### {title}\n\n{table(head, rows)}" for title, head, rows in described.tables())


def pages() -> dict[Path, str]:
    """Every generated page with the text that it must have; prose around generated parts is kept as it is."""
    from gateway import reference as of_gateway
    from teledx.commands import pages as of_commands

    return {
        DOCS / "cli.md": _between(DOCS / "cli.md", of_commands.commands()),
        DOCS / "operations.md": _between(DOCS / "operations.md", of_commands.settings()),
        DOCS / "api.md": _between(DOCS / "api.md", of_gateway.api()),
        DOCS / "order.schema.json": order_schema(),
        DOCS / "order.example.json": order_example(),
        DOCS / "network.md": _between(DOCS / "network.md", network_keys()),
        DOCS / "deidentification.md": _between(DOCS / "deidentification.md", deidentification()),
        DOCS / "tables.md": _between(DOCS / "tables.md", tables()),
    }


def main(arguments: Sequence[str]) -> int:
    """Writes the pages; with --check only says which differ, and returns 1 if any does."""
    differing = [
        path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text
    ]
    for path in differing:
        if "--check" not in arguments:
            path.write_text(pages()[path], encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")
    return 1 if differing and "--check" in arguments else 0


def _between(path: Path, generated: str) -> str:
    """The page with what stands between its two marks replaced. Raises ValueError if it lacks them."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path.name} needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{generated}\n{END}{after}"


def _keys(title: str, model: type[BaseModel]) -> str:
    rows = [
        (f"`{name}`", _kind(field.annotation, field.metadata), _default(field), field.description or "")
        for name, field in model.model_fields.items()
    ]
    return f"### {title}\n\n" + table(("key", "value", "if absent", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined or default is None or default in ((), ""):
        return "none"
    return "all defaults" if isinstance(default, BaseModel) else f"`{json.dumps(default)}`"


# how a value of each type is written in TOML
_PLAIN: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_PATTERNS = {
    r"^([!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?)?$": "at most 16 characters of ASCII without backslash",
    r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])$": "2 to 40 lower-case letters, digits and hyphens",
    r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$": "3 to 63 lower-case letters, digits and hyphens",
    r"^[1-9]\d{0,3}(m|h|d)$": "a number and m, h or d",
}


def _kind(annotation: Any, metadata: Sequence[object] = ()) -> str:
    """What to write for a key, from its type."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation] + _limits(metadata)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in inside)
    if origin is tuple:
        return f"list of {_kind(inside[0])}{'s' if _model_in(inside[0]) else ''}"
    if origin in (Union, types.UnionType):
        return _kind(next(i for i in inside if i is not type(None)), metadata)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "hours" if annotation is Hours else "table"
    return _kind(inside[0], inside[1:])


def _limits(metadata: Sequence[object]) -> str:
    patterns = [p for rule in metadata if (p := getattr(rule, "pattern", None))]
    if patterns:
        return f" ({_PATTERNS[patterns[0]]})"
    ge, le = (next((getattr(r, name) for r in metadata if hasattr(r, name)), None) for name in ("ge", "le"))
    if ge is None:
        return ""
    return f", {ge} or more" if le is None else f", {ge} to {le}"


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((m for m in map(_model_in, get_args(annotation)) if m is not None), None)


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is tuple


def _states() -> str:
    sections = ["## States\n\nAn event that is not listed for a state is refused there.\n"]
    for machine, (states, moves) in MACHINES.items():
        ways = {
            state: [f"{event} → `{to.strip('*')}`" for (at, event), to in moves.items() if at == state]
            for state in states
        }
        rows = [(f"`{state}`", ", ".join(out) or "at rest") for state, out in ways.items()]
        sections.append(f"### {machine.capitalize()}\n\n" + table(("state", "event → state"), rows))
    return "\n".join(sections)


def _milestones() -> str:
    words = {None: "goes on", AS_BEFORE: "as before it was set aside", AT_REST: "none: at rest"}
    rows = [
        (f"`{kind.name}`", kind.what, kind.what_zh, words.get(kind.starts) or f"`{kind.starts}`")
        for kind in MILESTONES.values()
    ]
    return "## Milestones\n\n" + table(("milestone", "meaning", "中文", "the leg from then on"), rows)


def _legs() -> str:
    legs = [
        (f"`{leg.id}`", leg.name, leg.name_zh, leg.whose, f"`{leg.state}`" if leg.state else "no case yet")
        for leg in LEGS.values()
    ]
    measures = [
        (f"`{name}`", m.name, m.name_zh, ", ".join(leg for leg in LEGS if leg in m.legs), f"`{m.ends_at}`")
        for name, m in MEASURES.items()
    ]
    return (
        "## Legs of the turnaround\n\nA leg is the sum of its visits.\n\n"
        + table(("leg", "name", "中文", "whose time", "the case's state"), legs)
        + "\nWhat a service level measures; its clock stands in all other legs:\n\n"
        + table(("measure", "name", "中文", "legs that count", "ends at"), measures)
    )


def _reasons() -> str:
    rows = [
        (
            f"`{r.code}`",
            r.who,
            r.what,
            r.todo,
            f"{r.what_zh} {r.todo_zh}",
            r.back if r.who == "operator" else "",
        )
        for r in REASONS.values()
    ]
    return "## Reasons for which a case stops\n\n" + table(
        ("code", "who acts", "what happened", "what to do", "中文", "the clinic, once it is sent back"), rows
    )


def _permissions() -> str:
    rows = [
        (
            f"`{a.id}`",
            a.what,
            a.side,
            "yes" if a.identity else "",
            *(a.grants.get(role, "") for role in ROLES),
        )
        for a in ACTIONS.values()
    ]
    return (
        "## Permissions\n\n`own`: one's organisation requested the case or made its slides; `assigned`: it reads the "
        "case; `any`: the whole network. What shows identity is never offered on the partner side.\n\n"
        + table(("action", "meaning", "side", "identity", *ROLES), rows)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
