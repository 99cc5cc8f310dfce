"""What bench/scale measures with millions of live streams, and the targets."""

import time

from . import load, machine, servers
from .figures import Target

_SMALL, _MIDDLE = 1_000, 1_000_000
#: Longer than any of this takes: nothing expires unless it is meant to.
_LONG_LEASE = 86_400

#: A restored lease runs its own full term from the restart, so all end together: the worst sweep
#: there can be. The term has to outlast the fill, at this many starts/s, and the loads.
_SWEPT_FILL_RATE, _SWEPT_LOADS_SECONDS = 16_000, 60
_QUIET_SECONDS, _SWEEP_SECONDS, _WARMUP_SECONDS = 20, 30, 2
#: Requests/s during the sweep and before it: well below saturation, as a node should run.
_SWEEP_RATE = 5_000
_RESTART_SECONDS_MAX = 900
#: Starts/s that a fill reaches at least; slower is taken for hung.
_FILL_RATE_MIN = 2_000

#: Churn: so many live streams, for so long. In the first third each record gets all the endings
#: that are remembered (64), so that what is kept does not grow any more; then it is measured.
_CHURN_STREAMS, _CHURN_SECONDS = 5_000, 180


class Scale:
    """The measurements; each gives {subject: sample}."""

    def __init__(self, directory, streams, seconds):
        self._directory = directory
        self._streams = streams
        self._seconds = seconds
        #: The lease, in seconds, of those that are swept after the restart.
        self._swept_lease = _SWEPT_LOADS_SECONDS + streams // _SWEPT_FILL_RATE
        #: How many of them ended before the crash already.
        self._ended_early = 0
        #: What the server logged while it started over the largest directory.
        self.restart_log = []

    def heartbeat(self):
        """Heartbeats, each stream as often, with so many live; then kill -9 and the restart."""
        return self._by_size("0:1:0", after_largest=self._crash)

    def mix(self):
        """The 1 start : 20 heartbeats : 1 stop mix, each user as often, with so many live."""
        return self._by_size("1:20:1")

    def restart(self):
        """After kill -9, on both cores, the files not in the page cache; then all leases end at once.

        `quiet` and `sweep` are the same load, 1:20:1 at 5,000 requests/s, before and while the
        leases end.
        """
        data = self._directory / "largest"
        if not data.exists():
            self._by_size("0:1:0", after_largest=self._crash)
        machine.forget_cached_pages(data)
        began = time.monotonic()
        lease = _lease(self._swept_lease)
        with servers.streamgate(
            self._directory,
            data=data,
            ready_seconds=_RESTART_SECONDS_MAX,
            # Nothing else is to do until it is ready.
            cores=servers.BOTH_CORES,
            **lease,
        ) as server:
            ready = time.monotonic()
            server.pin()
            lines = server.log.read_text().splitlines()
            self.restart_log = [line for line in lines if line.startswith("{")]
            measured = {"restart": {"readySeconds": ready - began} | self._footprint(server)}
            load.say(f"    ready after {ready - began:.1f} s")
            measured["quiet"] = self._gentle_load(server, _QUIET_SECONDS)
            load.say(f"    all leases end {self._swept_lease} s after the restart; waiting")
            ends = ready + self._swept_lease - 2 * _WARMUP_SECONDS
            time.sleep(max(0, ends - time.monotonic()))
            before = _expired(server)
            measured["sweep"] = self._gentle_load(server, _SWEEP_SECONDS)
            swept = _expired(server)
            time.sleep(1)
            measured["sweep"]["swept"] = swept - before
            measured["sweep"]["isSweeping"] = swept < _expired(server)
            measured["sweep"]["endedEarly"] = self._ended_early
            load.say(f"    {measured['sweep']['swept']:,} leases ended meanwhile")
        return measured

    def churn(self):
        """The data directory while streams come and go and what is kept does not grow.

        A busy day has 20 starts for a stream that is live at its peak; here it is hundreds.
        """
        live = min(self._streams, _CHURN_STREAMS)
        began, sizes = time.monotonic(), []
        with servers.streamgate(self._directory, **_lease(_LONG_LEASE)) as server:

            def look():
                size = machine.directory_bytes(server.data)
                load.say(f"    directory {_mib(size)} MiB")
                if _CHURN_SECONDS / 3 < time.monotonic() - began:
                    sizes.append(size)

            options = ["--users", str(live), "--zipf", "0", "--fill", str(live)]
            churned = load.generate(
                server, *options, mix="1:0:1", seconds=_CHURN_SECONDS, tick=look
            )
            look()
        sample = {
            "changes": churned["requests"],
            "changesPerStream": churned["requests"] / live,
            "directoryBeforeMiB": _mib(sizes[0]),
            "directoryMostMiB": _mib(max(sizes)),
            "directoryMiB": _mib(sizes[-1]),
        }
        return {f"{live:,} live": sample}

    def _by_size(self, mix, after_largest=None):
        sizes = sorted({_SMALL, min(_MIDDLE, self._streams), self._streams})
        measured = {}
        for size in sizes:
            if size == sizes[-1] and after_largest:
                lease, data = self._swept_lease, self._directory / "largest"
                measured[_name(size)] = self._measure(size, mix, lease, data, after_largest)
            else:
                measured[_name(size)] = self._measure(size, mix)
        # Once more, to tell the size's effect from the machine's mood.
        measured["small again"] = self._measure(_SMALL, mix)
        return measured

    def _measure(self, size, mix, lease=_LONG_LEASE, data=None, after=None):
        options = ["--users", str(size), "--zipf", "0", "--fill", str(size)]
        with servers.streamgate(self._directory, data=data, **_lease(lease)) as server:
            empty = server.resident_bytes()
            sample = load.generate(
                server,
                *options,
                mix=mix,
                seconds=self._seconds,
                tick=_show_growth(server, size),
                fill_seconds=60 + size / _FILL_RATE_MIN,
            )
            sample |= self._footprint(server, size)
            sample["bytesPerStreamNet"] = (server.resident_bytes() - empty) / size
            if after:
                after(server)
        cpu, rate = sample["cpuMicrosPerRequest"], sample["requestsPerSecond"]
        load.say(f"    {size:>12,} streams {rate:>9,.0f}/s  {cpu:6.2f} µs CPU/request")
        return sample

    def _footprint(self, server, size=None):
        size, resident = size or self._streams, server.resident_bytes()
        return {
            "streams": size,
            "residentMiB": _mib(resident),
            "bytesPerStream": resident / size,
            "directoryMiB": _mib(machine.directory_bytes(server.data)),
        }

    def _crash(self, server):
        self._ended_early = _expired(server)
        server.kill()

    def _gentle_load(self, server, seconds):
        # The generator does not know the streams that were there before: no model.
        sample = load.generate(
            server,
            *["--users", str(self._streams), "--zipf", "0", "--rate", str(_SWEEP_RATE)],
            mix="1:20:1",
            seconds=seconds,
            warmup=_WARMUP_SECONDS,
            checked=False,
        )
        load.say(f"    p99.9 {sample['p999'] / 1000:.2f} ms")
        return sample


