"""The table of commands keeps its promises, whoever adds a row."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from teledx.cli import COMMANDS, build, entry
from teledx.commands.exits import MEANINGS, OF_STATUS, Exit
from teledx.commands.table import PANELS

ROOT = Path(__file__).parents[2]
HEAVY = (
    "pydicom",
    "numpy",
    "streamlit",
    "onnxruntime",
    "psycopg",
    "minio",
    "dramatiq",
    "fastapi",
    "httpx",
    "rich",
)
each_command = pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.words.replace(" ", "-"))


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


@each_command
def test_every_command_explains_itself_with_examples(command, teledx):
    answer = teledx(*command.words.split(), "--help")
    assert answer.code == 0
    shown = " ".join(answer.out.split())
    for example in command.examples:
        first_words = " ".join(example.split()[:3])
        assert first_words in shown


@each_command
def test_every_command_that_answers_does_so_in_json(command):
    options = {o for p in _parameters(command) for o in p.opts}
    assert ("--json" in options) is (command.answers or command.words == "demo")
    assert ("--token-file" in options) is command.signed_in


@each_command
def test_every_example_is_a_command_line_that_is_understood(command):
    """Parsed down to the last option, though not run."""
    for example in command.examples:
        first, *words = shlex.split(example.partition(" < ")[0])
        assert first == "teledx"
        found = typer.main.get_command(build())
        context = found.make_context("teledx", list(words))
        while hasattr(found, "resolve_command"):
            name, found, rest = found.resolve_command(context, [*context._protected_args, *context.args])
            if name == "submit":  # its folder must exist
                rest = [str(ROOT / "tests") if word == "images/" else word for word in rest]
            context = found.make_context(name, rest, parent=context)
        assert found.name == command.name


@each_command
def test_every_option_says_what_it_is_for(command):
    for parameter in _parameters(command):
        assert parameter.help, parameter.name


def test_every_panel_and_every_exit_code_is_explained():
    assert {c.panel for c in COMMANDS} == set(PANELS)
    assert set(MEANINGS) == set(Exit)
    assert set(OF_STATUS.values()) <= set(Exit)


def test_importing_the_command_line_brings_nothing_heavy():
    loaded = python("-c", "import teledx.cli, sys; print(*sys.modules)").stdout.split()
    assert not set(HEAVY) & set(loaded)


def test_the_command_line_is_there_in_less_than_400_ms_of_processor_time():
    timed = "import time; import teledx.cli; print(time.process_time())"
    assert min(float(python("-c", timed).stdout) for _ in range(3)) < 0.4


def test_help_needs_no_word_and_an_unknown_word_is_a_usage_error(teledx):
    assert "Usage: teledx" in teledx("--help").out
    unknown = teledx("stats")
    assert unknown.code == Exit.USAGE
    assert "status" in unknown.err


def test_the_programs_module_runs_as_installed():
    answer = python("-m", "teledx", "network", "check", "teledx/sample_network.toml")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert re.search(r"\d+ organisations", answer.stdout)


BROKEN_PROGRAM = """
import dataclasses, teledx.cli as c
def broken(session: c.Session) -> None:
    name = "王" + "秀英"
    raise ZeroDivisionError
c.COMMANDS = tuple(dataclasses.replace(r, run=broken) for r in c.COMMANDS if r.words in ("worklist", "status"))
c.main()
"""


def test_a_bug_is_shown_with_its_traceback_and_no_value(tmp_path):
    """Whoever reports it sends the traceback along; what the program held stays here."""
    answer = python("-c", BROKEN_PROGRAM, "worklist")
    assert answer.returncode == 1
    assert "ZeroDivisionError" in answer.stderr
    assert "王秀英" not in answer.stdout + answer.stderr


def _parameters(command):
    app = typer.Typer()
    app.command("one")(entry(command))
    return [p for p in typer.main.get_command(app).params if "--install-completion" not in p.opts]
