/** How a stream ended is told at once where the server can tell it. */

import { expect, test } from 'vitest';
import { scene } from '../support/scene.js';
import { INTERVAL_SECONDS } from '../support/server.js';
import { until } from '../support/until.js';

const it = scene({ STREAMGATE_LIMIT: '1' });

test('a viewer whose place is taken over is told long before its next heartbeat', async () => {
  const userId = it.user();
  const first = await it.open(await it.viewer(), { userId });
  const isListening = first.page.waitForResponse(/\/events\?/);
  await first.play();
  expect((await isListening).status()).toBe(200);
  await first.reaches('live');
  const since = Date.now();
  const second = await it.open(await it.viewer(), { userId });
  await second.page.evaluate(`handle.takeOver('${await first.streamId()}')`);
  await first.reaches('stopped');
  expect(Date.now() - since).toBeLessThan((INTERVAL_SECONDS * 1000) / 2);
  await until('it is paused', () => first.isPaused());
  const stopped = (await first.told()).find((it) => it.name === 'stopped')?.what;
  expect(stopped).toEqual({ code: 'stream-replaced', by: await second.streamId() });
});

test('a server that has no news is not asked for them again', async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId });
  let asked = 0;
  let beats = 0;
  await player.page.route('**/events?*', (route) => {
    asked++;
    return route.fulfill({ status: 404, headers: { 'Access-Control-Allow-Origin': it.pages.origin } });
  });
  player.page.on('request', (request) => (beats += Number(request.url().includes('/heartbeat?'))));
  await player.play();
  await player.reaches('live');
  await until('three heartbeats', () => beats === 3);
  expect(asked).toBe(1);
});

test('who wants no news asks for none', async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId, events: false });
  const urls: string[] = [];
  player.page.on('request', (request) => urls.push(request.url()));
  await player.play();
  await player.reaches('live');
  await until('a heartbeat', () => urls.some((it) => it.includes('/heartbeat?')));
  expect(urls.filter((it) => it.includes('/events'))).toEqual([]);
});

test('news are listened for again after a restart of the server', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  await it.server.kill();
  await it.server.start();
  const isListening = player.page.waitForResponse((it) => it.url().includes('/events?') && it.ok());
  await isListening;
  await it.server.evict(userId, (await player.streamId())!);
  await player.reaches('stopped');
});
