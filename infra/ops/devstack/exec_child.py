"""Replaces itself by another program that gets a signal when its parent dies, and runs it as another user if asked.

Only that user can read the files that the program creates.

It is a program of its own, run with `python -I -S`, for two reasons: Linux drops the parent-death signal when the user
changes, and code between fork and exec is not safe in a process with threads.

    exec_child.py PARENT_PID SIGNAL UID:GID|- PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PRIVATE_UMASK = 0o077


def main() -> None:
    """Sets the user, the parent-death signal and the mask of new files, then executes the program."""
    parent, death_signal, user, *command = sys.argv[1:]
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # the parent died before the signal was set
            sys.exit(1)
    os.umask(PRIVATE_UMASK)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execvp(command[0], command)  # noqa: S606 - replacing this process by the program is its purpose


if __name__ == "__main__":
    main()
