// A limiter over a Map in one process: what the seed does, without its races. It is correct as
// long as there is one process, and forgets everything when that ends.
//
//   node node-memory.js --port 8080

import { randomUUID } from "node:crypto";
import { LEASE_MS, LIMIT, serve } from "./http.js";

/// user -> (stream id -> when its lease ends)
const users = new Map();
/// stream id -> user
const owners = new Map();

function live(user, now) {
  const streams = users.get(user) ?? new Map();
  for (const [id, expiresAt] of streams) {
    if (expiresAt <= now) forget(user, streams, id);
  }
  return streams;
}

function forget(user, streams, id) {
  streams.delete(id);
  owners.delete(id);
  if (streams.size === 0) users.delete(user);
}

serve({
  start(user, { device, contentId }) {
    const now = Date.now();
    const streams = live(user, now);
    if (LIMIT <= streams.size) return null;
    const id = randomUUID();
    streams.set(id, now + LEASE_MS);
    users.set(user, streams);
    owners.set(id, { user, device, contentId });
    return { id, active: streams.size };
  },

  heartbeat(id) {
    const owner = owners.get(id);
    if (owner === undefined) return null;
    const now = Date.now();
    const streams = live(owner.user, now);
    if (!streams.has(id)) return null;
    streams.set(id, now + LEASE_MS);
    return { user: owner.user, active: streams.size };
  },

  stop(id) {
    const owner = owners.get(id);
    if (owner !== undefined) forget(owner.user, users.get(owner.user), id);
  },
});
