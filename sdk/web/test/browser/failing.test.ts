/** A failure of ours or of the network is not the viewer's. */

import { expect, test } from 'vitest';
import { scene } from '../support/scene.js';
import { LEASE_SECONDS } from '../support/server.js';
import { measured } from '../support/table.js';
import { until } from '../support/until.js';

const it = scene();

test('who is offline plays on, and has the place again when the network is back', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const player = await it.playing(viewer, { userId });
  const before = await player.streamId();
  await viewer.setOffline(true);
  await player.reaches('retrying');
  await it.has(userId, 0, (LEASE_SECONDS + 5) * 1000);
  expect(await player.isPaused()).toBe(false);
  const since = Date.now();
  await viewer.setOffline(false);
  await it.has(userId, 1, 3_000);
  measured('back online after the lease was over: seconds until the place is taken again', since);
  await player.reaches('live');
  expect(await player.streamId()).toBe(before);
});

test('a crash of the server throws nobody out', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  const before = await player.streamId();
  await it.server.kill();
  await player.reaches('retrying');
  expect(await player.isPaused()).toBe(false);
  await it.server.start();
  await player.reaches('live');
  expect(await player.isPaused()).toBe(false);
  expect(await player.streamId()).toBe(before);
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([before]);
  expect((await player.told()).filter((it) => ['denied', 'stopped'].includes(it.name))).toEqual([]);
});

test('who starts while the server is away plays, and gets the place afterwards', async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId });
  await it.server.kill();
  await player.play();
  await player.reaches('retrying');
  expect(await player.isPaused()).toBe(false);
  expect((await player.told()).find((it) => it.name === 'error')?.what).toEqual({ status: 0 });
  await it.server.start();
  await player.reaches('live');
  expect(await player.isPaused()).toBe(false);
  await it.has(userId, 1);
});

test('a strict player stops when its lease is over and nobody answers', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const player = await it.playing(viewer, { userId, strict: true });
  const endsAt = await player.page.evaluate('handle.leaseEndsAt') as number;
  await viewer.setOffline(true);
  await player.reaches('stopped');
  expect(Date.now()).toBeGreaterThanOrEqual(endsAt);
  expect(Date.now()).toBeLessThan(endsAt + 5_000);
  await until('it is paused', () => player.isPaused());
  expect((await player.told()).find((it) => it.name === 'stopped')?.what).toEqual({ code: 'unreachable' });
});

test('a stream of which the server knows nothing any more starts again', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  const before = await player.streamId();
  let isOnce = true;
  await player.page.route('**/heartbeat?*', (route) => {
    if (!isOnce) return route.continue();
    isOnce = false;
    const headers = { 'Access-Control-Allow-Origin': it.pages.origin };
    return route.fulfill({ status: 404, headers, json: { code: 'stream-unknown' } });
  });
  await until('it has another stream', async () => (await player.streamId()) !== before);
  await player.reaches('live');
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([await player.streamId()]);
});
