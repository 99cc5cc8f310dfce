/** What plays the stream, as other devices of the account see it. */
export interface Device {
  /** Tells the account's devices apart; a device replaces its own earlier stream at once. */
  id?: string;
  /** For people, such as "Living room TV". */
  name?: string;
  /** What kind of device it is, such as "tv". */
  type?: string;
}

/** One of the account's live streams. */
export interface Holder {
  streamId: string;
  /** `suspect` when it was silent for longer than 1.5 heartbeats. */
  state: 'live' | 'suspect';
  playback: 'playing' | 'paused';
  device: Device;
  contentId?: string;
  /** RFC 3339, like the other times. */
  startedAt: string;
  lastHeardAt: string;
  expiresAt: string;
}

/** A no, and whose streams are in the way. */
export interface Denial {
  limit: number;
  holders: Holder[];
  /** After so many seconds a place is free, if nobody in the way is heard again. */
  retryAfterSeconds: number;
  /** Ends that stream and plays here instead, in one step. */
  takeOver: (streamId: string) => void;
}

/** Why the stream is over. */
export interface Stopped {
  /**
   * `stream-replaced` (another device took the place), `stream-evicted` (an operator ended it),
   * `stream-stopped`, `forbidden`, or, with `strict`, `unreachable`.
   */
  code: string;
  /** The stream that took the place, with `stream-replaced`. */
  by?: string;
}

/** What went wrong without stopping anything: it is tried again. */
export interface Failure {
  /** The HTTP status; 0 if there was no answer. */
  status: number;
  /** The problem's code, such as `store-unavailable`. */
  code?: string;
  /** What is wrong, for developers. */
  detail?: string;
}

/**
 * `idle`: has no place and wants none. `starting`: asked for one, and plays meanwhile. `live`: has
 * its place. `retrying`: the server does not answer, it plays on. `denied`: the limit is reached.
 * `stopped`: the place was taken away.
 */
export type State = 'idle' | 'starting' | 'live' | 'retrying' | 'denied' | 'stopped';

export interface Options {
  /** Where streamgate is, such as `https://streams.example.com`. */
  url: string;
  /** Whose streams are counted together. */
  userId: string;
  /** Brings the viewer's token of the platform. Called for a start, and again after a 401. */
  getToken?: () => string | Promise<string>;
  device?: Device;
  /** What is shown. */
  contentId?: string;
  /**
   * Whether playback stops when the lease is over and the server cannot be reached. Without it,
   * the viewer plays on.
   */
  strict?: boolean;
  /**
   * Whether the end of the stream is listened for (server-sent events), so that it is known at once
   * and not with the next heartbeat: yes, unless `false`.
   */
  events?: boolean;
  /** The limit is reached; the media element has been paused. */
  onDenied?: (denial: Denial) => void;
  /** The place is gone; the media element has been paused. */
  onStopped?: (stopped: Stopped) => void;
  /** A request failed and will be made again. */
  onError?: (failure: Failure) => void;
  onState?: (state: State) => void;
}

/** What `attach` returns. */
export interface Handle {
  readonly state: State;
  /** The stream that has a place or asks for one. */
  readonly streamId: string | undefined;
  /** The stream's own token, once it has a place; a newer one comes every few minutes. */
  readonly token: string | undefined;
  /** When the lease ends if nothing is heard, in milliseconds since 1970 by this machine's clock. */
  readonly leaseEndsAt: number | undefined;
  /** Says what is shown now: a zap keeps its place. */
  setContent: (contentId: string) => void;
  /** Ends those streams of the account and plays here instead, in one step. */
  takeOver: (...streamIds: string[]) => void;
  /** Gives the place back. The next `play` asks for one again. */
  stop: () => void;
  /** Gives the place back and leaves the media element alone from now on. */
  detach: () => void;
}
