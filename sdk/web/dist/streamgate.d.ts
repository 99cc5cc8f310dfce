/** Keeps a media element within its account's limit of simultaneous streams. */
import type { Handle, Options } from './types.js';
export type { Denial, Device, Failure, Handle, Holder, Options, State, Stopped } from './types.js';
export declare const attach: (media: HTMLMediaElement, options: Options) => Handle;
