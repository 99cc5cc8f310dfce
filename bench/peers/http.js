// streamgate's three calls over node:http, so that one load generator drives every peer.
// A peer brings start, heartbeat and stop; all may answer now or by a promise.

import { createServer } from "node:http";

export const LIMIT = 3;
export const LEASE_MS = 90_000;
const INTERVAL_SECONDS = 20;

const STREAMS = "/v1/streams";
const HEARTBEAT = "/heartbeat";

/// The value of `--name VALUE`, or what else it is.
export function option(name, otherwise) {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
}

/// Serves on `--port`, on loopback.
///
/// start(user, body) gives {id, active} or, at the limit, null;
/// heartbeat(id) gives {user, active} or null if there is no such stream; stop(id) gives nothing.
export function serve({ start, heartbeat, stop }) {
  const server = createServer(async (request, response) => {
    try {
      await route(request, response);
    } catch (error) {
      answer(response, 500, { detail: String(error) });
    }
  });
  // A connection must not be closed between two measurements.
  server.keepAliveTimeout = 600_000;
  server.listen(Number(option("port", 8080)), "127.0.0.1");
  process.on("SIGTERM", () => process.exit(0));

  async function route(request, response) {
    const { method, url } = request;
    if (method === "POST" && url === STREAMS) {
      const body = JSON.parse(await text(request));
      if (typeof body.userId !== "string") return answer(response, 400, { field: "userId" });
      const started = await start(body.userId, body);
      if (started === null) {
        return answer(response, 409, { code: "stream-limit-reached", limit: LIMIT });
      }
      return answer(response, 201, view(started.id, body.userId, started.active));
    }
    if (method === "POST" && url.startsWith(STREAMS) && url.endsWith(HEARTBEAT)) {
      const id = url.slice(STREAMS.length + 1, -HEARTBEAT.length);
      const renewed = await heartbeat(id);
      if (renewed === null) return answer(response, 404, { code: "stream-unknown" });
      return answer(response, 200, view(id, renewed.user, renewed.active));
    }
    if (method === "DELETE" && url.startsWith(`${STREAMS}/`)) {
      await stop(url.slice(STREAMS.length + 1));
      response.writeHead(204);
      return response.end();
    }
    return answer(response, method === "GET" && url === "/readyz" ? 200 : 404, {});
  }
}

function view(streamId, userId, active) {
  const now = Date.now();
  return {
    streamId,
    userId,
    state: "live",
    startedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + LEASE_MS).toISOString(),
    limit: LIMIT,
    active,
    resumed: false,
    heartbeat: { intervalSeconds: INTERVAL_SECONDS, leaseSeconds: LEASE_MS / 1000 },
    replaced: [],
  };
}

function text(request) {
  return new Promise((resolve, reject) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => resolve(body));
    request.on("error", reject);
  });
}

function answer(response, status, body) {
  const json = JSON.stringify(body);
  response.writeHead(status, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(json),
  });
  response.end(json);
}
