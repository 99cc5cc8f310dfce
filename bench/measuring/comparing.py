"""What bench/compare measures, and the targets."""

from contextlib import ExitStack

from . import load, servers
from .figures import Target

_MIX_OPTIONS = ["--users", "1000000", "--zipf", "1", "--fill", "100000"]
_WITH_NOOP = {"streamgate": servers.streamgate, "no-op": servers.noop}
_PEERS = {"Node, Map": servers.node_memory, "Node + Redis": servers.node_redis}
_BARE = "bare append + fdatasync"

#: A core that is busy for less than this was not what limited the rate.
_SATURATED = 0.9


class Comparison:
    """The measurements of one round; each gives {subject: sample}."""

    def __init__(self, directory, seconds):
        self._directory = directory
        self._seconds = seconds
        #: Requests/s of streamgate under the mix, in the latest round.
        self._saturation = None

    def heartbeat(self):
        """Heartbeats alone, as fast as they are answered."""
        options = ["--users", "10000", "--fill", "10000"]
        return self._each(_WITH_NOOP | _PEERS, options, mix="0:1:0")

    def tokens(self):
        """Heartbeats that bring their stream's token, which is checked, beside ones that do not."""
        options = ["--users", "10000", "--fill", "10000"]
        subjects = {"streamgate": servers.streamgate, "streamgate, tokens": servers.asking}
        return self._each(subjects, options, mix="0:1:0")

    def mix(self):
        """Starts, heartbeats and stops over a million users, as fast as they are answered."""
        measured = self._each(_WITH_NOOP | _PEERS, _MIX_OPTIONS, mix="1:20:1")
        self._saturation = measured["streamgate"]["requestsPerSecond"]
        return measured

    def half_load(self):
        """The same at half that rate, evenly spaced; the disk alone before and after.

        The no-op at the same rate shows how much of p99 has nothing to do with a disk.
        """
        if self._saturation is None:
            measured = self._each({"streamgate": servers.streamgate}, _MIX_OPTIONS, mix="1:20:1")
            self._saturation = measured["streamgate"]["requestsPerSecond"]
        options = [*_MIX_OPTIONS, "--rate", str(int(self._saturation / 2))]
        took = load.bare_syncs(self._directory, self._seconds / 2)
        measured = self._each(_WITH_NOOP, options, mix="1:20:1")
        took += load.bare_syncs(self._directory, self._seconds / 2)
        measured[_BARE] = load.synced(took)
        _progress(_BARE, measured[_BARE])
        return measured

    def starts(self):
        """A live event's rush: nothing but starts, hardly two of the same user."""
        options = ["--users", "10000000", "--zipf", "0", "--fill", "0", "--connections", "256"]
        return self._each(_WITH_NOOP, options, mix="1:0:0")

    def batch(self):
        """A thousand heartbeats in each request."""
        options = ["--batch", "1000", "--connections", "4"]
        options += ["--users", "100000", "--zipf", "0", "--fill", "100000"]
        measured = self._each({"streamgate": servers.streamgate}, options, mix="0:1:0")
        sample = measured["streamgate"]
        sample["heartbeatsPerCpuSecond"] = sample["renewed"] / sample["cpuSeconds"]
        return measured

    def admission(self):
        """Starts and stops, hardly two of the same user; CPU time per start admitted, with its stop."""
        options = ["--users", "1000000", "--zipf", "0", "--fill", "1000"]
        # The no-op shows how much of it is HTTP, which no store can save.
        subjects = _WITH_NOOP | {"Node + Redis": servers.node_redis}
        measured = self._each(subjects, options, mix="1:0:1")
        for sample in measured.values():
            sample["cpuMicrosPerAdmission"] = sample["cpuSeconds"] * 1e6 / sample["admitted"]
        with servers.redis(self._directory) as store:
            measured["Redis alone"] = load.redis_benchmark(store, self._seconds)
        _progress("Redis alone", measured["Redis alone"])
        return measured

    def redis(self):
        """Heartbeats over Redis, and Redis with the same script alone, both for 10,000 users.

        Of what a node and its Redis spend, what Redis does is set beside its ceiling.
        """
        options, measured = ["--users", "10000", "--fill", "10000"], {}
        with servers.redis(self._directory) as store:
            with servers.over_redis(self._directory, store) as node:
                one = load.generate(node, *options, mix="0:1:0", seconds=self._seconds)
        measured["streamgate"] = one
        with servers.redis(self._directory) as store:
            measured["Redis, its script"] = load.redis_ceiling(store, self._seconds, 10_000)
        for name, sample in measured.items():
            _progress(name, sample)
        return measured

    def nodes(self):
        """The mix over Redis, on one node and on three, all on one core."""
        options, measured = ["--users", "100000", "--fill", "10000"], {}
        for count in (1, 3):
            with ExitStack() as running:
                store = running.enter_context(servers.redis(self._directory))
                over = [servers.over_redis(self._directory, store) for _ in range(count)]
                nodes = [running.enter_context(node) for node in over]
                sample = load.generate_at_once(nodes, *options, mix="1:20:1", seconds=self._seconds)
            measured["streamgate" if count == 1 else "streamgate, 3 nodes"] = sample
            _progress(f"{count} nodes", sample)
        return measured

    def exactness(self):
        """Fifty starts of one user at once, the limit being 3, in twenty rounds."""
        measured = {}
        for name, serve in {
            "streamgate": servers.streamgate,
            "Node + Redis": servers.node_redis,
            "Node + Redis, check-then-act": lambda where: servers.node_redis(where, "--check-then-act"),
        }.items():
            with serve(self._directory) as server:
                measured[name] = load.race(server)
            load.say(f"    {name:<28} {measured[name]['admittedMost']} admitted of 50, at most")
        return measured

    def _each(self, subjects, options, mix):
        measured = {}
        for name, serve in subjects.items():
            with serve(self._directory) as server:
                measured[name] = load.generate(
                    server, *options, mix=mix, seconds=self._seconds, checked=name != "no-op"
                )
            _progress(name, measured[name])
        return measured


