"""What the kernel says: about this machine, a process, a directory."""

import os
import platform
import re
import subprocess
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: File systems in memory, where a sync costs nothing.
_IN_MEMORY = {"tmpfs", "ramfs"}


def facts():
    """The machine, for the reader of a result."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_kib = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "memoryGiB": round(int(memory_kib.group(1)) / 2**20, 1),
        "kernel": platform.release(),
    }


def versions():
    """What it is built and measured with."""
    programs = {"rustc": "rustc", "node": "node", "Redis": "redis-server"}
    answers = {name: _output([program, "--version"]) for name, program in programs.items()}
    return {
        name: found.group() if (found := re.search(r"\d+\.\d+\.\d+", answer)) else answer
        for name, answer in answers.items()
    }


def cpu_seconds(pid):
    """User and system time of all threads, also of those that ended."""
    # The second field is the name in parentheses, which may itself have spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS_PER_SECOND


def resident_bytes(pid):
    """Resident memory of a process."""
    resident = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(resident.group(1)) * 1024


def directory_bytes(directory):
    """What a directory takes on the disk; holes in files take nothing."""
    return sum(path.stat().st_blocks * 512 for path in Path(directory).rglob("*") if path.is_file())


def forget_cached_pages(directory):
    """Makes the next reader of these files read them from the disk."""
    for path in Path(directory).rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.fsync(file)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def file_system(directory):
    """The type of the file system that a directory lies on."""
    return _output(["stat", "--file-system", "--format=%T", str(directory)])


def is_in_memory(directory):
    """Whether nothing written there ever reaches a disk."""
    return file_system(directory) in _IN_MEMORY


def _output(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not found"
