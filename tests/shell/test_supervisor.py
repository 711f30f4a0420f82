"""Programs start in order, come back when they die, and are gone when their supervisor is, however it went."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from teledx.program import Program
from teledx.spawn import kill
from teledx.supervisor import Event, InUse, NotReady, Phase, Report, Supervisor, in_layers
from tests.servers.server import until
from tests.shell.processes import alive, mentioning

SLEEPER = (sys.executable, str(Path(__file__).with_name("sleeper.py")))
SUPERVISED = Path(__file__).with_name("supervised.py")


def sleeper(name: str, *arguments: str, **more) -> Program:
    return Program(name=name, argv=(*SLEEPER, "--name", name, *arguments), **more)


def reports_of(reports: list[Report], name: str) -> list[Event]:
    return [report.event for report in reports if report.program == name]


def test_programs_start_after_those_they_wait_for_and_stop_in_reverse_order(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    ready = {name: tmp_path / name for name in ("one", "two", "three")}

    def program(name: str, *after: str) -> Program:
        return sleeper(
            name, "--diary", str(diary), "--ready", str(ready[name]), after=after, ready=ready[name].exists
        )

    programs = [program("three", "two"), program("one"), program("two", "one")]
    with Supervisor(programs, logs=tmp_path / "log") as supervisor:
        supervisor.wait_ready(30)
    assert diary.read_text().splitlines() == [
        *("start one", "start two", "start three"),
        *("stop three", "stop two", "stop one"),
    ]


def test_a_killed_program_comes_back(tmp_path: Path) -> None:
    reports: list[Report] = []
    with Supervisor([sleeper("a"), sleeper("b")], logs=tmp_path, report=reports.append) as supervisor:
        supervisor.wait_ready(30)
        first, other = supervisor.pid("a"), supervisor.pid("b")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        until(lambda: supervisor.pid("a") not in (None, first), what="the new process")
        supervisor.wait_ready(30)
        assert supervisor.pid("b") == other
        assert [standing.restarts for standing in supervisor.standings()] == [1, 0]
    assert reports_of(reports, "a") == [
        *(Event.STARTED, Event.READY, Event.DIED, Event.STARTED, Event.READY, Event.STOPPED),
    ]
    assert Report(program="a", event=Event.DIED, detail="signal SIGKILL") in reports


def test_what_a_dead_program_started_is_gone_before_it_starts_again(tmp_path: Path) -> None:
    mark = secrets.token_hex(8)
    ready = tmp_path / "ready"
    program = sleeper("a", "--child", "--ready", str(ready), env={"MARK": mark}, ready=ready.exists)
    with Supervisor([program], logs=tmp_path) as supervisor:
        supervisor.wait_ready(30)
        before = mentioning(mark)
        assert len(before) == 2
        os.kill(supervisor.pid("a") or 0, signal.SIGKILL)
        until(lambda: len(mentioning(mark).keys() - before.keys()) == 2, what="the new pair")
        assert not any(alive(pid) for pid in before)


def test_a_program_that_always_dies_is_tried_with_growing_pauses_and_reported(tmp_path: Path) -> None:
    reports: list[Report] = []
    programs = [sleeper("broken", "--exit", "3"), sleeper("later", after=("broken",)), sleeper("fine")]
    programs[0] = Program(name="broken", argv=programs[0].argv, ready=lambda: False)
    with Supervisor(programs, logs=tmp_path, report=reports.append) as supervisor:
        until(lambda: reports_of(reports, "broken").count(Event.DIED) >= 3, what="three attempts")
        supervisor.wait_ready(30, "fine")
        phases = {standing.name: standing.phase for standing in supervisor.standings()}
        assert phases["later"] is Phase.WAITING
        assert phases["fine"] is Phase.READY
        with pytest.raises(NotReady, match=r"broken is not ready, see .*broken\.log"):
            supervisor.wait_ready(0, "broken")
    assert Report(program="broken", event=Event.DIED, detail="exit code 3") in reports


def test_a_start_that_raises_is_reported_and_tried_again(tmp_path: Path) -> None:
    attempts: list[int] = []
    reports: list[Report] = []

    def prepare() -> None:
        attempts.append(1)
        if len(attempts) < 2:
            raise OSError("no room")

    with Supervisor([sleeper("a", prepare=prepare)], logs=tmp_path, report=reports.append) as supervisor:
        supervisor.wait_ready(30)
    assert reports_of(reports, "a")[0] is Event.FAILED
    assert "no room" in (tmp_path / "a.log").read_text()


def test_a_program_that_is_never_ready_is_ended_and_tried_again(tmp_path: Path) -> None:
    reports: list[Report] = []
    program = sleeper("a", ready=lambda: False, ready_seconds=0.2)
    with Supervisor([program], logs=tmp_path, report=reports.append):
        until(lambda: reports_of(reports, "a").count(Event.FAILED) >= 2, what="two attempts")
    assert Event.READY not in reports_of(reports, "a")


def test_settling_comes_before_those_that_wait(tmp_path: Path) -> None:
    order: list[str] = []
    programs = [
        sleeper("a", settle=lambda: order.append("settled a")),
        sleeper("b", after=("a",), prepare=lambda: order.append("prepared b")),
    ]
    with Supervisor(programs, logs=tmp_path) as supervisor:
        supervisor.wait_ready(30)
    assert order == ["settled a", "prepared b"]


def test_a_deaf_program_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    reports: list[Report] = []
    mark = secrets.token_hex(8)
    ready = tmp_path / "ready"
    deaf = sleeper(
        *("a", "--deaf", "--child", "--ready", str(ready)),
        env={"MARK": mark},
        ready=ready.exists,
        stop_seconds=0.2,
    )
    with Supervisor([deaf], logs=tmp_path, report=reports.append) as supervisor:
        supervisor.wait_ready(30)
    assert Event.KILLED in reports_of(reports, "a")
    assert mentioning(mark) == {}


def test_output_goes_to_the_log_as_far_as_the_filter_lets_it(tmp_path: Path) -> None:
    programs = [
        sleeper("open"),
        sleeper("closed", log_line=lambda line: None),
        sleeper("changed", log_line=lambda line: line.upper()),
    ]
    with Supervisor(programs, logs=tmp_path) as supervisor:
        supervisor.wait_ready(30)
        until(lambda: "a line of output\n" in (tmp_path / "open.log").read_text(), what="the log")
        until(lambda: "A LINE OF OUTPUT\n" in (tmp_path / "changed.log").read_text(), what="the changed log")
    assert (tmp_path / "closed.log").read_text() == ""


def test_two_supervisors_never_share_a_folder(tmp_path: Path) -> None:
    with Supervisor([sleeper("a")], logs=tmp_path), pytest.raises(InUse, match="already run"):
        Supervisor([sleeper("a")], logs=tmp_path).start()
    with Supervisor([sleeper("a")], logs=tmp_path) as supervisor:
        supervisor.wait_ready(30)


def test_a_guardian_that_died_is_replaced_and_told_everything(tmp_path: Path) -> None:
    with Supervisor([sleeper("a")], logs=tmp_path) as supervisor:
        supervisor.wait_ready(30)
        guardian = supervisor._leash._guardian
        assert guardian is not None
        guardian.kill()
        guardian.wait()
        os.kill(supervisor.pid("a") or 0, signal.SIGKILL)
        until(lambda: supervisor._leash._guardian is not guardian, what="the new guardian")
        supervisor.wait_ready(30)


@pytest.mark.parametrize(
    ("programs", "complaint"),
    [
        ([Program(name="a", argv=()), Program(name="a", argv=())], "'a' is in the table twice"),
        ([Program(name="a", argv=(), after=("b",))], "'a' waits for 'b', which is not in the table"),
        (
            [Program(name="a", argv=(), after=("b",)), Program(name="b", argv=(), after=("a",))],
            "in a circle: a, b",
        ),
    ],
)
def test_a_table_without_an_order_is_refused(programs: list[Program], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        in_layers(programs)


@pytest.fixture
def supervised(servers_folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A supervisor in a session of its own with all its programs ready, and the mark that all of them carry.

    It begins deaf to SIGINT, as what a shell without job control puts in the background does.
    """
    mark = secrets.token_hex(8)
    folder = servers_folder / mark
    folder.mkdir(mode=0o755)
    process = subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, str(SUPERVISED), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": ".", "MARK": mark},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process, mark
    process.stdout.close()
    for pid in mentioning(mark):
        os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_process_remains_after(
    number: signal.Signals, supervised: tuple[subprocess.Popen[str], str]
) -> None:
    process, mark = supervised
    assert len(mentioning(mark)) > 8
    process.send_signal(number)
    assert process.wait(30) == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    if number is signal.SIGKILL:
        until(lambda: not mentioning(mark), what=f"the end of {mentioning(mark)}")
    assert mentioning(mark) == {}


