/** The state machine, with a fake page, clock and server: what a browser would take hours for. */

import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Failure, Options, State } from '../../src/types.js';

// Node warns of more than 10 that are removed by one signal.
setMaxListeners(0);

class Media extends EventTarget {
  paused = true;
  networkState = 1;
  play() {
    this.paused = false;
    this.dispatchEvent(new Event('play'));
    return Promise.resolve();
  }
  pause() {
    this.paused = true;
    this.dispatchEvent(new Event('pause'));
  }
}

interface Asked {
  url: URL;
  body: any;
  authorization: string | undefined;
}
type Answer = { status: number; body?: unknown; headers?: Record<string, string> } | Error | 'never';

const LIVE = { heartbeat: { intervalSeconds: 20, leaseSeconds: 90 } };
const live = (more: object = {}): Answer => ({ status: 200, body: { ...LIVE, ...more } });

let media: Media;
let asked: Asked[];
/** What comes next; the last one goes on. */
let answers: (Answer | (() => Answer))[];

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  media = new Media();
  asked = [];
  answers = [live()];
  vi.stubGlobal('window', new EventTarget());
  vi.stubGlobal('document', new EventTarget());
  vi.stubGlobal('navigator', {});
  vi.stubGlobal('Worker', undefined);
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const text = init.body instanceof Blob ? await init.body.text() : '';
    const authorization = (init.headers as Record<string, string>).Authorization;
    asked.push({ url: new URL(url), body: text && JSON.parse(text), authorization });
    if (url.includes('/stop')) return new Response(null, { status: 204 });
    const next = answers.length > 1 ? answers.shift()! : answers[0]!;
    const answer = typeof next === 'function' ? next() : next;
    if (answer instanceof Error) throw answer;
    // Of the old browsers that know no signal.
    if (answer === 'never') return new Promise(() => {});
    return new Response(JSON.stringify(answer.body), { status: answer.status, headers: answer.headers ?? {} });
  });
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

const attached = async (options: Partial<Options> = {}) => {
  const { attach } = await import('../../src/streamgate.js');
  const states: State[] = [];
  const failures: Failure[] = [];
  const handle = attach(media as unknown as HTMLMediaElement, {
    url: 'https://streams.example.com/',
    userId: 'a user/1',
    onState: (it) => states.push(it),
    onError: (it) => failures.push(it),
    ...options,
  });
  return { handle, states, failures };
};

/** Blobs are read in real time. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await vi.advanceTimersByTimeAsync(0);
};
const pass = async (ms: number) => {
  await vi.advanceTimersByTimeAsync(ms);
  await settle();
};
/** Attached, and its first play is answered. */
const playing = async (options: Partial<Options> = {}) => {
  const it = await attached(options);
  void media.play();
  await settle();
  return it;
};

test('importing it needs no browser', async () => {
  vi.unstubAllGlobals();
  expect(typeof (await import('../../src/streamgate.js')).attach).toBe('function');
});

test('it starts with the first play and beats at the interval of the last answer', async () => {
  const { handle } = await attached({ device: { id: 'tv' }, contentId: 'movie-1' });
  await pass(60_000);
  expect(asked).toEqual([]);
  void media.play();
  await settle();
  expect(asked.map((it) => it.url.href)).toEqual(['https://streams.example.com/v1/streams']);
  const { streamId } = handle;
  expect(streamId).toMatch(/^[0-9a-f]{32}$/);
  expect(asked[0]!.body).toEqual({
    userId: 'a user/1', streamId, device: { id: 'tv' }, contentId: 'movie-1', replace: [],
  });
  answers = [live({ heartbeat: { intervalSeconds: 5, leaseSeconds: 30 } })];
  await pass(19_999);
  expect(asked.length).toBe(1);
  await pass(1);
  expect(asked[1]!.url.href).toBe(
    `https://streams.example.com/v1/streams/${streamId}/heartbeat?userId=a%20user%2F1`,
  );
  expect(asked[1]!.body).toEqual({ state: 'playing', contentId: 'movie-1' });
  await pass(5_000);
  expect(asked.length).toBe(3);
});