#: In the order in which they are made: restart goes on where heartbeat ended.
MEASUREMENTS = {
    "heartbeat": Scale.heartbeat,
    "restart": Scale.restart,
    "mix": Scale.mix,
    "churn": Scale.churn,
}


def _flat(one):
    """The dearest size as a multiple of the small one, which is measured first and last."""
    cpu = {name: sample["cpuMicrosPerRequest"] for name, sample in one.items()}
    small = (cpu.pop(_name(_SMALL)) + cpu.pop("small again")) / 2
    return max(cpu.values(), default=small) / small


def _unswept(sweep, streams):
    """The sweep must have been at work all the time, or have ended most of the streams."""
    if not sweep["isSweeping"] and sweep["swept"] < 0.95 * streams:
        early = sweep["endedEarly"]
        return f"only {sweep['swept']:,} leases ended meanwhile, {early:,} during the fill"
    return None


def targets(streams):
    """The targets, with so many streams in their words."""
    many = f"{streams:,} live streams"
    return [
        Target(
            "memory",
            f"resident bytes per stream, {many} (all of the process)",
            "heartbeat",
            lambda one: one[_name(streams)]["bytesPerStream"],
            at_most=200,
            unit="B",
        ),
        Target(
            "flat-heartbeat",
            f"heartbeat: CPU per request from 1,000 to {many}, dearest ÷ at 1,000",
            "heartbeat",
            _flat,
            at_most=1.15,
        ),
        Target(
            "flat-mix",
            f"1:20:1 mix: CPU per request from 1,000 to {many}, dearest ÷ at 1,000",
            "mix",
            _flat,
            at_most=1.15,
        ),
        Target(
            "restart",
            f"restart after kill -9 with {many}, until /readyz is 200",
            "restart",
            lambda one: one["restart"]["readySeconds"],
            at_most=15,
            unit="s",
        ),
        Target(
            "sweep",
            f"p99.9 while {many} expire, less p99.9 before",
            "restart",
            lambda one: (one["sweep"]["p999"] - one["quiet"]["p999"]) / 1000,
            at_most=5,
            unit="ms",
            doubt=lambda one: _unswept(one["sweep"], streams),
        ),
        Target(
            "churn",
            "data directory under churn, largest ÷ before",
            "churn",
            lambda one: max(each["directoryMostMiB"] / each["directoryBeforeMiB"] for each in one.values()),
            at_most=2,
        ),
    ]


def scale(names, streams, seconds, parent):
    """Runs the named measurements once: ({name: [round]}, log lines of the restart)."""
    measured = {}
    with servers.work_directory(parent) as directory:
        scaled = Scale(directory, streams, seconds)
        for name in names:
            load.say(name)
            measured[name] = [MEASUREMENTS[name](scaled)]
    return measured, scaled.restart_log


def _lease(seconds):
    return {"HEARTBEAT_LEASE_SECONDS": seconds}


def _name(size):
    return f"{size:,} streams"


def _expired(server):
    _, text = server.get("/metrics")
    lines = [line for line in text.splitlines() if 'streams_ended_total{cause="expired"}' in line]
    return int(lines[0].split()[-1]) if lines else 0


def _show_growth(server, size):
    began = time.monotonic()

    def show():
        seconds, resident = time.monotonic() - began, server.resident_bytes()
        load.say(f"    {size:>12,} streams: {seconds:4.0f} s, server has {_mib(resident):,.0f} MiB")

    return show


def _mib(size):
    return round(size / 2**20, 1)
