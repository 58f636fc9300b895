"""Signals to a process and all of its children: pausing only Nginx's master would pause no worker."""

import signal
from collections.abc import Iterable
from contextlib import suppress

import psutil


def process_tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty if it is gone."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def pause_tree(pid: int) -> list[psutil.Process]:
    """Pauses them and those that start meanwhile; returns all paused processes."""
    stopped: dict[int, psutil.Process] = {}
    while fresh := [one for one in process_tree(pid) if one.pid not in stopped]:
        for one in fresh:
            _send(one, signal.SIGSTOP)
            stopped[one.pid] = one
    return list(stopped.values())


def resume_processes(stopped: Iterable[psutil.Process]) -> None:
    for one in stopped:
        _send(one, signal.SIGCONT)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
