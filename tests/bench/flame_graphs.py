"""Flame graphs of running Python processes, by py-spy, and what they say as a table.

py-spy samples from outside, and only the thread that holds the interpreter's lock: a graph shows what uses CPU, not
what a process waits for. The work of uvloop and asyncpg, which are compiled, counts for the Python function that called
them.
"""

import asyncio
import html
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLES_PER_SECOND = 100
NO_SAMPLES = "No stack counts found"
PY_SPY = Path(sys.executable).with_name("py-spy")
_FRAME = re.compile(
    r'<title>(?P<title>[^<]*) \([\d,]+ samples[^<]*</title><rect x="[^"]*" y="(?P<y>\d+)"[^>]*'
    r'fg:x="(?P<x>\d+)" fg:w="(?P<width>\d+)"'
)

_PACKAGE = re.compile(r"\((?P<package>(infra/|services/)?[^/:]+)[/:][^(]*\)$")
SMALLEST_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class FunctionShare:
    """A function's share of a process' samples: in its own code, and together with what it calls."""

    function: str
    own: float
    total: float


async def record(pids: Mapping[str, int], folder: Path, seconds: float) -> Mapping[str, Path]:
    """Writes a flame graph of each process, all of the same `seconds`; returns the files by process.

    A process that was hardly busy may have none.
    """
    graphs = {name: folder / f"{name}.svg" for name in pids}
    for path in graphs.values():
        path.unlink(missing_ok=True)
    recorders = [
        await asyncio.create_subprocess_exec(
            str(PY_SPY),
            *("record", "--gil", "--function", "--rate", str(SAMPLES_PER_SECOND), "--duration", str(round(seconds))),
            *("--pid", str(pid), "--output", str(graphs[name])),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        for name, pid in pids.items()
    ]
    errors = [(await recorder.communicate())[1].decode() for recorder in recorders]
    for recorder, error in zip(recorders, errors, strict=True):
        if recorder.returncode and NO_SAMPLES not in error:
            message = f"py-spy could not attach. It needs ptrace: root, or kernel.yama.ptrace_scope=0. {error.strip()}"
            raise RuntimeError(message)
    return {name: path for name, path in graphs.items() if path.exists()}


def function_shares(graph: str) -> Sequence[FunctionShare]:
    """Reads a flame graph: the functions, the one with the most samples in its own code first."""
    frames = sorted(
        (int(match["x"]), int(match["y"]), int(match["width"]), html.unescape(match["title"]))
        for match in _FRAME.finditer(graph)
    )
    samples = max((width for _, _, width, _ in frames), default=0)
    own, total = Counter[str](), Counter[str]()
    callers: list[tuple[int, int, str]] = []
    """The depth, end and function of each frame that the current one lies in."""
    for x, depth, width, function in frames:
        while callers and (callers[-1][0] >= depth or callers[-1][1] <= x):
            callers.pop()
        own[function] += width
        if callers:
            own[callers[-1][2]] -= width
        if function not in {caller for _, _, caller in callers}:
            total[function] += width
        callers.append((depth, x + width, function))
    return [FunctionShare(name, count / samples, total[name] / samples) for name, count in own.most_common() if count]


def package_shares(shares: Sequence[FunctionShare]) -> Mapping[str, float]:
    """Adds up what the functions of each package use in their own code; the largest first."""
    own: dict[str, float] = defaultdict(float)
    for share in shares:
        match = _PACKAGE.search(share.function)
        own[match["package"] if match else share.function] += share.own
    ranked = sorted(own.items(), key=lambda item: -item[1])
    return {package: used for package, used in ranked if used >= SMALLEST_SHARE}
