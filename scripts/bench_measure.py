"""What a command costs: time, processor time and memory of its processes, and the processor time of the servers meanwhile.

How it is measured, so that a figure can be judged:

* Processor time is what the kernel charged. A process that ended is looked at before it is reaped (`waitid` with `WNOWAIT`), when its
  own time and that of its children (those that it waited for) still stand apart in /proc/PID/stat, in ticks of 10 ms.
* Memory is `VmHWM`, the kernel's own high-water mark, of the largest process. `ru_maxrss` would be wrong here: it begins with the memory
  of the Python process that forked the command. It is read ten times a second; a process that lives shorter than that may be missed.
* A server's time is that of its postmaster, of its living children, and of all that it has reaped. The difference of two readings is
  what all its backends did in between, whatever became of them.
"""

import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_EVERY = 0.1


def stat(pid):
    """Own and reaped children's processor time in seconds. Nothing for a process that is gone."""
    try:
        # The name stands in parentheses and may hold anything; what follows it is numbers, from the state (field 3) on.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    return (user + system) / TICKS, (children_user + children_system) / TICKS


def children(pid):
    """The pids of a process's living children."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += task.read_text().split()
        except OSError:
            pass
    return [int(child) for child in found]


def server_cpu(postmaster):
    """Processor time that a server used since it was started, in seconds."""
    own, reaped = stat(postmaster)
    return own + reaped + sum((stat(child) or (0, 0))[0] for child in children(postmaster))


def high_water(pid):
    """The most memory that a process ever held, in MiB; 0 for one that is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0


class Peaks(threading.Thread):
    """Watches the memory of a process and of its descendants."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.own, self.largest_child, self.ended = pid, 0, 0, threading.Event()

    def run(self):
        while not self.ended.wait(SAMPLE_EVERY):
            self.own = max(self.own, high_water(self.pid))
            below = children(self.pid)
            while below:
                child = below.pop()
                self.largest_child = max(self.largest_child, high_water(child))
                below += children(child)


class Cost(dict):
    """What one command cost. `+` is the cost of one command after the other."""

    def __add__(self, other):
        peak = max(self["peak_mib"], other["peak_mib"])
        return Cost({name: self[name] + other[name] for name in ("wall_s", "cpu_s", "children_cpu_s")}, peak_mib=peak,
                    children_peak_mib=max(self["children_peak_mib"], other["children_peak_mib"]), output=other["output"])


class Failed(Exception):
    """A command that did not end with 0; holds the end of what it said."""


def run(command, environment, timeout):
    """Runs a command to its end and tells what it cost. Its standard output is kept in `output`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        peaks = Peaks(process.pid)
        peaks.start()
        late = threading.Timer(timeout, process.kill)
        late.start()
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            wall = time.monotonic() - started
            own, reaped = stat(process.pid)
        finally:
            late.cancel()
            peaks.ended.set()
            if process.poll() is None:
                process.terminate()
            process.wait()
        peaks.join()
        out.seek(0)
        err.seek(0)
        said = err.read().decode(errors="replace")
        output = out.read().decode(errors="replace")
    if process.returncode != 0:
        raise Failed(f"{Path(command[0]).name} ended with {process.returncode} after {wall:.1f} s: {(said.strip() or output.strip())[-1500:]}")
    return Cost(wall_s=wall, cpu_s=own + reaped, children_cpu_s=reaped, peak_mib=max(peaks.own, peaks.largest_child),
                children_peak_mib=peaks.largest_child, own_peak_mib=peaks.own, output=output)