def test_a_ctrl_c_at_the_terminal_reaches_everything_in_order(
    supervised: tuple[subprocess.Popen[str], str],
) -> None:
    process, mark = supervised
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert mentioning(mark) == {}


def test_impatience_kills_without_leaving_anything(supervised: tuple[subprocess.Popen[str], str]) -> None:
    process, mark = supervised
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
    until(lambda: not mentioning(mark), what=f"the end of {mentioning(mark)}")


def test_a_tied_supervisor_ends_with_the_process_that_started_it(servers_folder: Path) -> None:
    mark = secrets.token_hex(8)
    folder = servers_folder / mark
    folder.mkdir(mode=0o755)
    command = f"{sys.executable} {SUPERVISED} {folder} --tied & wait"
    parent = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": ".", "MARK": mark},
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        parent.wait()
        try:
            until(lambda: not mentioning(mark), what="the end of all that it started")
        finally:
            for pid in mentioning(mark):
                os.kill(pid, signal.SIGKILL)


def test_what_is_killed_is_gone_when_the_kill_returns() -> None:
    """The kernel takes a while to end what holds much memory; PostgreSQL does not start beside the last of itself."""
    holder = "import time; held = bytearray(1 << 30); print('held', flush=True); time.sleep(600)"
    for _ in range(3):
        leader = subprocess.Popen(
            ["/bin/sh", "-c", '"$0" -c "$1" & wait', sys.executable, holder],
            stdout=subprocess.PIPE, process_group=0,
        )  # fmt: skip
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"held\n"
        members = [pid for pid in mentioning("held = bytearray") if pid != os.getpid()]
        assert len(members) == 2
        kill(leader)
        assert not any(map(alive, members))
        leader.stdout.close()
