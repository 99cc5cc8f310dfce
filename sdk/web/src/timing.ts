/** No wait between two tries is longer, unless the server says so. */
export const BACKOFF_CAP_MS = 60_000;
/** A server that asks for more is asked again after this. */
const RETRY_AFTER_CAP_SECONDS = 3600;

/** The interval give or take 10 %, so that players who started together do not stay together. */
export const jittered = (intervalMs: number): number => intervalMs * (0.9 + Math.random() / 5);

/** How long to wait after so many failures in a row: full jitter, and Retry-After on top. */
export const backoff = (failures: number, retryAfter?: string | null): number =>
  Math.min(Math.max(Number(retryAfter) || 0, 0), RETRY_AFTER_CAP_SECONDS) * 1000 +
  Math.random() * Math.min(BACKOFF_CAP_MS, 1000 * 2 ** failures);
