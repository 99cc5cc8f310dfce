// A limiter over Redis. By default one Lua script decides (semaphore.lua), which is exact;
// --check-then-act counts first and adds afterwards, as is often written, which is not.
//
//   node node-redis.js --port 8080 --redis-port 6379 [--check-then-act]

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createClient } from "@redis/client";
import { LEASE_MS, LIMIT, option, serve } from "./http.js";

const redis = createClient({ socket: { host: "127.0.0.1", port: Number(option("redis-port", 6379)) } });
await redis.connect();
const semaphore = await redis.scriptLoad(
  readFileSync(new URL("semaphore.lua", import.meta.url), "utf8"),
);

/// The user's part of a stream id, 16 hex digits, so that an id alone finds its set.
function locator(user) {
  let [high, low] = [0x811c9dc5, 0x01000193];
  for (let at = 0; at < user.length; at++) {
    high = Math.imul(high ^ user.charCodeAt(at), 0x01000193) >>> 0;
    low = Math.imul(low ^ high, 0x85ebca6b) >>> 0;
  }
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

/// A UUID that begins with the locator of its user.
function mint(user) {
  const [at, random] = [locator(user), randomUUID()];
  return `${at.slice(0, 8)}-${at.slice(8, 12)}-${at.slice(12)}${random.slice(18)}`;
}

const setOf = (id) => `streams:${id.slice(0, 18)}`;

function decide(operation, id) {
  return redis.evalSha(semaphore, {
    keys: [setOf(id)],
    arguments: [operation, id, String(LEASE_MS), String(LIMIT)],
  });
}

async function startAtomically(id) {
  return decide("start", id);
}

/// Between the count and the add, others count too.
async function startByCheckThenAct(id) {
  const [set, now] = [setOf(id), Date.now()];
  await redis.zRemRangeByScore(set, "-inf", now);
  const active = await redis.zCard(set);
  if (LIMIT <= active) return -1;
  await redis.zAdd(set, { score: now + LEASE_MS, value: id });
  await redis.pExpire(set, LEASE_MS);
  return active + 1;
}

const admit = process.argv.includes("--check-then-act") ? startByCheckThenAct : startAtomically;

serve({
  async start(user) {
    const id = mint(user);
    const active = await admit(id);
    return active < 0 ? null : { id, active };
  },

  async heartbeat(id) {
    const active = await decide("heartbeat", id);
    return active < 0 ? null : { user: id.slice(0, 18), active };
  },

  async stop(id) {
    await decide("stop", id);
  },
});
