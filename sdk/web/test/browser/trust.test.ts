/** Where the service asks who calls. */

import { expect, test } from 'vitest';
import { crash } from '../support/browser.js';
import { scene } from '../support/scene.js';
import { measured } from '../support/table.js';
import { until } from '../support/until.js';

const it = scene({}, { asksWhoCalls: true });

test("a start brings the platform's token, everything after it the stream's own", async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const player = await it.open(viewer, { userId, tokens: [it.server.platform.token(userId)] });
  const asked: { path: string; token: string | null; authorization: string | undefined }[] = [];
  player.page.on('request', (request) => {
    const { pathname, searchParams } = new URL(request.url());
    if (!pathname.startsWith('/v1/')) return;
    asked.push({ path: pathname, token: searchParams.get('t'), authorization: request.headers().authorization });
  });
  await player.play();
  await player.reaches('live');
  await until('a heartbeat', () => asked.some((it) => it.path.endsWith('/heartbeat')));
  const [start, ...others] = asked;
  expect(start).toMatchObject({ path: '/v1/streams', token: null, authorization: expect.stringMatching(/^Bearer /) });
  for (const other of others) expect(other).toMatchObject({ token: expect.any(String), authorization: undefined });
  expect(others.length).toBeGreaterThan(0);

  const since = Date.now();
  await player.page.close();
  await it.has(userId, 0, 4_000);
  measured("close the tab, the stream's token in the address", since);
});

test('its media requests prove to a gateway that it has its place', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId, tokens: [it.server.platform.token(userId)] });
  const token = (await player.page.evaluate('handle.token')) as string;
  const asked = async () => (await fetch(`${it.server.url}/v1/check/media/1.ts?t=${token}`)).status;
  expect(await asked()).toBe(200);
  await player.page.evaluate('handle.stop()');
  await until('its place is free', async () => (await asked()) === 403);
  expect(await player.page.evaluate('handle.token')).toBe(undefined);
});

test('a crash is told with the token of the stream', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  await viewer.newPage();
  const { page } = await it.playing(viewer, { userId, tokens: [it.server.platform.token(userId)] });
  const since = Date.now();
  await crash(page);
  await it.has(userId, 0, 4_000);
  measured("crash, with fetchLater, the stream's token in the address", since);
});

test('a token that is over is replaced by a new one', async () => {
  const userId = it.user();
  const tokens = [it.server.platform.token(userId, -3600), it.server.platform.token(userId)];
  const player = await it.playing(await it.viewer(), { userId, tokens });
  expect(await player.told()).toEqual([
    { name: 'state', what: 'starting' },
    { name: 'state', what: 'live' },
  ]);
});

test('what is stopped before it could prove who it is leaves nothing behind', async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId, tokens: [it.server.platform.token(userId)] });
  const isStarted = player.page.waitForResponse((it) => it.url().endsWith('/v1/streams') && it.status() === 201);
  await player.page.evaluate(`
    let go;
    before = new Promise((resolve) => (go = resolve));
    video.play().then(() => { handle.stop(); go(); })`);
  await isStarted;
  await it.has(userId, 0, 4_000);
  expect(await player.state()).toBe('idle');
});

test("who brings another's token is refused, and told so", async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId, tokens: [it.server.platform.token('another')] });
  await player.play();
  await player.reaches('stopped');
  await until('it is paused', () => player.isPaused());
  expect((await player.told()).find((it) => it.name === 'stopped')?.what).toEqual({ code: 'forbidden' });
  expect(await it.server.streams(userId)).toEqual([]);
});

test('who has no token at all plays on and its page is told', async () => {
  const userId = it.user();
  const player = await it.open(await it.viewer(), { userId });
  await player.play();
  await player.reaches('retrying');
  expect(await player.isPaused()).toBe(false);
  const failure = (await player.told()).find((it) => it.name === 'error')?.what;
  expect(failure).toMatchObject({ status: 401, code: 'unauthorized' });
});
