/** Keeps a media element within its account's limit of simultaneous streams. */

import { place } from './place.js';
import { timer } from './timer.js';
import { backoff, jittered } from './timing.js';
import type { Handle, Options, State } from './types.js';

export type { Denial, Device, Failure, Handle, Holder, Options, State, Stopped } from './types.js';

/** How long an answer may take. */
const DEADLINE_MS = 10_000;
/** How long nobody asks for news where they were refused. */
const DEAF_MS = 600_000;
/** How long a media element may be without a source between two: a player that zaps. */
const ZAP_MS = 2_000;

/** A stream that has a place or asks for one. */
interface Stream {
  id: string;
  replace: string[];
  isAdmitted?: boolean;
  /** Its own token, and before there is one, the platform's. */
  token?: string;
  bearer?: string;
  failures: number;
  /** Of the request that is on its way. */
  giveUp?: AbortController;
  /** Something happened meanwhile. */
  isStale?: boolean;
  leaseEndsAt: number;
  deferred?: AbortController;
  news?: EventSource;
  release?: Promise<() => void>;
}

type FetchLater = (url: string, init: RequestInit) => unknown;

/** 128 random bits. */
const newId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (it) => (it + 256).toString(16).slice(1)).join('');

export const attach = (media: HTMLMediaElement, options: Options): Handle => {
  const { url, userId, getToken, device, strict } = options;
  let { contentId } = options;
  const root = url.replace(/\/+$/, '') + '/v1/streams';
  const ours = place();
  const detached = new AbortController();
  let state: State = 'idle';
  let stream: Stream | undefined;
  let intervalMs = 20_000;
  let dueAt = 0;
  /** The server asked not to be asked before. */
  let notBefore = 0;
  let comesBack = false;
  let deafUntil = options.events === false || !globalThis.EventSource ? Infinity : 0;
  let zap: ReturnType<typeof setTimeout>;

  const beats = timer(() => stream && (stream.giveUp ? stream.giveUp.abort() : beat(stream)));

  // What the page does with it, and does wrong, is not in the way of what happens here.
  const tell = (call: () => void) => queueMicrotask(call);

  const become = (next: State) => {
    if (next === state) return;
    state = next;
    tell(() => options.onState?.(next));
  };

  const schedule = (ms: number) => {
    dueAt = Date.now() + ms;
    beats.set(ms);
  };

  const address = (it: Stream, action: string) =>
    `${root}/${it.id}/${action}?userId=` + encodeURIComponent(userId) + (it.token ? '&t=' + it.token : '');

  // A body without a Content-Type, and no header where the stream has its own token: the browser
  // asks for no permission first (no preflight).
  const request = (it: Stream): RequestInit => ({
    method: 'POST',
    credentials: 'omit',
    headers: it.bearer && !it.token ? { Authorization: 'Bearer ' + it.bearer } : {},
  });

  const sayGoodbye = (it: Stream) => {
    if ('keepalive' in Request.prototype) {
      fetch(address(it, 'stop'), { ...request(it), keepalive: true }).catch(() => {});
    } else {
      navigator.sendBeacon(address(it, 'stop'));
    }
  };

  /** Leaves the stop with the browser, which sends it even if this page crashes. */
  const defer = (it: Stream) => {
    it.deferred?.abort();
    it.deferred = new AbortController();
    try {
      (globalThis as { fetchLater?: FetchLater }).fetchLater?.(address(it, 'stop'), {
        method: 'POST',
        credentials: 'omit',
        signal: it.deferred.signal,
      });
    } catch {
      // No quota, or no secure page: the lease will end instead.
    }
  };

  /** Hears at once how the stream ends; without it, the next heartbeat does. */
  const listen = (it: Stream) => {
    if (Date.now() < deafUntil || (it.news && it.news.readyState < 2)) return;
    let isOpen = false;
    const news = (it.news = new EventSource(address(it, 'events')));
    news.onopen = () => (isOpen = true);
    // Left to itself it would come back every few seconds, whatever happened to the server: the
    // next heartbeat that is answered opens it again, and a good while later if it was refused.
    news.onerror = () => {
      if (!isOpen && news.readyState === 2) deafUntil = Date.now() + DEAF_MS;
      news.close();
    };
    news.addEventListener('ended', () => {
      news.close();
      if (it === stream) beat(it);
    });
  };

  /** Forgets the stream, here. */
  const end = () => {
    const ended = stream;
    stream = undefined;
    beats.clear();
    clearTimeout(zap);
    comesBack = false;
    ended?.deferred?.abort();
    ended?.news?.close();
    ended?.release?.then((release) => release());
    return ended;
  };

  const refuse = (next: State) => {
    end();
    media.pause();
    become(next);
  };

  const stop = () => {
    const ended = end();
    if (ended) sayGoodbye(ended);
    become('idle');
  };

  const start = async (...replace: string[]) => {
    if (stream) return;
    comesBack = false;
    // Nothing is asked before this is done.
    const it: Stream = (stream = { id: newId(), replace, failures: 0, giveUp: new AbortController(), leaseEndsAt: 0 });
    become('starting');
    const previous = await ours.previous();
    if (it !== stream) return;
    if (previous) replace.push(previous);
    it.release = ours.keep(it.id);
    it.giveUp = undefined;
    beat(it);
  };

  /** Asks, and once more with a new token of the platform; when the last request was sent. */
  const ask = async (it: Stream, signal: AbortSignal) => {
    for (let isFirst = true; ; isFirst = false) {
      const body = it.isAdmitted
        ? { state: media.paused ? 'paused' : 'playing', contentId }
        : { userId, streamId: it.id, device, contentId, replace: it.replace };
      if (getToken && !it.token) it.bearer ??= await getToken();
      const sentAt = Date.now();
      const answer = await fetch(it.isAdmitted ? address(it, 'heartbeat') : root, {
        ...request(it),
        body: new Blob([JSON.stringify(body)]),
        signal,
      });
      if (answer.status !== 401 || !getToken || !isFirst) {
        return { answer, body: await answer.json().catch(() => undefined), sentAt };
      }
      it.token = it.bearer = undefined;
    }
  };

  /** Asks for the place, or says that it is still used. */
  const beat = async (it: Stream) => {
    if (it.giveUp) {
      it.isStale = true;
      return;
    }
    const { signal } = (it.giveUp = new AbortController());
    it.isStale = false;
    const left = strict && it.isAdmitted ? it.leaseEndsAt - Date.now() : DEADLINE_MS;
    schedule(Math.min(left, DEADLINE_MS));
    // Also what knows nothing of the signal, the page's getToken, is waited for no longer.
    const late = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
    const asked = await Promise.race([ask(it, signal).catch(() => undefined), late]);
    it.giveUp = undefined;
    take(it, asked?.answer, asked?.body || {}, asked?.sentAt || 0);
  };

  const take = (it: Stream, answer: Response | undefined, body: any, sentAt: number) => {
    const status = answer?.status || 0;
    const isOver = it !== stream;
    const { code, heartbeat } = body;
    if (answer?.ok && heartbeat) {
      const isNew = body.token || !it.isAdmitted;
      it.isAdmitted = true;
      it.token = body.token || it.token;
      // Its stop came before there was a token to prove that it is ours.
      if (isOver) return sayGoodbye(it);
      it.failures = notBefore = 0;
      it.leaseEndsAt = sentAt + heartbeat.leaseSeconds * 1000;
      intervalMs = heartbeat.intervalSeconds * 1000;
      if (isNew) defer(it);
      listen(it);
      schedule(it.isStale ? 0 : jittered(intervalMs));
      become('live');
    } else if (isOver) {
      // Nobody waits for it any more.
    } else if (status === 409 || body.holders) {
      refuse('denied');
      const { limit, holders = [], retryAfterSeconds } = body;
      tell(() => options.onDenied?.({ limit, holders, retryAfterSeconds, takeOver }));
    } else if (status === 403 || (status === 410 && code !== 'stream-expired')) {
      refuse('stopped');
      tell(() => options.onStopped?.({ code, by: body.by }));
    } else if (it.isAdmitted && (status === 404 || status === 410)) {
      end();
      start(it.id);
    } else if (strict && it.isAdmitted && it.leaseEndsAt <= Date.now()) {
      refuse('stopped');
      tell(() => options.onStopped?.({ code: 'unreachable' }));
    } else {
      const wait = backoff(++it.failures, answer?.headers.get('retry-after'));
      notBefore = answer ? Date.now() + wait : 0;
      schedule(strict && it.isAdmitted ? Math.min(wait, it.leaseEndsAt - Date.now()) : wait);
      become('retrying');
      tell(() => options.onError?.({ status, code, detail: body.detail }));
    }
  };

  const takeOver = (...streamIds: string[]) => {
    if (detached.signal.aborted) return;
    const own = end();
    start(...(own ? [own.id] : []), ...streamIds);
    media.play().catch(() => {});
  };

  const now = () => stream && notBefore <= Date.now() && beat(stream);
  /** The machine slept, or the timer did: whoever notices it first. */
  const wake = () => dueAt + intervalMs < Date.now() && now();
  const leave = () => {
    if (!stream) return;
    ours.leave(stream.id);
    stop();
    comesBack = true;
  };
  const comeBack = () => comesBack && start();

  const on = (target: EventTarget, names: string, call: () => unknown) => {
    for (const name of names.split(' ')) {
      target.addEventListener(name, call, { signal: detached.signal });
    }
  };
  on(media, 'play', () => (stream ? now() : start()));
  on(media, 'pause loadstart', now);
  on(media, 'timeupdate', wake);
  on(media, 'ended error', stop);
  on(media, 'emptied', () => {
    clearTimeout(zap);
    zap = setTimeout(() => media.networkState === 0 && stop(), ZAP_MS);
  });
  on(window, 'pagehide', leave);
  on(window, 'pageshow', comeBack);
  on(window, 'online', now);
  on(document, 'freeze', leave);
  on(document, 'resume', comeBack);
  on(document, 'visibilitychange', wake);
  if (!media.paused) start();

  return {
    get state() {
      return state;
    },
    get streamId() {
      return stream?.id;
    },
    get token() {
      return stream?.token;
    },
    get leaseEndsAt() {
      return stream?.leaseEndsAt || undefined;
    },
    setContent(next) {
      contentId = next;
      now();
    },
    takeOver,
    stop,
    detach() {
      stop();
      detached.abort();
      ours.free();
    },
  };
};