test('the lease is counted from when the request was sent', async () => {
  const { handle } = await attached();
  const sentAt = Date.now();
  answers = [() => {
    vi.setSystemTime(sentAt + 7_000);
    return live() as Answer;
  }];
  void media.play();
  await settle();
  expect(handle.leaseEndsAt).toBe(sentAt + 90_000);
});

test('the newest token is used, and the platform is asked for one only where there is none', async () => {
  const getToken = vi.fn(async () => 'jwt');
  answers = [live({ token: 'one' }), live(), live({ token: 'two' }), live()];
  await playing({ getToken });
  for (let beat = 0; beat < 4; beat++) {
    await pass(20_000);
    await settle();
  }
  expect(asked.map((it) => it.url.searchParams.get('t'))).toEqual([null, 'one', 'one', 'two', 'two']);
  expect(asked.map((it) => it.authorization)).toEqual(['Bearer jwt', ...Array(4).fill(undefined)]);
  expect(getToken).toHaveBeenCalledTimes(1);
});

test('after a 401 a new token is asked for and the request is made once more', async () => {
  let tokens = 0;
  const getToken = () => `jwt-${++tokens}`;
  answers = [{ status: 401, body: { code: 'unauthorized' } }, live({ token: 'one' }), { status: 401, body: {} }, live()];
  const { handle, states } = await playing({ getToken });
  expect(asked.map((it) => it.authorization)).toEqual(['Bearer jwt-1', 'Bearer jwt-2']);
  await pass(20_000);
  expect(asked.slice(2).map((it) => it.authorization)).toEqual([undefined, 'Bearer jwt-3']);
  expect(handle.state).toBe('live');
  expect(states).toEqual(['starting', 'live']);
});

test('a second 401 is a failure like any other: the viewer plays on', async () => {
  answers = [{ status: 401, body: { code: 'unauthorized', detail: 'no' } }];
  const { states, failures } = await playing({ getToken: () => 'bad' });
  expect(asked.length).toBe(2);
  expect(states).toEqual(['starting', 'retrying']);
  expect(failures).toEqual([{ status: 401, code: 'unauthorized', detail: 'no' }]);
  expect(media.paused).toBe(false);
});

test.each([429, 500, 502, 503])('a %i stops nobody and is tried again when the server says', async (status) => {
  answers = [live(), { status, body: {}, headers: { 'Retry-After': '30' } }, live()];
  const { handle } = await playing();
  await pass(20_000);
  expect(handle.state).toBe('retrying');
  expect(media.paused).toBe(false);
  await pass(30_999);
  expect(asked.length).toBe(2);
  await pass(1);
  expect(asked.length).toBe(3);
  expect(handle.state).toBe('live');
});

test('a network that stays away is tried less and less often, for hours', async () => {
  answers = [live(), new TypeError('Failed to fetch')];
  const { handle } = await playing();
  await pass(20_000);
  for (let second = 0; second < 3_600; second++) await pass(1_000);
  expect(handle.state).toBe('retrying');
  expect(media.paused).toBe(false);
  // Half of a minute on average once the cap is reached.
  expect(asked.length).toBeGreaterThan(3_600 / 60);
  expect(asked.length).toBeLessThan(3_600 / 30 + 10);
});

test('back online it asks at once', async () => {
  answers = [live(), new TypeError('Failed to fetch')];
  const { handle } = await playing();
  await pass(20_000);
  answers = [live()];
  window.dispatchEvent(new Event('online'));
  await settle();
  expect(handle.state).toBe('live');
});

test('a machine that slept asks at once when it wakes, and one that did not does not', async () => {
  await playing();
  vi.setSystemTime(Date.now() + 19_000);
  media.dispatchEvent(new Event('timeupdate'));
  await settle();
  expect(asked.length).toBe(1);
  vi.setSystemTime(Date.now() + 22_000);
  media.dispatchEvent(new Event('timeupdate'));
  await settle();
  expect(asked.length).toBe(2);
});

