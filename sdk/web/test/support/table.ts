/** What was measured: after which event a place was free, and when. Printed at the end of a run. */

import { appendFileSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const file = join(tmpdir(), `streamgate-players-${process.env.STREAMGATE_PLAYERS_RUN ?? 'alone'}.jsonl`);

export const measured = (event: string, sinceMs: number): void => {
  const seconds = (Date.now() - sinceMs) / 1000;
  appendFileSync(file, JSON.stringify({ event, seconds }) + '\n');
};

/** What vitest calls around a whole run. */
export const setup = (): (() => void) => {
  rmSync(file, { force: true });
  return () => {
    if (!existsSync(file)) return;
    const rows = readFileSync(file, 'utf8').trim().split('\n').map((it) => JSON.parse(it));
    rmSync(file);
    const width = Math.max(...rows.map((it) => it.event.length));
    console.log(`\n${'event'.padEnd(width)}  seconds until the place is free`);
    for (const { event, seconds } of rows) console.log(`${event.padEnd(width)}  ${seconds.toFixed(2)}`);
  };
};
