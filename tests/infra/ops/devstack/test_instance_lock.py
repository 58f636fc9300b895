import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.ops.devstack.data_dir import Layout, open_data_folder
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.instance_lock import claimed, clean_up, end
from infra.ops.devstack.state_file import ProcessState, StackState, is_alive, own_start, read_state, write_state


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return open_data_folder(tmp_path / "souk")


@pytest.fixture
def left() -> Iterator[ProcessState]:
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        yield ProcessState(
            name="nats", state="ready", pid=process.pid, created=psutil.Process(process.pid).create_time()
        )
        process.kill()


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_a_second_stack_on_the_folder_is_refused(layout: Layout) -> None:
    with (
        claimed(layout) as notice,
        pytest.raises(StackError, match=rf"A Souk runs on .* already \(process {os.getpid()}\).*souk down"),
        claimed(layout),
    ):
        pass
    assert notice == ""


def test_the_folder_is_free_again_afterwards(layout: Layout) -> None:
    for _ in range(2):
        with claimed(layout) as notice:
            assert notice == ""


def test_what_a_killed_stack_left_is_ended_and_told(layout: Layout, left: ProcessState) -> None:
    gone = dead_pid()
    write_state(layout.state, StackState(pid=gone, created=1.0, processes=[left]))
    with claimed(layout) as notice:
        assert f"(process {gone}) did not end by itself" in notice
        assert "ended what it left running: nats" in notice
    assert left.pid
    assert not is_alive(left.pid, left.created)
    assert read_state(layout.state) is None


def test_another_process_under_an_old_number_is_left_alone(layout: Layout) -> None:
    own = ProcessState(name="nats", state="ready", pid=os.getpid(), created=own_start() - 100)
    write_state(layout.state, StackState(pid=os.getpid(), created=own_start() - 200, processes=[own]))
    assert "it left nothing running" in clean_up(layout)


def test_a_running_stack_is_not_cleaned_up(layout: Layout) -> None:
    write_state(layout.state, StackState(pid=os.getpid(), created=own_start()))
    assert clean_up(layout) == ""
    assert end([]) == []


def test_a_state_that_cannot_be_read_is_none(layout: Layout) -> None:
    layout.state.write_text("{")
    assert read_state(layout.state) is None
    assert clean_up(layout) == ""
