"""Runs a program on a terminal of its own: standard input is a JSON object with `command` (a list),
`directory`, `variables` and `steps`, each one of

    ["expect", TEXT]      waits until this is shown, after what was expected before
    ["hide", TEXT]        types, once the terminal does not echo any more
    ["type", TEXT]        types
    ["write", PATH]       writes a line to a named pipe there
    ["alive", SECONDS]    the program is still running after this time

Writes a JSON object: `shown` (all that appeared), `first` (seconds until the first byte), `code`
(the exit code, negative for a signal), `problem` (what did not come, or null)."""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 120  # seconds; only a hanging program needs them


def main():
    task = json.load(sys.stdin)
    started = time.monotonic()
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(task["directory"])
        os.execve(task["command"][0], task["command"], task["variables"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    shown, seen, first = bytearray(), 0, None

    def read(seconds):
        """Whether there may be more to come."""
        nonlocal first
        if not select.select([terminal], [], [], seconds)[0]:
            return True
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the last program on the terminal has ended
            return False
        first = first or time.monotonic() - started
        shown.extend(data)
        return bool(data)

    problem = None
    for action, what in task["steps"]:
        deadline = time.monotonic() + (what if action == "alive" else PATIENCE)
        if action == "hide":
            while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < deadline and read(0.01):
                pass
        if action in ("hide", "type"):
            os.write(terminal, what.encode())
        elif action == "write":
            os.write(os.open(os.path.join(task["directory"], what), os.O_RDWR), b"go\n")
        elif action == "expect":
            while (at := shown.find(what.encode(), seen)) < 0 and time.monotonic() < deadline and read(0.5):
                pass
            problem = f"{what!r} was not shown" if at < 0 else None
            seen = at + len(what.encode())
        else:
            while time.monotonic() < deadline and problem is None:
                problem = None if read(0.05) else "it ended"
        if problem:
            break
    deadline = time.monotonic() + PATIENCE
    while read(0.5) and time.monotonic() < deadline:
        pass
    if time.monotonic() >= deadline:
        problem = problem or "it does not end"
        os.kill(process, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    print(json.dumps({"shown": shown.decode(errors="replace"), "first": first, "code": code, "problem": problem}))


main()
