/** While a viewer plays, the place is kept. */

import type { Request } from 'playwright-core';
import { expect, test } from 'vitest';
import { scene } from '../support/scene.js';
import { INTERVAL_SECONDS } from '../support/server.js';
import { until } from '../support/until.js';

const it = scene();

/** Waits until so many heartbeats came; the answer is the longest silence between two, in seconds. */
const silence = async (userId: string, beats: number): Promise<number> => {
  let last = Date.parse((await it.server.streams(userId))[0]?.lastHeardAt ?? '');
  let longest = 0;
  for (let beat = 0; beat < beats; beat++) {
    const next = await until('a heartbeat', async () => {
      const [stream] = await it.server.streams(userId);
      if (!stream) throw new Error('the stream is gone');
      const heard = Date.parse(stream.lastHeardAt);
      // The same moment may be shown a millisecond later.
      return last + 1000 < heard && heard;
    }, 90_000);
    longest = Math.max(longest, (next - last) / 1000);
    last = next;
  }
  return longest;
};

test('nothing is asked for before the first play', async () => {
  const userId = it.user();
  const device = { id: 'tv-9', name: 'Living room TV', type: 'tv' };
  const player = await it.open(await it.viewer(), { userId, device, contentId: 'movie-1' });
  expect(await player.state()).toBe('idle');
  expect(await it.server.streams(userId)).toEqual([]);
  await player.play();
  await player.reaches('live');
  const streams = await it.server.streams(userId);
  expect(streams).toMatchObject([{ state: 'live', playback: 'playing', device, contentId: 'movie-1' }]);
  expect(await player.isPaused()).toBe(false);
  const states = (await player.told()).map((it) => it.what);
  expect(states).toEqual(['starting', 'live']);
});

test('heartbeats go on, also while paused, and the browser asks for no permission', async () => {
  const userId = it.user();
  const viewer = await it.viewer();
  const player = await it.open(viewer, { userId });
  const asked: Request[] = [];
  player.page.on('request', (request) => {
    if (request.url().startsWith(it.server.url) && request.method() === 'POST') asked.push(request);
  });
  await player.play();
  await player.reaches('live');
  expect(player.page.workers().length).toBe(1);
  await silence(userId, 2);
  await player.page.evaluate('video.pause()');
  const isPaused = async () => (await it.server.streams(userId))[0]?.playback === 'paused';
  await until('the service knows of the pause', isPaused, (INTERVAL_SECONDS * 1000) / 2);
  await silence(userId, 2);
  expect(await isPaused()).toBe(true);
  // Only what needs no preflight (Fetch, CORS-safelisted request-header).
  const names = (await Promise.all(asked.map((it) => it.allHeaders()))).flatMap(Object.keys);
  expect(asked.length).toBeGreaterThan(4);
  expect(names).toContain('origin');
  expect(names).not.toContain('content-type');
  expect(names).not.toContain('authorization');
});

test('a hidden tab goes on beating, although the timers of its page do not', async () => {
  const userId = it.user();
  // Silent and paused: a page that is heard is hardly throttled.
  const tab = await it.hidden({ userId }, 'video.pause(); let ticks = 0; setInterval(() => ticks++, 1000)');
  const { streamId } = (await it.server.streams(userId))[0]!;
  await silence(userId, 1);
  await tab.evaluate('ticks = 0');
  const since = Date.now();
  expect(await silence(userId, 4)).toBeLessThan(INTERVAL_SECONDS * 1.5);
  // A timer of a second in front would have done it once a second.
  expect(await tab.evaluate('ticks')).toBeLessThan((Date.now() - since) / 1000 / 2);
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([streamId]);
});

test.each(['/player-without-blob-workers', '/player-with-trusted-types'])(
  'where a policy forbids workers, the timer of the page does it: %s',
  async (path) => {
    const userId = it.user();
    const player = await it.playing(await it.viewer(), { userId }, path);
    expect(player.page.workers()).toEqual([]);
    await silence(userId, 2);
    expect(await player.state()).toBe('live');
  },
);

test('a zap keeps the place', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId, contentId: 'channel-1' });
  const before = await player.streamId();
  await player.page.evaluate(`handle.setContent('channel-2'); video.src = '/film.mp4?2'; video.play()`);
  const shows = async (content: string) => (await it.server.streams(userId))[0]?.contentId === content;
  await until('the service knows of the zap', () => shows('channel-2'), 2_000);
  // As libraries do that are torn down and made anew.
  await player.page.evaluate(`
    handle.setContent('channel-3');
    video.removeAttribute('src'); video.load();
    setTimeout(() => { video.src = '/film.mp4?3'; video.play() }, 200)`);
  await until('the service knows of the zap', () => shows('channel-3'), 2_000);
  await silence(userId, 1);
  expect(await player.streamId()).toBe(before);
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([before]);
});