test.each(['stream-replaced', 'stream-evicted', 'stream-stopped'])('%s stops it', async (code) => {
  answers = [live(), { status: 410, body: { code, by: 'other' } }];
  const onStopped = vi.fn();
  const { handle } = await playing({ onStopped });
  await pass(20_000);
  expect(handle.state).toBe('stopped');
  expect(media.paused).toBe(true);
  expect(onStopped).toHaveBeenCalledExactlyOnceWith({ code, by: 'other' });
  await pass(600_000);
  expect(asked.length).toBe(2);
});

test.each([
  [404, 'stream-unknown'],
  [410, 'stream-expired'],
])('after a %i %s it starts again in its own place', async (status, code) => {
  answers = [live({ token: 'one' }), { status, body: { code } }, live()];
  const { handle } = await playing();
  const before = handle.streamId;
  await pass(20_000);
  expect(handle.state).toBe('live');
  expect(handle.streamId).not.toBe(before);
  expect(asked[2]!.body).toMatchObject({ streamId: handle.streamId, replace: [before] });
});

test('a wrong address is no reason to ask without a pause', async () => {
  answers = [{ status: 404, body: '<html>' }];
  const { handle } = await playing();
  expect(asked.length).toBe(1);
  expect(handle.state).toBe('retrying');
});

test('403 stops it, also at the start', async () => {
  answers = [{ status: 403, body: { code: 'forbidden' } }];
  const onStopped = vi.fn();
  await playing({ onStopped });
  expect(media.paused).toBe(true);
  expect(onStopped).toHaveBeenCalledExactlyOnceWith({ code: 'forbidden', by: undefined });
});

test('a denial is told with its holders, and takeOver names whom to end', async () => {
  const holders = [{ streamId: 'tv-stream', device: { name: 'TV' } }];
  answers = [{ status: 409, body: { code: 'stream-limit-reached', limit: 3, holders, retryAfterSeconds: 25 } }, live()];
  const onDenied = vi.fn();
  const { handle } = await playing({ onDenied });
  expect(media.paused).toBe(true);
  expect(handle.state).toBe('denied');
  expect(onDenied).toHaveBeenCalledExactlyOnceWith({
    limit: 3, holders, retryAfterSeconds: 25, takeOver: expect.any(Function),
  });
  onDenied.mock.calls[0]![0].takeOver('tv-stream');
  await settle();
  expect(media.paused).toBe(false);
  expect(handle.state).toBe('live');
  expect(asked.map((it) => it.body.replace)).toEqual([[], ['tv-stream']]);
});

test('who was let in unchecked and has no place after all is denied', async () => {
  const holders = [{ streamId: 'tv-stream', device: {} }];
  answers = [live({ provisional: true }), { status: 410, body: { code: 'stream-limit-reached', limit: 1, holders } }];
  const onDenied = vi.fn();
  const { handle } = await playing({ onDenied });
  await pass(20_000);
  expect(handle.state).toBe('denied');
  expect(media.paused).toBe(true);
  expect(onDenied).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ limit: 1, holders }));
});

test('a 409 that is not ours is a denial without holders', async () => {
  answers = [{ status: 409, body: null }];
  const onDenied = vi.fn();
  await playing({ onDenied });
  expect(media.paused).toBe(true);
  expect(onDenied.mock.calls[0]![0].holders).toEqual([]);
});

test('what a page does wrong in a callback stops no heartbeat', async () => {
  answers = [new TypeError('Failed to fetch'), live()];
  const wrong = () => {
    throw new Error('the page is wrong');
  };
  // The page hears of it as of any mistake in its own code.
  const reported = vi.fn();
  vi.stubGlobal('queueMicrotask', (call: () => void) => {
    void Promise.resolve().then(call).catch(reported);
  });
  const { handle } = await playing({ onError: wrong, onState: wrong });
  await pass(60_000);
  expect(reported).toHaveBeenCalled();
  expect(asked.length).toBeGreaterThan(2);
  expect(handle.state).toBe('live');
});

