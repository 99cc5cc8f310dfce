/** A no is told to the page, with what it can do about it. */

import { expect, test } from 'vitest';
import { scene } from '../support/scene.js';
import { until } from '../support/until.js';

const it = scene({ STREAMGATE_LIMIT: '1' });
const tv = { id: 'tv', name: 'Living room TV', type: 'tv' };
const phone = { id: 'phone', name: 'Phone', type: 'phone' };

test('who is refused learns who is in the way and may take over, and both pages see it', async () => {
  const userId = it.user();
  const first = await it.playing(await it.viewer(), { userId, device: tv, contentId: 'movie-1' });
  const second = await it.open(await it.viewer(), { userId, device: phone });
  await second.play();
  await second.reaches('denied');
  expect(await second.isPaused()).toBe(true);
  const denial = (await second.told()).find((it) => it.name === 'denied')?.what;
  expect(denial).toMatchObject({
    limit: 1,
    holders: [{ streamId: await first.streamId(), device: tv, contentId: 'movie-1', playback: 'playing' }],
  });
  expect(denial.retryAfterSeconds).toBeGreaterThan(0);
  expect(await first.state()).toBe('live');

  await second.page.evaluate(`
    const { takeOver, holders } = told.find((it) => it.name === 'denied').what;
    takeOver(holders[0].streamId)`);
  await second.reaches('live');
  await until('it plays', async () => !(await second.isPaused()));
  await first.reaches('stopped');
  await until('the first is paused', () => first.isPaused());
  const stopped = (await first.told()).find((it) => it.name === 'stopped')?.what;
  expect(stopped).toEqual({ code: 'stream-replaced', by: await second.streamId() });
  expect((await it.server.streams(userId)).map((it) => it.streamId)).toEqual([await second.streamId()]);
});

test('who was refused is admitted at the next play once there is room', async () => {
  const userId = it.user();
  const holder = await it.server.play(userId, 'tv');
  const player = await it.open(await it.viewer(), { userId, device: phone });
  await player.play();
  await player.reaches('denied');
  await it.server.evict(userId, holder.streamId!);
  await player.play();
  await player.reaches('live');
});

test('whom an operator ends is told so and paused', async () => {
  const userId = it.user();
  const player = await it.playing(await it.viewer(), { userId });
  await it.server.evict(userId, (await player.streamId())!);
  await player.reaches('stopped');
  expect(await player.isPaused()).toBe(true);
  expect((await player.told()).find((it) => it.name === 'stopped')?.what).toEqual({ code: 'stream-evicted' });
});
