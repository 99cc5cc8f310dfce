"""The servers that are measured: started on core 0, in a directory of their own, ended by pid."""

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import machine, tools

SERVER_CORE, GENERATOR_CORE = "0", "1"
BOTH_CORES = f"{SERVER_CORE},{GENERATOR_CORE}"
_READY_SECONDS = 60
_STOP_SECONDS = 60


def pinned(core, command):
    """The command, on one core."""
    return ["taskset", "--cpu-list", core, *map(str, command)]


class Server:
    """A running server: one process that answers, and perhaps a store behind it."""

    def __init__(self, name, process, port, log):
        self.name = name
        self.process = process
        self.port = port
        self.log = log
        self.store_pids = []
        #: streamgate's data directory.
        self.data = None
        #: What the generator has to say of itself.
        self.credentials = []

    @property
    def url(self):
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pids(self):
        """Whose CPU time and memory count."""
        return [self.process.pid, *self.store_pids]

    def get(self, path):
        """Status and text of a GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def resident_bytes(self):
        """Resident memory of its processes."""
        return sum(map(machine.resident_bytes, self.pids))

    def pin(self):
        """Takes a server that was started on both cores to its own."""
        for pid in self.pids:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), {int(SERVER_CORE)})

    def kill(self):
        """kill -9: what a crash looks like."""
        self.process.kill()
        self.process.wait()


@contextmanager
def work_directory(parent):
    """A temporary directory on a real disk."""
    if machine.is_in_memory(parent):
        raise tools.Failure(f"{parent} is in memory; give a directory on a disk with --dir")
    with tempfile.TemporaryDirectory(prefix="streamgate-bench-", dir=parent) as directory:
        yield Path(directory)


@contextmanager
def streamgate(directory, data=None, ready_seconds=_READY_SECONDS, cores=SERVER_CORE, **settings):
    """streamgate as it is by default, over the embedded store; settings as STREAMGATE_… names."""
    environment = {f"STREAMGATE_{name}": str(value) for name, value in settings.items()}
    with _own(directory) as own:
        data = data or own / "data"
        command = [tools.STREAMGATE, "serve", "--store", "embedded", "--data-dir", data]
        with _started("streamgate", command, own, "--listen", environment, cores) as server:
            server.data = data
            _wait_until(lambda: server.get("/readyz")[0] == 200, server, ready_seconds)
            yield server


@contextmanager
def over_redis(directory, store):
    """A node of streamgate over a Redis that runs already, on the same core."""
    environment = {"STREAMGATE_LOCATOR_KEY": "00112233445566778899aabbccddeeff"}
    command = [tools.STREAMGATE, "serve", "--store", "redis"]
    command += ["--store-url", f"redis://127.0.0.1:{store.port}"]
    with (
        _own(directory) as own,
        _started("streamgate over Redis", command, own, "--listen", environment) as server,
    ):
        server.store_pids = store.pids
        _wait_until(lambda: server.get("/readyz")[0] == 200, server)
        yield server


@contextmanager
def asking(directory):
    """streamgate where callers are asked who they are; players bring their streams' tokens."""
    with _own(directory) as own:
        data, key = own / "data", own / "key"
        made = [tools.STREAMGATE, "keys", "new", "--name", "bench", "--scope", "play", "--json"]
        made = subprocess.run([*made, "--data-dir", data], capture_output=True, text=True, check=True)
        key.write_text(json.loads(made.stdout)["key"])
        with streamgate(directory, data=data, AUTH="required") as server:
            server.credentials = ["--key-file", str(key), "--tokens"]
            yield server


@contextmanager
def noop(directory):
    """The same stack and layers as streamgate's, with constant answers."""
    with _own(directory) as own, _started("no-op", [tools.NOOP], own, "--listen") as server:
        _wait_until(lambda: server.get("/"), server)
        yield server


@contextmanager
def node_memory(directory):
    """The seed's job over a Map in one Node process."""
    command = ["node", tools.PEERS / "node-memory.js"]
    with _own(directory) as own, _started("Node, Map", command, own) as server:
        _wait_until(lambda: server.get("/readyz"), server)
        yield server


@contextmanager
def node_redis(directory, *flavour):
    """Node over Redis, both on the server's core."""
    with _own(directory) as own, redis(directory) as store:
        command = ["node", tools.PEERS / "node-redis.js", "--redis-port", store.port, *flavour]
        with _started("Node + Redis", command, own) as server:
            server.store_pids = store.pids
            _wait_until(lambda: server.get("/readyz"), server)
            yield server


@contextmanager
def redis(directory):
    """Redis that writes nothing to the disk: its fastest."""
    command = ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _own(directory) as own, _started("Redis", [*command, "--dir", own], own) as server:
        _wait_until(lambda: _listens(server.port), server)
        yield server


@contextmanager
def _own(parent):
    with tempfile.TemporaryDirectory(dir=parent) as directory:
        yield Path(directory)


@contextmanager
def _started(name, command, directory, listen="--port", environment=None, cores=SERVER_CORE):
    port = _free_port()
    where = f"127.0.0.1:{port}" if listen == "--listen" else str(port)
    log = directory / "log"
    with ExitStack() as opened:
        out = opened.enter_context(log.open("w"))
        process = subprocess.Popen(
            pinned(cores, [*command, listen, where]),
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=_clean_environment() | (environment or {}),
            # Ctrl-C on the terminal is for this process, which then stops the others in order.
            start_new_session=True,
        )
        opened.callback(_stop, process)
        yield Server(name, process, port, log)


def _stop(process):
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until(is_ready, server, seconds=_READY_SECONDS):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if is_ready():
                return
        except (OSError, http.client.HTTPException):
            pass
        ended = server.process.poll() is not None
        if ended or deadline < time.monotonic():
            last = server.log.read_text()[-2000:]
            raise tools.Failure(f"{server.name} {'ended' if ended else 'is not ready'}:\n{last}")
        time.sleep(0.01)


def _listens(port):
    socket.create_connection(("127.0.0.1", port)).close()
    return True


def _clean_environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("STREAMGATE_")}


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
