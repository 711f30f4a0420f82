"""docs/api.md from the doors' tables: every address, what it does, who may, and the JSON that it takes and gives."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel

from cases.access import ACTIONS
from gateway.app import BOTH, DOORS
from gateway.routes import Route
from gateway.signin import ROLES_OF_SIDE

_PLAIN = {str: "text", int: "number", float: "number", bool: "true or false", UUID: "uuid"}


def api() -> str:
    """The generated part of docs/api.md: both sides, the region's, the partners', then the shapes."""
    sections = [_doors("Both sides", BOTH, ("region", "partner"))]
    for side, title in (("region", "The region's side"), ("partner", "The partners' side")):
        own = [route for route in DOORS[side] if route not in BOTH]  # type: ignore[index]
        sections.append(_doors(title, own, (side,)))
    routes = {route: None for side in DOORS.values() for route in side}
    models = sorted(
        {model for route in routes for model in _models_of(route)}, key=lambda m: (m.__name__, m.__module__)
    )
    return "\n".join([*sections, "## Shapes\n", *(_shape(model) for model in models)])


def _doors(title: str, routes: Iterable[Route], sides: tuple[str, ...]) -> str:
    lines = [f"## {title}\n", "| address | what | who | takes | gives |", "| --- | --- | --- | --- | --- |"]
    for route in routes:
        taken, given = _body(route), _given(route)
        lines.append(
            f"| `{route.method} {route.path}`{_query(route)} | {_said(route.endpoint)} | {_who(route, sides)}"
            f" | {_link(taken)} | {_link(given) if given else _kind_of_answer(route)} |"
        )
    return "\n".join(lines) + "\n"


def _who(route: Route, sides: tuple[str, ...]) -> str:
    """Roles in words; `own`: cases that one's organisation requested or scanned; `assigned`: routed to it."""
    if route.granted:
        return "who holds the grant"
    if route.action is None:
        return {
            "/metrics": "whoever has the metrics token",
            "/internal/store-events": "the store, by its token",
        }.get(route.path, "anybody")
    served = {role for side in sides for role in ROLES_OF_SIDE[side]}  # type: ignore[index]
    grants = ACTIONS[route.action].grants
    return ", ".join(
        role if to == "any" else f"{role} ({to})" for role, to in grants.items() if role in served
    )


def _hints(route: Route) -> dict[str, Any]:
    return get_type_hints(route.endpoint, include_extras=True)


def _body(route: Route) -> type[BaseModel] | None:
    return next((kind for name, kind in _hints(route).items() if name != "return" and _is_model(kind)), None)


def _given(route: Route) -> type[BaseModel] | None:
    kind = _hints(route).get("return")
    return kind if _is_model(kind) else None


def _kind_of_answer(route: Route) -> str:
    return route.media_type or ("nothing" if route.status == 204 or route.media_type == "" else "JSON")


def _query(route: Route) -> str:
    """The parameters that stand neither in the path nor in the body."""
    hints, in_path = _hints(route), set(re.findall(r"{(\w+)}", route.path))
    names = []
    for name in inspect.signature(route.endpoint).parameters:
        if (
            name in in_path
            or name in ("request", "asking")
            or _is_model(hints[name])
            or _is_plain_body(hints[name])
        ):
            continue
        told = [alias for extra in get_args(hints[name])[1:] if (alias := getattr(extra, "alias", None))]
        names.append(told[0] if told else name)
    return "<br>`?" + "&".join(f"{name}=" for name in names) + "`" if names else ""


def _is_plain_body(kind: Any) -> bool:
    return get_origin(kind) is dict


def _models_of(route: Route) -> Iterator[type[BaseModel]]:
    seen: set[type[BaseModel]] = set()
    waiting = [model for model in (_body(route), _given(route)) if model]
    while waiting:
        model = waiting.pop()
        if model not in seen:
            seen.add(model)
            yield model
            waiting += [m for f in get_type_hints(model, include_extras=True).values() for m in _inside(f)]


def _inside(kind: Any) -> Iterator[type[BaseModel]]:
    if _is_model(kind):
        yield kind
    for part in get_args(kind):
        yield from _inside(part)


def _shape(model: type[BaseModel]) -> str:
    hints = get_type_hints(model, include_extras=True)
    rows = "".join(
        f"| `{name}`{'' if field.is_required() else ' (optional)'} | {_kind(hints[name])} |\n"
        for name, field in model.model_fields.items()
    )
    said = model.__doc__ if model.__doc__ and not model.__doc__.startswith("!!!") else ""
    return (
        f"### {model.__name__}\n\n{_cell(inspect.cleandoc(said))}\n\n| key | value |\n| --- | --- |\n{rows}"
    )


def _kind(kind: Any) -> str:
    """A type in words."""
    origin, inside = get_origin(kind), [part for part in get_args(kind) if part is not Ellipsis]
    if kind in _PLAIN:
        return _PLAIN[kind]
    if _is_model(kind):
        return _link(kind)
    if origin is Annotated:
        return _kind(inside[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin in (tuple, list):
        return (
            "list of " + _kind(inside[0])
            if len(get_args(kind)) == 1 or Ellipsis in get_args(kind)
            else _row(inside)
        )
    if origin is types.UnionType:
        return " or ".join("null" if part is type(None) else _kind(part) for part in inside)
    return {"datetime": "time", "date": "date"}.get(getattr(kind, "__name__", ""), "object")


def _row(inside: list[Any]) -> str:
    return "[" + ", ".join(_kind(part) for part in inside) + "]"


def _link(model: type[BaseModel] | None) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})" if model else ""


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _said(endpoint: Any) -> str:
    return _cell(inspect.cleandoc(endpoint.__doc__ or ""))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
