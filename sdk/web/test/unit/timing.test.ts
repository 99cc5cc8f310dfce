import { afterEach, expect, test, vi } from 'vitest';
import { BACKOFF_CAP_MS, backoff, jittered } from '../../src/timing.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const drawn = (random: number) => vi.spyOn(Math, 'random').mockReturnValue(random);

test('intervals differ by ten percent at the most', () => {
  drawn(0);
  expect(jittered(20_000)).toBeCloseTo(18_000);
  drawn(0.5);
  expect(jittered(20_000)).toBeCloseTo(20_000);
  drawn(1);
  expect(jittered(20_000)).toBeCloseTo(22_000);
});

test.each([
  [1, 2_000],
  [2, 4_000],
  [5, 32_000],
  [6, BACKOFF_CAP_MS],
  [5_000, BACKOFF_CAP_MS],
])('after %i failures the wait is anything up to %i ms', (failures, most) => {
  drawn(0);
  expect(backoff(failures)).toBe(0);
  drawn(1);
  expect(backoff(failures)).toBe(most);
});

test('what the server says is waited for, and then a random while', () => {
  drawn(0);
  expect(backoff(1, '7')).toBe(7_000);
  drawn(1);
  expect(backoff(1, '7')).toBe(9_000);
});

test.each([
  ['Wed, 21 Oct 2026 07:28:00 GMT', 0],
  ['', 0],
  [null, 0],
  ['-5', 0],
  ['86400', 3_600_000],
])('a Retry-After of %j is bounded', (retryAfter, ms) => {
  drawn(0);
  expect(backoff(1, retryAfter)).toBe(ms);
});