test('what happens while a heartbeat is on its way is said right after it', async () => {
  await playing();
  media.pause();
  void media.play();
  await settle();
  await pass(1);
  expect(asked.slice(1).map((it) => it.body.state)).toEqual(['paused', 'playing']);
});

test('players that started together do not stay together', async () => {
  for (const [random, ms] of [[0, 18_000], [0.999, 21_996]] as const) {
    vi.spyOn(Math, 'random').mockReturnValue(random);
    asked = [];
    const { handle } = await playing();
    await pass(ms - 1);
    expect(asked.length).toBe(1);
    await pass(1);
    expect(asked.length).toBe(2);
    handle.detach();
    media.pause();
  }
});

test.each(['a request', 'the token of the platform'])('%s that never comes is given up, and asked for again', async (what) => {
  const never = new Promise<string>(() => {});
  let tokens = 0;
  const getToken = () => (tokens++ ? never : 'one');
  answers = what === 'a request' ? [live(), 'never'] : [live(), { status: 401 }];
  const { handle, failures } = await playing(what === 'a request' ? {} : { getToken });
  await pass(300_000);
  expect(handle.state).toBe('retrying');
  expect(media.paused).toBe(false);
  expect(failures.length).toBeGreaterThan(3);
  answers = [live()];
  if (what === 'a request') {
    await pass(80_000);
    expect(handle.state).toBe('live');
  }
});

test.each([0, 0.1, 0.3, 0.5, 0.7, 0.999])('a strict player stops when its lease is over, not later (%d)', async (random) => {
  vi.spyOn(Math, 'random').mockReturnValue(random);
  for (const swallowed of ['never', new TypeError('no network')] as const) {
    answers = [live(), swallowed];
    const onStopped = vi.fn();
    const { handle } = await playing({ strict: true, onStopped });
    await vi.advanceTimersByTimeAsync(89_990);
    expect(onStopped).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(20);
    expect(onStopped).toHaveBeenCalledExactlyOnceWith({ code: 'unreachable' });
    expect(media.paused).toBe(true);
    handle.detach();
  }
});

test('a strict player waits for its first answer like any other', async () => {
  answers = [{ status: 503, headers: { 'Retry-After': '1' } }, live()];
  const onStopped = vi.fn();
  const { handle } = await playing({ strict: true, onStopped });
  expect(handle.state).toBe('retrying');
  await pass(3_000);
  expect(handle.state).toBe('live');
  expect(onStopped).not.toHaveBeenCalled();
});

test('who presses play and pause does not ask a server that has too much to do', async () => {
  answers = [{ status: 503, headers: { 'Retry-After': '30' } }];
  await playing();
  for (let second = 0; second < 29; second++) {
    media.pause();
    void media.play();
    await pass(1_000);
  }
  expect(asked.length).toBe(1);
  await pass(3_000);
  expect(asked.length).toBe(2);
});

test('takeOver counts whatever is on its way, and also for who plays', async () => {
  answers = ['never', live()];
  const { handle } = await playing();
  const before = handle.streamId;
  handle.takeOver('tv');
  await settle();
  expect(handle.state).toBe('live');
  expect(asked.at(-1)!.body.replace).toEqual([before, 'tv']);
  const own = handle.streamId;
  handle.takeOver('phone');
  await settle();
  expect(asked.at(-1)!.body.replace).toEqual([own, 'phone']);
  expect(handle.state).toBe('live');
});

test('who is detached takes nothing over', async () => {
  const { handle } = await attached();
  handle.detach();
  handle.takeOver('tv');
  await pass(60_000);
  expect(asked).toEqual([]);
  expect(media.paused).toBe(true);
});

test('what is answered after the stop concerns nobody', async () => {
  const onDenied = vi.fn();
  const { handle, states } = await attached({ onDenied });
  answers = [() => {
    handle.stop();
    return { status: 409, body: { holders: [] } };
  }];
  void media.play();
  await settle();
  expect(asked.length).toBe(2);
  expect(onDenied).not.toHaveBeenCalled();
  expect(media.paused).toBe(false);
  expect(states.at(-1)).toBe('idle');
});
