#!/usr/bin/env python3
"""Makes the collection and the environment for Postman: every operation of openapi.json, and two
stories with assertions, the seed's contract and the limit.

    deploy/postman/make.py            writes both files beside this one
    deploy/postman/make.py --check    says whether they are what would be written

A request of the stories is its name, its method and path, its body, and what must be true of the
answer, in Postman's JavaScript; `body` is the answer's JSON, `save` keeps a value for later ones.
"""

import json
import sys
import uuid
from pathlib import Path

HERE = Path(__file__).parent
OPENAPI = HERE.parent.parent / "openapi.json"
COLLECTION = HERE / "streamgate.postman_collection.json"
ENVIRONMENT = HERE / "streamgate.postman_environment.json"
SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

#: Bodies for the operations, by the name of their schema.
BODIES = {
    "Start": {
        "userId": "{{user}}",
        "device": {"id": "tv-9", "name": "Living room TV", "type": "tv"},
        "contentId": "movie-1",
    },
    "Heartbeat": {"state": "paused"},
    "HeartbeatBatch": {"heartbeats": [{"streamId": "{{streamId}}"}]},
    "SeedRequest": {"userId": "{{user}}", "streamId": "{{streamId}}"},
}
#: Parameters that are sent; the others are there to be switched on.
PARAMETERS = {"streamId": "{{streamId}}", "userId": "{{user}}", "stage": "dev"}
REPORT = 'cid="movie-1",e=t,sid="{{streamId}}",sn=1,sta=p,ts=1795454453935,v=2'

#: Before every request: an API key, if there is one, and a user of this run's own.
BEFORE = """\
if (pm.environment.get("apiKey")) {
  pm.request.headers.upsert({key: "Authorization", value: "Bearer " + pm.environment.get("apiKey")});
}
if (!pm.collectionVariables.get("user")) {
  const run = pm.variables.replaceIn("{{$guid}}");
  pm.collectionVariables.set("user", run);
  pm.collectionVariables.set("seedUser", "seed-" + run);
}"""

ENVELOPE = 'pm.expect(body.statusCode).to.equal(pm.response.code); pm.expect(Object.keys(body)).to.have.members(["statusCode", "message"]);'
SEED_STARTED = f"""\
{ENVELOPE}
pm.expect(Object.keys(body.message)).to.have.members(["streamId", "userId"]);
pm.expect(body.message.userId).to.equal(save("seedUser"));
save("seedStream", body.message.streamId);"""


def seed_refused(error):
    said = json.dumps(error) if error else "body.message.error"
    return f"""\
pm.expect(body).to.deep.equal({{statusCode: pm.response.code, message: {{error: {said}}}}});
pm.expect(body.message.error).to.be.a("string").and.not.empty;"""


def device(name):
    return {"userId": "{{user}}", "device": {"id": name, "name": f"My {name}"}, "contentId": "movie-1"}


def admitted(name, active):
    return f"""\
pm.expect(body.userId).to.equal(save("user"));
pm.expect(body.active).to.equal({active});
pm.expect(body.limit).to.equal(3);
pm.expect(body.heartbeat.intervalSeconds).to.be.above(0);
pm.response.to.have.header("Location", "/v1/streams/" + body.streamId);
pm.response.to.have.header("RateLimit-Policy", '"streams";q=3');
pm.expect(body.cmcd.sid).to.equal(body.streamId);
save("{name}", body.streamId);
save("{name}Token", body.token);"""


PROBLEM = 'pm.expect(pm.response.headers.get("Content-Type")).to.include("application/problem+json");'

