"""The lock of a data folder, and the cleanup after a killed stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.ops.devstack.data_dir import DataDir, open_data_dir
from infra.ops.devstack.errors import StackError
from infra.ops.devstack.instance_lock import clean_up_leftovers, lock_data_dir, terminate_processes
from infra.ops.devstack.state_file import ProcessState, StackState, is_alive, own_create_time, read_state, write_state


@pytest.fixture
def layout(tmp_path: Path) -> DataDir:
    return open_data_dir(tmp_path / "souk")


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


def test_a_second_stack_on_one_folder_is_refused(layout: DataDir) -> None:
    with (
        lock_data_dir(layout) as notice,
        pytest.raises(StackError, match=rf"Souk already runs on .* \(process {os.getpid()}\).*souk down"),
        lock_data_dir(layout),
    ):
        pass
    assert notice == ""


def test_the_lock_is_released(layout: DataDir) -> None:
    for _ in range(2):
        with lock_data_dir(layout) as notice:
            assert notice == ""


def test_leftovers_of_a_killed_stack_are_terminated_and_reported(layout: DataDir, left: ProcessState) -> None:
    gone = dead_pid()
    write_state(layout.state_file, StackState(pid=gone, created=1.0, processes=[left]))
    with lock_data_dir(layout) as notice:
        assert f"(process {gone}) did not end by itself" in notice
        assert "ended what it left running: nats" in notice
    assert left.pid
    assert not is_alive(left.pid, left.created)
    assert read_state(layout.state_file) is None


def test_another_process_with_a_recorded_pid_is_left_alone(layout: DataDir) -> None:
    own = ProcessState(name="nats", state="ready", pid=os.getpid(), created=own_create_time() - 100)
    write_state(layout.state_file, StackState(pid=os.getpid(), created=own_create_time() - 200, processes=[own]))
    assert "it left nothing running" in clean_up_leftovers(layout)


def test_a_running_stack_is_not_cleaned_up(layout: DataDir) -> None:
    write_state(layout.state_file, StackState(pid=os.getpid(), created=own_create_time()))
    assert clean_up_leftovers(layout) == ""
    assert terminate_processes([]) == []


def test_an_unreadable_state_is_none(layout: DataDir) -> None:
    layout.state_file.write_text("{")
    assert read_state(layout.state_file) is None
    assert clean_up_leftovers(layout) == ""