#: In the order in which a round makes them: half-load needs the rate of mix.
MEASUREMENTS = {
    "heartbeat": Comparison.heartbeat,
    "tokens": Comparison.tokens,
    "mix": Comparison.mix,
    "half-load": Comparison.half_load,
    "starts": Comparison.starts,
    "batch": Comparison.batch,
    "admission": Comparison.admission,
    "redis": Comparison.redis,
    "nodes": Comparison.nodes,
    "exactness": Comparison.exactness,
}


def _beside(subject, figure):
    """streamgate's figure as a multiple of another's, in the same round."""
    return lambda one: one["streamgate"][figure] / one[subject][figure]


def _unsaturated(*subjects):
    """A core that was not busy did not limit the rate: a neighbour or the generator did."""

    def doubt(one):
        for subject in subjects:
            share = one[subject]["serverShare"]
            if share < _SATURATED:
                return f"the core of {subject} was only {share:.0%} busy"
        return None

    return doubt


TARGETS = [
    Target(
        "heartbeat-cpu",
        "heartbeat: CPU per request, streamgate ÷ no-op",
        "heartbeat",
        _beside("no-op", "cpuMicrosPerRequest"),
        at_most=1.3,
    ),
    Target(
        "heartbeat-rate",
        "heartbeat: requests/s at saturation, streamgate ÷ no-op",
        "heartbeat",
        _beside("no-op", "requestsPerSecond"),
        at_least=0.75,
        doubt=_unsaturated("streamgate", "no-op"),
    ),
    Target(
        "tokens-rate",
        "heartbeat with stream tokens checked: requests/s ÷ without",
        "tokens",
        lambda one: one["streamgate, tokens"]["requestsPerSecond"]
        / one["streamgate"]["requestsPerSecond"],
        at_least=0.9,
        doubt=_unsaturated("streamgate", "streamgate, tokens"),
    ),
    Target(
        "mix-cpu",
        "1:20:1 mix, durable: CPU per request, streamgate ÷ no-op",
        "mix",
        _beside("no-op", "cpuMicrosPerRequest"),
        at_most=1.5,
    ),
    Target(
        "half-load-start-p99",
        "1:20:1 mix at half load: p99 of starts ÷ p99 of a bare append + fdatasync",
        "half-load",
        lambda one: one["streamgate"]["startP99"] / one[_BARE]["p99"],
        at_most=3,
    ),
    Target(
        "starts-rate",
        "starts only, durable: requests/s at saturation, streamgate ÷ no-op",
        "starts",
        _beside("no-op", "requestsPerSecond"),
        at_least=0.4,
        # streamgate itself may wait for the disk.
        doubt=_unsaturated("no-op"),
    ),
    Target(
        "starts-p99",
        "starts only, durable: p99",
        "starts",
        lambda one: one["streamgate"]["startP99"] / 1000,
        at_most=20,
        unit="ms",
    ),
    Target(
        "batch-rate",
        "batches of 1,000: heartbeats/s on two cores (per CPU-second of the server, × 2)",
        "batch",
        lambda one: 2 * one["streamgate"]["heartbeatsPerCpuSecond"],
        at_least=1_000_000,
        unit="/s",
    ),
    Target(
        "admission-cpu",
        "CPU per admission with its store, streamgate ÷ Node + Redis (Lua)",
        "admission",
        _beside("Node + Redis", "cpuMicrosPerAdmission"),
        at_most=0.25,
    ),
    Target(
        "redis-efficiency",
        "heartbeats over Redis: per CPU second of Redis, ÷ its own pipelined ceiling",
        "redis",
        lambda one: one["Redis, its script"]["cpuMicrosPerRequest"]
        / one["streamgate"]["storeMicrosPerRequest"],
        at_least=0.5,
    ),
    Target(
        "nodes-cpu",
        "1:20:1 mix over Redis, 1 → 3 nodes: CPU per request, 3 nodes ÷ 1",
        "nodes",
        lambda one: one["streamgate, 3 nodes"]["cpuMicrosPerRequest"]
        / one["streamgate"]["cpuMicrosPerRequest"],
        at_most=1.3,
    ),
    Target(
        "exactness",
        "50 starts of one user at once, limit 3: admitted at most",
        "exactness",
        lambda one: one["streamgate"]["admittedMost"],
        at_most=3,
        unit="streams",
    ),
    Target(
        "exactness-peer",
        "the same on Node + Redis with check-then-act: admitted at most (to show that it is not)",
        "exactness",
        lambda one: one["Node + Redis, check-then-act"]["admittedMost"],
        at_least=4,
        unit="streams",
    ),
]


def compare(names, rounds, seconds, parent):
    """Runs the named measurements in turn, as often as there are rounds: {name: rounds}."""
    measured = {name: [] for name in names}
    with servers.work_directory(parent) as directory:
        comparison = Comparison(directory, seconds)
        for at in range(1, rounds + 1):
            for name in names:
                load.say(f"round {at} of {rounds}: {name}")
                measured[name].append(MEASUREMENTS[name](comparison))
    return measured


def _progress(name, sample):
    cpu = sample.get("cpuMicrosPerRequest")
    spent = "" if cpu is None else f"  {cpu:6.2f} µs CPU/request"
    load.say(f"    {name:<28} {sample['requestsPerSecond']:>9,.0f}/s{spent}")


def violations(measured):
    """How many answers of streamgate its own rules forbid, by the generator's model."""
    return sum(
        one.get("streamgate", {}).get("violations", 0)
        for rounds in measured.values()
        for one in rounds
    )