#: What is sent in turn, and what must come back: name, request, body, status, more.
STORIES = {
    "The seed's contract": [
        *[
            (f"Stream {n} starts", "POST /stream", {"userId": "{{seedUser}}"}, 201, SEED_STARTED)
            for n in (1, 2, 3)
        ],
        ("A fourth is refused", "POST /stream", {"userId": "{{seedUser}}"}, 403,
         seed_refused("Unable to start a new stream, maximum limit reached")),
        *[
            (f"A start with userId {json.dumps(user)} is refused", "POST /stream", {"userId": user}, 400,
             seed_refused("Request missing userId"))
            for user in ("", 0, None)
        ],
        ("A start without userId is refused", "POST /stream", {}, 400, seed_refused("Request missing userId")),
        ("A number is a user too, echoed as it came", "POST /stream", {"userId": 12345}, None,
         'pm.expect(pm.response.code).to.be.oneOf([201, 403]);\n'
         'if (pm.response.code === 201) { pm.expect(body.message.userId).to.equal(12345); save("numbered", body.message.streamId); }'),
        ("and its stream stops", "DELETE /stream", {"userId": 12345, "streamId": "{{numbered}}"}, None,
         "pm.expect(pm.response.code).to.be.oneOf([204, 404]);"),
        ("A stream stops", "DELETE /stream", {"userId": "{{seedUser}}", "streamId": "{{seedStream}}"}, 204,
         'pm.expect(pm.response.text()).to.equal("");'),
        ("It is not there any more", "DELETE /stream", {"userId": "{{seedUser}}", "streamId": "{{seedStream}}"},
         404, seed_refused(None)),
        ("Another's stream is not there", "DELETE /stream", {"userId": "{{user}}", "streamId": "{{seedStream}}"},
         404, seed_refused(None)),
        ("A stop without streamId finds nothing", "DELETE /stream", {"userId": "{{seedUser}}"}, 404,
         seed_refused(None)),
        ("A stop without userId finds nothing", "DELETE /stream", {"streamId": "{{seedStream}}"}, 404,
         seed_refused(None)),
        ("The place can be had again", "POST /stream", {"userId": "{{seedUser}}"}, 201, SEED_STARTED),
        ("Broken JSON is refused", "POST /stream", "{", 400, ENVELOPE),
    ],
    "The limit": [
        ("The TV starts", "POST /v1/streams", device("tv"), 201, admitted("tv", 1)),
        ("The phone starts", "POST /v1/streams", device("phone"), 201, admitted("phone", 2)),
        ("The tablet starts", "POST /v1/streams", device("tablet"), 201, admitted("tablet", 3)),
        ("The laptop is told who is watching", "POST /v1/streams", device("laptop"), 409, f"""\
{PROBLEM}
pm.expect(body.code).to.equal("stream-limit-reached");
pm.expect(body.holders.map((it) => it.device.name)).to.deep.equal(["My tv", "My phone", "My tablet"]);
pm.expect(Number(pm.response.headers.get("Retry-After"))).to.equal(body.retryAfterSeconds);"""),
        ("Would it be admitted?", "GET /v1/users/{{user}}/admission?deviceId=laptop", None, 200, ""),
        ("The viewer stops the TV for it", "POST /v1/streams", {**device("laptop"), "replace": ["{{tv}}"]}, 201, """\
pm.expect(body.replaced).to.deep.equal([save("tv")]);
save("laptop", body.streamId);
save("laptopToken", body.token);"""),
        ("The TV learns it", "POST /v1/streams/{{tv}}/heartbeat", None, 410, f"""\
{PROBLEM}
pm.expect(body.code).to.equal("stream-replaced");
pm.expect(body.by).to.equal(save("laptop"));"""),
        ("The laptop plays on", "POST /v1/streams/{{laptop}}/heartbeat", {"state": "paused"}, 200,
         'pm.expect(body.state).to.equal("live");'),
        ("A back end says so for two at once", "POST /v1/heartbeats",
         {"heartbeats": [{"streamId": "{{phone}}"}, {"streamId": "{{tv}}"}]}, 200,
         "pm.expect(body.results.map((it) => it.status)).to.deep.equal([200, 410]);"),
        ("A gateway asks for the laptop", "GET /v1/check?t={{laptopToken}}", None, 200, "", "no key"),
        ("Support sees who is watching", "GET /v1/users/{{user}}/streams", None, 200,
         'pm.expect(body.streams.map((it) => it.device.id)).to.have.members(["phone", "tablet", "laptop"]);'),
        ("The laptop stops", "DELETE /v1/streams/{{laptop}}", None, 204, ""),
        ("A retry of that is harmless", "DELETE /v1/streams/{{laptop}}", None, 204, ""),
        ("Its gateway closes", "GET /v1/check?t={{laptopToken}}", None, 403, PROBLEM, "no key"),
        ("Without a token a gateway lets nobody through", "GET /v1/check", None, 401, PROBLEM, "no key"),
        ("Support ends the others", "DELETE /v1/users/{{user}}/streams", None, 204, ""),
        ("Nobody is watching", "GET /v1/users/{{user}}/streams", None, 200,
         "pm.expect(body.streams).to.deep.equal([]);"),
    ],
}


def lines(text):
    return text.split("\n")


def event(listen, script):
    return {"listen": listen, "script": {"type": "text/javascript", "exec": lines(script)}}


def url(path, queries=()):
    """The parts that Postman wants beside the whole; `queries` are name, value, whether it is sent."""
    route, _, query = path.partition("?")
    given = [tuple(pair.split("=", 1)) + (True,) for pair in query.split("&") if pair]
    sent = "&".join(f"{name}={value}" for name, value, is_sent in [*given, *queries] if is_sent)
    parts = {
        "raw": "{{baseUrl}}" + route + (f"?{sent}" if sent else ""),
        "host": ["{{baseUrl}}"],
        "path": route.strip("/").split("/"),
    }
    query = [
        {"key": name, "value": value, **({} if is_sent else {"disabled": True})}
        for name, value, is_sent in [*given, *queries]
    ]
    return {**parts, "query": query} if query else parts


