"""Makes the imports of a process cheaper: without libraries that it does not need, and without garbage collection."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """While the block is open, `import` finds none of these modules that is not loaded already.

    For libraries that others use only if they are there.
    """
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail, as documented
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def pause_gc_of_program() -> None:
    """Pauses garbage collection while `python -m` loads the program; `lifecycle` resumes it.

    Imports make few cycles, and looking for them took an eighth of the CPU time of a start. Other processes that import
    a service, such as tests, are left alone: only while Python looks for the program is its name still `-m`.
    """
    if sys.argv[0] == "-m":
        gc.disable()
