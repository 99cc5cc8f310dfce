"""Builds what is measured and installs what it needs."""

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / "bench" / "peers"
_TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
STREAMGATE = _TARGET / "release" / "streamgate"
NOOP = _TARGET / "release" / "examples" / "noop"


class Failure(Exception):
    """Why it can't go on, for people."""


def build(with_noop=True):
    """Builds the release binaries of the checkout."""
    build = ["cargo", "build", "--release", "--locked", "-p", "streamgate-server"]
    _run(build)
    if with_noop:
        _run([*build, "--example", "noop"])


def install_peers():
    """Node, Redis and the packages of bench/peers, as far as they are missing."""
    for program, package in (("node", "nodejs"), ("npm", "npm"), ("redis-server", "redis-server")):
        if shutil.which(program) is None:
            _run(["apt-get", "update", "-qq"])
            _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package])
    lock, installed = PEERS / "package-lock.json", PEERS / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], PEERS)


def commit():
    """The commit of the checkout, with "+" if something is not committed."""
    head = _output(["git", "rev-parse", "--short=12", "HEAD"])
    # The results themselves don't change what is measured.
    changed = _output(["git", "status", "--porcelain", "--", ".", ":!docs/benchmarks.*"])
    return head + ("+" if changed else "")


def _run(command, directory=REPOSITORY):
    try:
        subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failure(f"cannot prepare: {error}") from error


def _output(command):
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()
