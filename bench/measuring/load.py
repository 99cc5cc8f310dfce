"""The loads: the generator of streamgate, redis-benchmark, a race for one user, bare syncs."""

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from . import machine, servers, tools

#: `streamgate bench` found an answer that the limiter's rules forbid.
_EXIT_VIOLATION = 3


def generate(server, *options, mix, seconds, warmup=1, checked=True, tick=None, fill_seconds=120):
    """Runs `streamgate bench` against a server and returns the figures that are kept.

    `tick` is called every ten seconds while it runs, to show progress. `fill_seconds` is how long
    it may take besides warming up and measuring.
    """
    command = [tools.STREAMGATE, "bench", "--url", server.url, "--json", "--mix", mix]
    # A generator that sleeps has to be woken, at the price of whoever is slow enough to let it.
    command += ["--busy-poll", "--warmup", f"{warmup}s", "--duration", f"{int(seconds * 1000)}ms"]
    command += [part for pid in server.pids for part in ("--pid", pid)]
    command += [] if checked else ["--unchecked"]
    command += server.credentials
    command += options
    with subprocess.Popen(
        servers.pinned(servers.GENERATOR_CORE, command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = _finish(process, tick, seconds + warmup + fill_seconds)
        except BaseException:
            process.kill()
            raise
    if process.returncode not in (0, _EXIT_VIOLATION):
        log = server.log.read_text()[-2000:]
        raise tools.Failure(f"streamgate bench failed:\n{errors[-2000:]}\n{server.name} said:\n{log}")
    report = json.loads(out)
    kept = sample(report)
    if server.store_pids:
        # What is not the node is its store.
        of = {one["pid"]: one["cpuSeconds"] for one in report["server"]["processes"]}
        spent = sum(of[pid] for pid in server.store_pids)
        kept["storeMicrosPerRequest"] = spent * 1e6 / report["requests"]
    return kept


def _finish(process, tick, patience):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            return process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            if tick:
                tick()
    raise tools.Failure(f"streamgate bench did not end within {patience:.0f} s")


def generate_at_once(nodes, *options, mix, seconds):
    """One generator for each node, all at once, and the figures of all together."""
    with ThreadPoolExecutor(len(nodes)) as generators:
        runs = [generators.submit(generate, node, *options, mix=mix, seconds=seconds) for node in nodes]
        samples = [run.result() for run in runs]
    requests = sum(one["requests"] for one in samples)
    # Each of them has seen all that the one store spent.
    of_store = [one["storeMicrosPerRequest"] * one["requests"] for one in samples]
    spent = sum(one["cpuSeconds"] * 1e6 for one in samples) - sum(of_store) + max(of_store)
    return {
        "requests": requests,
        "requestsPerSecond": sum(one["requestsPerSecond"] for one in samples),
        "cpuMicrosPerRequest": spent / requests,
        "storeMicrosPerRequest": max(of_store) / requests,
        "failed": sum(one["failed"] for one in samples),
        "violations": sum(one["violations"] for one in samples),
    }


def sample(report):
    """What is kept of a report of `streamgate bench --json`."""
    operations = report["operations"]
    processes = report["server"]["processes"]
    return {
        "requests": report["requests"],
        "seconds": report["seconds"],
        "requestsPerSecond": report["requestsPerSecond"],
        "cpuMicrosPerRequest": report["server"]["cpuMicrosPerRequest"],
        "cpuSeconds": report["server"]["cpuSeconds"],
        "serverShare": report["server"]["cpuShare"],
        "generatorShare": report["generator"]["cpuShare"],
        "residentMiB": _mib(sum(one["residentBytes"] for one in processes)),
        "admitted": operations["start"]["admitted"],
        "renewed": operations["heartbeat"]["renewed"],
        "failed": report["transportErrors"] + report["statuses"].get("503", 0),
        "violations": report["model"]["violations"],
        **_quantiles("p", report["latencyMicros"], report["requests"]),
        **_quantiles("startP", operations["start"]["latencyMicros"], operations["start"]["requests"]),
    }


def _quantiles(prefix, latency, requests):
    if requests == 0:
        return {}
    return {f"{prefix}{digits}": latency[f"p{digits}"] for digits in ("50", "99", "999")}


def redis_benchmark(store, seconds):
    """Starts by the Lua semaphore alone, without Node: calls/s and CPU time per call."""
    script = (tools.PEERS / "semaphore.lua").read_text()
    call = [1, "streams:__rand_int__", "start", "__rand_int__", 90_000, 3]
    return _redis_script(store, seconds, script, call, "-r", 1_000_000)


def redis_ceiling(store, seconds, users):
    """streamgate's own script alone, sixteen calls at a time: what this Redis can do at most."""
    script = (tools.REPOSITORY / "crates/streamgate-store/src/redis/swap.lua").read_text()
    # A record of one stream has about 130 bytes, and is another one each time: Lua keeps what it
    # has seen, and would have the same again for nothing.
    record = "version!" + "__rand_int__" + "r" * 110
    call = [1, "streamgate:__rand_int__", "version!", record, 750_000, "version!"]
    return _redis_script(store, seconds, script, call, "-P", 16, "-r", users)


def _redis_script(store, seconds, script, call, *options):
    asked = ["redis-cli", "-p", str(store.port), "SCRIPT", "LOAD", script]
    digest = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # It counts calls, not seconds: a short run says how many make the time.
    _, rate = _redis_calls(store, digest, 20_000, call, options)
    before = machine.cpu_seconds(store.process.pid)
    calls, rate = _redis_calls(store, digest, max(20_000, int(rate * seconds)), call, options)
    spent = machine.cpu_seconds(store.process.pid) - before
    return {
        "requestsPerSecond": rate,
        "cpuMicrosPerRequest": spent * 1e6 / calls,
        "residentMiB": _mib(store.resident_bytes()),
    }


def _redis_calls(store, digest, calls, call, options):
    command = ["redis-benchmark", "-p", store.port, "-c", 64, "-n", calls, "--csv", *options]
    command += ["EVALSHA", digest, *call]
    pinned = servers.pinned(servers.GENERATOR_CORE, command)
    done = subprocess.run(pinned, capture_output=True, text=True, check=True)
    return calls, float(done.stdout.splitlines()[-1].split('","')[1].strip('"'))


def race(server, rounds=20, starts=50):
    """Starts of one user that are sent together: how many were admitted at most and at least."""
    admitted = [_race(server, f"race-{at:011}", starts) for at in range(rounds)]
    return {"admittedMost": max(admitted), "admittedLeast": min(admitted)}


def _race(server, user, starts):
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(starts)]
    with selectors.DefaultSelector() as answers:
        for at, connection in enumerate(sockets):
            connection.sendall(_start_request(user, at))
            answers.register(connection, selectors.EVENT_READ)
        statuses = []
        while len(statuses) < starts:
            ready = answers.select(timeout=30)
            if not ready:
                raise tools.Failure(f"{server.name} left {starts - len(statuses)} starts unanswered")
            for key, _ in ready:
                # The status stands in the first bytes; the rest of the answer is not needed.
                statuses.append(key.fileobj.recv(64).split(b" ", 2)[1])
                answers.unregister(key.fileobj)
    for connection in sockets:
        connection.close()
    return statuses.count(b"201")


def _start_request(user, device):
    body = json.dumps({"userId": user, "device": {"id": f"device-{device:09}"}})
    head = "POST /v1/streams HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def bare_syncs(directory, seconds, size=150):
    """Records appended and synced one at a time: the microseconds that each took."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(servers.SERVER_CORE)})
    file = os.open(directory / "bare", os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND, 0o600)
    record, took, began = bytes(size), [], time.perf_counter()
    try:
        while time.perf_counter() - began < seconds:
            before = time.perf_counter()
            os.write(file, record)
            os.fdatasync(file)
            took.append((time.perf_counter() - before) * 1e6)
    finally:
        os.close(file)
        os.unlink(directory / "bare")
        os.sched_setaffinity(0, cores)
    return took


def synced(took):
    """What is kept of bare syncs."""
    took = sorted(took)
    return {
        "requests": len(took),
        "requestsPerSecond": len(took) * 1e6 / sum(took),
        "p50": took[len(took) // 2],
        "p99": took[len(took) * 99 // 100],
        "p999": took[len(took) * 999 // 1000],
    }


def say(text, end="\n"):
    """Progress goes to stderr, so that stdout is the result."""
    print(text, end=end, file=sys.stderr, flush=True)


def _mib(size):
    return round(size / 2**20, 1)