def body_of(body, media_type="application/json"):
    if body is None:
        return {}
    raw = body if isinstance(body, str) else json.dumps(body, indent=2)
    options = {"raw": {"language": "json" if media_type.endswith("json") else "text"}}
    return {"body": {"mode": "raw", "raw": raw, "options": options}}


def header_of(body, media_type="application/json"):
    return [] if body is None else [{"key": "Content-Type", "value": media_type}]


def told(name, request, body, status, more, credential=None):
    """One request of a story. With "no key" it is sent as a player does, whoever else has one."""
    method, path = request.split(" ")
    expected = f"pm.response.to.have.status({status});\n" if status else ""
    script = f"""\
const save = (name, value) => value === undefined ? pm.collectionVariables.get(name) : pm.collectionVariables.set(name, value);
const text = pm.response.text();
const body = text.startsWith("{{") ? pm.response.json() : undefined;
pm.test({json.dumps(name)}, () => {{
{expected}{more}
}});"""
    before = [event("prerequest", 'pm.request.headers.remove("Authorization");')] if credential else []
    return {
        "name": name,
        "event": [*before, event("test", script)],
        "request": {"method": method, "header": header_of(body), **body_of(body), "url": url(path)},
    }


def schema_name(schema):
    for one in [schema, *schema.get("oneOf", [])]:
        if "$ref" in one:
            return one["$ref"].rsplit("/", 1)[1]
    return None


def operation(method, path, described):
    """One operation as it is described: any answer that is documented is as it should be."""
    content = described.get("requestBody", {}).get("content", {})
    media_type, schema = next(iter(content.items()), (None, {}))
    body = None
    if media_type == "application/json":
        body = BODIES[schema_name(schema["schema"])]
    elif media_type:
        body = REPORT
    header = header_of(body, media_type)
    queries = []
    for parameter in described.get("parameters", []):
        name, place = parameter["name"], parameter["in"]
        if place == "path":
            path = path.replace("{%s}" % name, PARAMETERS[name])
        elif place == "query":
            queries.append((name, "", False))
        else:
            header.append({"key": name, "value": "", "disabled": True})
    statuses = json.dumps([int(status) for status in described["responses"]])
    script = f"""\
pm.test("The answer is one of those that are documented", () => {{
  pm.expect(pm.response.code).to.be.oneOf({statuses});
  if (400 <= pm.response.code && {json.dumps(path.startswith("/v1/"))}) {{
    pm.expect(pm.response.json().code).to.be.a("string");
  }}
}});
if (pm.response.code === 201 && pm.response.json().streamId) {{
  pm.collectionVariables.set("streamId", pm.response.json().streamId);
}}"""
    return {
        "name": described["summary"],
        "event": [event("test", script)],
        "request": {
            "method": method.upper(),
            "header": header,
            **body_of(body, media_type or ""),
            "url": url(path, queries),
            "description": described.get("description", ""),
        },
    }


def operations(document):
    """A folder for each tag. What answers for hours is for no tool that waits for the end."""
    folders = {}
    found = [
        (path, method, described)
        for path, item in document["paths"].items()
        for method, described in item.items()
        if method in ("get", "post", "delete")
    ]
    # A start first, so that the others have a stream, and last what ends one.
    found.sort(key=lambda it: (it[2]["operationId"] != "startStream", it[1] == "delete", "stop" in it[0]))
    for path, method, described in found:
        if any("text/event-stream" in it.get("content", {}) for it in described["responses"].values()):
            continue
        folder = folders.setdefault(described["tags"][0], [])
        folder.append(operation(method, path, described))
    about = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    return [
        {"name": f"API: {name}", "description": about[name], "item": items}
        for name, items in folders.items()
    ]


def collection(document):
    stories = [
        {"name": name, "item": [told(*step) for step in steps]} for name, steps in STORIES.items()
    ]
    return {
        "info": {
            "_postman_id": str(uuid.uuid5(uuid.NAMESPACE_URL, "streamgate/collection")),
            "name": "streamgate",
            "description": "Made by deploy/postman/make.py from openapi.json.",
            "schema": SCHEMA,
        },
        "event": [event("prerequest", BEFORE)],
        "variable": [{"key": "streamId", "value": "none"}],
        "item": [*stories, *operations(document)],
    }


def environment():
    values = [("baseUrl", "http://127.0.0.1:8080", "default"), ("apiKey", "", "secret")]
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "streamgate/environment")),
        "name": "streamgate, local",
        "values": [
            {"key": key, "value": value, "type": kind, "enabled": True} for key, value, kind in values
        ],
        "_postman_variable_scope": "environment",
    }


def main():
    made = {COLLECTION: collection(json.loads(OPENAPI.read_text())), ENVIRONMENT: environment()}
    stale = []
    for path, content in made.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"{', '.join(stale)}: run deploy/postman/make.py")


if __name__ == "__main__":
    main()
