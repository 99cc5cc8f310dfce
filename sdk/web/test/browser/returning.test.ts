/** Whoever comes back has its own place again, and never two. */

import { expect, test } from 'vitest';
import { scene } from '../support/scene.js';
import { until } from '../support/until.js';
import { player as playerOf } from '../support/browser.js';

// Whoever takes a second place is refused.
const it = scene({ STREAMGATE_LIMIT: '1' });

test('a reloaded page has its place again', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  const before = await player.streamId();
  for (let round = 0; round < 5; round++) {
    await player.page.reload();
    await player.play();
    await player.reaches('live');
  }
  expect(await player.streamId()).not.toBe(before);
  expect((await player.told()).filter((it) => it.name === 'denied')).toEqual([]);
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([await player.streamId()]);
});

test('a reloaded page has its place again although its goodbye was lost', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const player = await it.playing(viewer, { userId });
  await player.page.evaluate(`window.fetch = () => new Promise(() => {})`);
  const lost = await player.streamId();
  await viewer.route('**/stop?*', (route) => route.abort());
  await player.page.reload();
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([lost]);
  await player.play();
  await player.reaches('live');
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([await player.streamId()]);
});

test('a page that comes out of the back/forward cache has its place again', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  const before = await player.streamId();
  await player.page.goto(it.pages.origin + '/elsewhere');
  await it.has(userId, 0);
  await player.page.goBack({ waitUntil: 'commit' });
  expect(await player.page.evaluate('restored')).toBe(true);
  await player.reaches('live');
  const [stream, ...others] = await it.server.streams(userId);
  expect(others).toEqual([]);
  expect(stream?.streamId).toBe(await player.streamId());
  expect(stream?.streamId).not.toBe(before);
});

test('a frozen page gives its place back and has it again when it thaws', async () => {
  const userId = it.user();
  const tab = await it.hidden({ userId }, 'video.pause()');
  await tab.send('Page.setWebLifecycleState', { state: 'frozen' });
  await it.has(userId, 0, 4_000);
  await tab.send('Page.setWebLifecycleState', { state: 'active' });
  await it.has(userId, 1);
  // The answer comes a little later than the server has it.
  await until('it knows', async () => (await tab.evaluate('handle.state')) === 'live');
});

test('a duplicated tab does not take the place of its original', async () => {
  const userId = it.user();
  const original = await it.playing(await it.viewer(), { userId });
  const opened = original.page.waitForEvent('popup');
  // As a duplicate, it has a copy of sessionStorage.
  await original.page.evaluate('void open(location.href)');
  const copy = playerOf(await opened);
  await copy.page.waitForLoadState();
  const kept = 'sessionStorage.getItem("streamgate:0")';
  expect(await copy.page.evaluate(kept)).toBe(await original.streamId());
  await copy.play();
  await copy.reaches('denied');
  expect(await original.state()).toBe('live');
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([await original.streamId()]);
});

test('the same device replaces what it played elsewhere', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const device = { id: 'laptop', name: 'Laptop', type: 'browser' };
  const first = await it.playing(viewer, { userId, device });
  const second = await it.playing(viewer, { userId, device });
  await first.reaches('stopped');
  const stopped = (await first.told()).find((it) => it.name === 'stopped');
  expect(stopped?.what).toEqual({ code: 'stream-replaced', by: await second.streamId() });
  await until('the first is paused', () => first.isPaused());
});
