"""The generated parts of docs/cli.md and docs/operations.md: every command, every exit code, every setting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from teledx.cli import COMMANDS, build, paragraphs
from teledx.commands.exits import MEANINGS
from teledx.commands.table import PANELS, Command
from teledx.settings import Settings

# Options of many commands, explained once: those that sign in, those that answer.
SIGNED_IN, ANSWERS = ("--token-file", "--gateway"), ("--json",)


def commands() -> str:
    """Exit codes, the options that many commands share, and every command with its options and examples."""
    root = typer.main.get_command(build())
    sections = [
        "## Exit codes\n\n" + _table(("code", "meaning"), ((f"{int(c)}", m) for c, m in MEANINGS.items()))
    ]
    shared: dict[str, str] = {}
    for panel in PANELS:
        sections.append(f"## {panel}\n")
        for command in (c for c in COMMANDS if c.panel == panel):
            found = _found(root, command)
            sections.append(_section(command, found))
            shared |= {p.opts[0]: p.help or "" for p in found.params if p.opts[0] in _shared(command)}
    lines = _table(("option", "meaning"), ((f"`{name}`", text) for name, text in shared.items()))
    sections.insert(1, f"## Options that many commands share\n\n{lines}")
    return "\n".join(sections)


def settings() -> str:
    """Every setting: its variable, what it is if it is not set, and its meaning."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if _is_empty(default) else f"`{default}`"
        rows.append((f"`TELEDX_{name.upper()}`", shown, field.description or ""))
    return _table(("variable", "if not set", "meaning"), rows)


def _is_empty(default: object) -> bool:
    value = default.get_secret_value() if isinstance(default, SecretStr) else default
    return value in (None, "", PydanticUndefined)


def _found(root: Any, command: Command) -> Any:
    """typer's own object of a command of the table."""
    home = root.commands[command.group] if command.group else root
    return home.commands[command.name]


def _shared(command: Command) -> tuple[str, ...]:
    return (*(SIGNED_IN if command.signed_in else ()), *(ANSWERS if command.answers else ()))


def _section(command: Command, found: Any) -> str:
    words = command.group if command.default else command.words
    usage = " ".join(("teledx", words, *_usage(found)))
    text = [f"### `teledx {words}`", paragraphs(command), f"    {usage}"]
    rows = [_row(p) for p in found.params if p.opts[0] not in _shared(command)]
    if rows:
        text.append(_table(("argument or option", "if absent", "meaning"), rows).rstrip())
    if _shared(command):
        text.append(f"Also {', '.join(f'`{name}`' for name in _shared(command))}.")
    text.append("```sh\n" + "\n".join(command.examples) + "\n```")
    return "\n\n".join(text) + "\n"


def _usage(found: Any) -> Iterator[str]:
    for parameter in found.params:
        if parameter.param_type_name == "argument":
            name = parameter.metavar or parameter.name.upper()
            yield name if parameter.required or name.startswith("[") else f"[{name}]"
        elif parameter.required:
            yield f"{parameter.opts[0]} {_metavar(parameter)}"
    if any(p.param_type_name == "option" and not p.required for p in found.params):
        yield "[OPTIONS]"


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        return (
            f"`{(parameter.metavar or parameter.name.upper()).strip('[].')}`",
            _default(parameter),
            parameter.help or "",
        )
    takes = "" if parameter.is_flag else f" {_metavar(parameter)}"
    return f"`{parameter.opts[0]}{takes}`", _default(parameter), parameter.help or ""


def _metavar(parameter: Any) -> str:
    if parameter.metavar:
        return str(parameter.metavar)
    choices = parameter.type_descriptor.choices
    if choices:
        return "|".join(str(getattr(choice, "value", choice)) for choice in choices)
    return "NUMBER" if parameter.bare_type() in ("int", "float") else "TEXT"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    default = getattr(parameter.default, "value", parameter.default)
    return "" if default in (None, "", False, ()) else f"`{default}`"


def _table(head: tuple[str, ...], rows: Any) -> str:
    from teledx.reference import table

    return table(head, rows)
