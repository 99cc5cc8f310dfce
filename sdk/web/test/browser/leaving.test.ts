/** However a viewer leaves, the place is free. */

import { expect, test } from 'vitest';
import { crash } from '../support/browser.js';
import { scene } from '../support/scene.js';
import { INTERVAL_SECONDS, LEASE_SECONDS } from '../support/server.js';
import { measured } from '../support/table.js';
import { until } from '../support/until.js';

const it = scene();
/** Sooner than any lease could be the reason. */
const AT_ONCE_MS = 4_000;

test('a closed tab frees its place at once', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  await viewer.newPage();
  const { page } = await it.playing(viewer, { userId });
  const since = Date.now();
  await page.close();
  await it.has(userId, 0, AT_ONCE_MS);
  measured('close the tab', since);
});

test('going to another page frees the place at once', async () => {
  const userId = it.user();
  const { page } = await it.playing(await it.viewer(), { userId });
  const since = Date.now();
  await page.goto(it.pages.origin + '/elsewhere', { waitUntil: 'commit' });
  await it.has(userId, 0, AT_ONCE_MS);
  measured('go to another page', since);
});

test('a browser that knows nothing newer sends a beacon', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  await viewer.addInitScript(`
    delete Request.prototype.keepalive;
    delete window.fetchLater;
    addEventListener('freeze', (event) => event.stopImmediatePropagation(), true)`);
  const { page } = await it.playing(viewer, { userId });
  const since = Date.now();
  await page.goto(it.pages.origin + '/elsewhere', { waitUntil: 'commit' });
  await it.has(userId, 0, AT_ONCE_MS);
  measured('go to another page, by a beacon alone', since);
});

test('a crashed page frees its place at once where there is fetchLater', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  await viewer.newPage();
  const { page } = await it.playing(viewer, { userId });
  expect(await page.evaluate("typeof fetchLater")).toBe('function');
  const since = Date.now();
  await crash(page);
  await it.has(userId, 0, AT_ONCE_MS);
  measured('crash, with fetchLater', since);
});

test('a crashed page without fetchLater is reclaimable when suspect and over with its lease', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  await viewer.newPage();
  await viewer.addInitScript('delete window.fetchLater');
  const { page } = await it.playing(viewer, { userId });
  const since = Date.now();
  await crash(page);
  await until('the stream is suspect', async () => (await it.server.streams(userId))[0]?.state === 'suspect');
  measured(`crash, without fetchLater: for whoever needs it (1.5 intervals of ${INTERVAL_SECONDS} s)`, since);
  await it.has(userId, 0);
  measured(`crash, without fetchLater: for nobody (lease of ${LEASE_SECONDS} s)`, since);
});

test('the end of the film frees the place, and playing it again takes one', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  await player.page.evaluate(`video.loop = false; video.currentTime = video.duration - 0.3`);
  const since = Date.now();
  await player.reaches('idle');
  await it.has(userId, 0, AT_ONCE_MS);
  measured('the last 0.3 s of the film', since);
  await player.play();
  await player.reaches('live');
  await it.has(userId, 1);
});

test('stop, and a fatal error of the media element, free the place', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  let since = Date.now();
  await player.page.evaluate('handle.stop()');
  await it.has(userId, 0, AT_ONCE_MS);
  measured('stop()', since);
  await player.page.evaluate('video.pause(), video.play()');
  await player.reaches('live');
  since = Date.now();
  await player.page.evaluate(`video.src = '/no-such-film.mp4'`);
  await it.has(userId, 0, AT_ONCE_MS);
  measured('a fatal error of the media element', since);
});

test('a media element without a source has no place, and none that is detached', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const emptied = await it.playing(viewer, { userId });
  await emptied.page.evaluate(`video.removeAttribute('src'); video.load()`);
  const since = Date.now();
  await it.has(userId, 0, AT_ONCE_MS);
  measured('the source is taken away (2 s, in case that it is a zap)', since);
  const detached = await it.playing(viewer, { userId });
  await detached.page.evaluate('handle.detach()');
  await it.has(userId, 0, AT_ONCE_MS);
  await detached.page.evaluate('video.pause(), video.play()');
  expect(await detached.state()).toBe('idle');
  expect(await it.server.streams(userId)).toEqual([]);
});
