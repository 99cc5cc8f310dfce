/** Waiting for something that is to happen, never for time to pass. */

import { setTimeout as after } from 'node:timers/promises';

const LOOKS_MS = 40;

/** What `look` answers as soon as it is neither false nor nothing; fails after the deadline. */
export const until = async <T>(
  what: string,
  look: () => T | Promise<T>,
  deadlineMs = 20_000,
): Promise<Exclude<T, false | undefined | null>> => {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const seen = await look();
    if (seen) return seen as Exclude<T, false | undefined | null>;
    if (end < Date.now()) throw new Error(`${what}: not within ${deadlineMs / 1000} s`);
    await after(LOOKS_MS);
  }
};
