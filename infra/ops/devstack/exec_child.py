"""Becomes another program: as another user if asked, and one that gets a signal when its parent dies.

A program of its own, run with `python -I -S`, because Linux forgets the parent-death signal when the user changes and
because code between fork and exec is not safe in a process with threads.
    launch.py PARENT SIGNAL UID:GID|- PROGRAM [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, death_signal, user, *command = sys.argv[1:]
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before it could be watched
            sys.exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execvp(command[0], command)  # noqa: S606 - replacing this process by the program is its purpose


if __name__ == "__main__":
    main()
