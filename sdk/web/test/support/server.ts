/** The real `streamgate`, with short leases, on a port of its own. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Holder } from '../../src/types.js';
import { type Platform, platform } from './platform.js';
import { until } from './until.js';

const REPOSITORY = fileURLToPath(new URL('../../../../', import.meta.url));
export const BINARY = resolve(REPOSITORY, process.env.CARGO_TARGET_DIR ?? 'target', 'debug/streamgate');

/** As short as the service allows. */
export const INTERVAL_SECONDS = 5;
export const LEASE_SECONDS = 10;

export interface Server {
  url: string;
  /** Who signs its viewers' tokens, where the service asks who calls. */
  platform: Platform;
  /** Who is watching, as support staff sees it. */
  streams: (userId: string) => Promise<Holder[]>;
  /** A device that no page plays on; the answer is its stream's id, or the refusal. */
  play: (userId: string, device: string) => Promise<{ status: number; streamId?: string }>;
  /** Says what every device says that still plays. */
  evict: (userId: string, streamId: string) => Promise<void>;
  /** What an API call is answered with. */
  call: (method: string, path: string, body?: unknown, token?: string) => Promise<{ status: number; body: any }>;
  start: () => Promise<void>;
  /** As a power failure would: nothing is flushed, nobody is told. */
  kill: () => Promise<void>;
  /** Ends it for good and removes what it kept. */
  end: () => Promise<void>;
}

/** A port that nobody listens on. */
export const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (!address || typeof address === 'string') throw new Error('no port');
  return address.port;
};

/**
 * Not yet started. `settings` are those of the configuration, as the environment names them;
 * `asksWhoCalls`: it takes the tokens of a platform, and of nobody else.
 */
export const server = async (
  settings: Record<string, string> = {},
  { asksWhoCalls = false } = {},
): Promise<Server> => {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const home = mkdtempSync(join(tmpdir(), 'streamgate-players-'));
  const issuer = platform(home);
  let child: ChildProcess | undefined;

  const call: Server['call'] = async (method, path, body, token) => {
    const headers: Record<string, string> = { 'Content-Type': 'application/json' };
    if (token) headers.Authorization = `Bearer ${token}`;
    const init: RequestInit = { method, headers };
    if (body !== undefined) init.body = JSON.stringify(body);
    const answer = await fetch(url + path, init);
    const text = await answer.text();
    return { status: answer.status, body: text ? JSON.parse(text) : undefined };
  };
  const kill = async () => {
    const ended = child;
    child = undefined;
    if (!ended || ended.exitCode !== null) return;
    ended.kill('SIGKILL');
    await once(ended, 'exit');
  };
  return {
    url,
    platform: issuer,
    call,
    kill,
    async start() {
      const started = spawn(BINARY, ['serve'], {
        env: {
          PATH: process.env.PATH,
          STREAMGATE_LISTEN: `127.0.0.1:${port}`,
          STREAMGATE_DATA_DIR: home,
          STREAMGATE_HEARTBEAT_INTERVAL_SECONDS: `${INTERVAL_SECONDS}`,
          STREAMGATE_HEARTBEAT_LEASE_SECONDS: `${LEASE_SECONDS}`,
          STREAMGATE_LOG_LEVEL: 'warn',
          ...(asksWhoCalls && issuer.settings),
          ...settings,
        },
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      await once(started, 'spawn');
      child = started;
      await until(`${BINARY} is ready`, async () => {
        if (started.exitCode !== null) throw new Error(`${BINARY} ended with ${started.exitCode}`);
        return fetch(`${url}/readyz`).then((answer) => answer.ok, () => false);
      });
    },
    async end() {
      await kill();
      rmSync(home, { recursive: true, force: true });
    },
    async streams(userId) {
      const token = asksWhoCalls ? issuer.token(userId) : undefined;
      const { status, body } = await call('GET', `/v1/users/${userId}/streams`, undefined, token);
      if (status !== 200) throw new Error(`the streams of ${userId}: ${status} ${JSON.stringify(body)}`);
      return body.streams;
    },
    async play(userId, device) {
      const start = { userId, device: { id: device, name: device } };
      const { status, body } = await call('POST', '/v1/streams', start);
      return { status, streamId: body.streamId };
    },
    async evict(userId, streamId) {
      await call('DELETE', `/v1/users/${userId}/streams/${streamId}`);
    },
  };
};
