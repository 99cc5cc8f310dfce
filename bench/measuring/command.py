"""What the commands have in common."""

import os
import signal
import sys
from pathlib import Path

from . import load, tools


def main(run):
    """Runs a command to its exit code; whatever it started is ended first, also on a signal."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = run()
    except tools.Failure as failure:
        load.say(f"{Path(sys.argv[0]).name}: {failure}")
        code = 1
    except KeyboardInterrupt:
        load.say("\ninterrupted; everything that was started is ended")
        code = 130
    sys.exit(code)


def parent_directory():
    """By default data lies on the disk of the build: /tmp is often in memory."""
    directory = Path(os.environ.get("CARGO_TARGET_DIR", tools.REPOSITORY / "target"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
