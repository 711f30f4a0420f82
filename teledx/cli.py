"""The command line: one typer application built from the table of commands.

Every command that answers has `--json`; every command that signs in has `--token-file` and `--gateway`. An expected
error is one sentence, what to do next, and an exit code of `commands/exits.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from teledx.commands import (
    cases,
    deidentify,
    diagnosis,
    drops,
    keys,
    network,
    operating,
    programs,
    reading,
    setup,
)
from teledx.commands.exits import Exit
from teledx.commands.faults import said
from teledx.commands.output import Out
from teledx.commands.session import Session
from teledx.commands.table import PANELS, Command

COMMANDS: tuple[Command, ...] = (
    *drops.COMMANDS,
    *cases.COMMANDS,
    *reading.COMMANDS,
    *operating.COMMANDS,
    *setup.COMMANDS,
    *keys.COMMANDS,
    *network.COMMANDS,
    *diagnosis.COMMANDS,
    *deidentify.COMMANDS,
    *programs.COMMANDS,
)

# What stands in the help of a word that several commands share.
GROUPS: dict[str, str] = {
    "report": "Fetch a report (clinics), or write and sign one (readers).",
    "route": "Why a case went where it went.",
    "quarantine": "Cases and drops that a person must look at.",
    "failed": "Stage runs that ended in a defect of the software.",
    "network": "The network file: who asks, who reads, by which rules.",
    "token": "Access tokens of the network's accounts.",
    "keys": "The region's de-identification keys.",
}

JsonOption = Annotated[bool, typer.Option("--json", help="Answer as one JSON value, for scripts.")]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File of the access token, in place of TELEDX_TOKEN."),
]
GatewayOption = Annotated[
    str | None, typer.Option("--gateway", metavar="URL", help="Another gateway than the settings name.")
]


class WithDefault(TyperGroup):
    """A group in which a first word that is none of its commands belongs to its default command: `report CASE`."""

    default = ""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.default and args and args[0] not in self.commands and not args[0].startswith("-"):
            args = [self.default, *args]
        return super().resolve_command(ctx, args)


def build() -> typer.Typer:
    """The application with every command of the table, under the panels of `--help`."""
    app = _typer(
        "A regional remote-diagnosis network: from a clinic's drop to the signed report back at the clinic."
    )
    groups: dict[str, typer.Typer] = {}
    for panel in PANELS:
        for command in (c for c in COMMANDS if c.panel == panel):
            _add(app, groups, command)
    return app


def main() -> None:
    """Run the command line and exit with its code."""
    build()(prog_name="teledx")


def _typer(help_text: str, cls: type[TyperGroup] = TyperGroup) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        cls=cls,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _add(app: typer.Typer, groups: dict[str, typer.Typer], command: Command) -> None:
    """Register a command, with its group at the first of them."""
    home = app
    if command.group:
        if command.group not in groups:
            groups[command.group] = _group(command.group)
            app.add_typer(groups[command.group], name=command.group, rich_help_panel=command.panel)
        home = groups[command.group]
    home.command(
        command.name,
        help=escaped(paragraphs(command)),
        epilog="\n\n".join(("Examples:", *(escaped(example) for example in command.examples))),
        rich_help_panel=command.panel if home is app else None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )(entry(command))


def _group(name: str) -> typer.Typer:
    default = next((c.name for c in COMMANDS if c.group == name and c.default), "")
    cls = type("Group", (WithDefault,), {"default": default})
    return _typer(GROUPS[name], cls)


def entry(command: Command) -> Callable[..., None]:
    """What typer calls: the command's own parameters, and those that the table adds."""
    own = list(inspect.signature(command.run, eval_str=True).parameters.values())[1:]
    added: dict[str, tuple[Any, Any]] = {}
    if command.signed_in:
        added |= {"token_file": (TokenFileOption, None), "door": (GatewayOption, None)}
    if command.answers:
        added |= {"as_json": (JsonOption, False)}

    def run(**given: Any) -> None:
        shared = {name: given.pop(name, default) for name, (_, default) in added.items()}
        out = Out(as_json=shared.pop("as_json", False))
        raise typer.Exit(_guarded(command, Session(out, **shared), given))

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [p.replace(kind=keyword) for p in own]
    parameters += [inspect.Parameter(n, keyword, default=d, annotation=a) for n, (a, d) in added.items()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__name__ = command.words.replace(" ", "_")
    return run


def _guarded(command: Command, session: Session, given: dict[str, Any]) -> int:
    """Run the command; an expected error is said and becomes its exit code."""
    try:
        return command.run(session, **given) or Exit.OK
    except (typer.Exit, BrokenPipeError):
        raise
    except Exception as error:
        expected = said(error)
        if expected is None:
            raise
        session.out.error(expected)
        return expected.exit


def paragraphs(command: Command) -> str:
    """The command's docstring, each paragraph on one line."""
    text = inspect.getdoc(command.run) or ""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def escaped(text: str) -> str:
    """Text in which rich finds no markup."""
    return text.replace("[", "\\[")
