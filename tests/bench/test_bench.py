"""Every benchmark still runs, at its smallest size, and measures what it says."""

import re

import pytest

from bench import noop, page
from bench.drops import small_ct
from bench.processes import MemoryWatch, cpu_seconds
from bench.sizes import TINY
from bench.table import BENCHMARKS

pytestmark = pytest.mark.measurement


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "cases"])
def test_a_benchmark_runs_and_gives_tables(name):
    content = BENCHMARKS[name].run(TINY)
    assert content.count("| --- |") >= 1
    assert "nan" not in content


@pytest.mark.timeout(900)
def test_small_cases_go_through_all_stages_on_every_broker(component_required):
    component_required("RabbitMQ")
    content = BENCHMARKS["cases"].run(TINY)
    rounds = re.findall(r"^\| (embedded|RabbitMQ), (\d) process", content, re.MULTILINE)
    assert rounds == [("embedded", "1"), ("RabbitMQ", "1")]
    assert "Not measured" not in content


def test_every_benchmark_has_its_place_on_the_page():
    text = page.PAGE.read_text(encoding="utf-8")
    for name in (*BENCHMARKS, "machine"):
        assert f"<!-- bench:{name} -->" in text
        assert f"<!-- /bench:{name} -->" in text


def test_writing_a_table_leaves_the_rest_of_the_page_alone(tmp_path):
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- bench:a -->\nold\n<!-- /bench:a -->\nafter\n")
    page.write("a", "new", file)
    assert file.read_text() == "before\n<!-- bench:a -->\nnew\n<!-- /bench:a -->\nafter\n"
    with pytest.raises(LookupError, match="no place for the benchmark b"):
        page.write("b", "new", file)


def test_the_95th_percentile_is_by_nearest_rank():
    assert page.p95([float(n) for n in range(1, 21)]) == 19
    assert page.p95([5.0]) == 5


def test_no_op_messages_are_all_consumed_by_two_processes():
    assert noop.messages_per_second("", 2, 2, 11) > 0


def test_memory_and_cpu_of_a_program_are_the_kernels_own():
    import os

    before = cpu_seconds(os.getpid())
    with MemoryWatch(os.getpid()) as memory:
        held = bytearray(64 << 20)
        small_ct("jiangshan", "CT-1")
    assert memory.own >= len(held)
    assert cpu_seconds(os.getpid()) >= before
