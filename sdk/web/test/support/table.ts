/** What was measured: after which event a place was free, and when. Printed at the end of a run. */

import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Names the file that the processes of one run share. */
const SHARED = 'STREAMGATE_PLAYERS_TABLE';

export const measured = (event: string, sinceMs: number): void => {
  const seconds = (Date.now() - sinceMs) / 1000;
  appendFileSync(process.env[SHARED]!, JSON.stringify({ event, seconds }) + '\n');
};

/** What vitest calls around a whole run. */
export const setup = (): (() => void) => {
  const home = mkdtempSync(join(tmpdir(), 'streamgate-table-'));
  const file = join(home, 'rows');
  process.env[SHARED] = file;
  return () => {
    const rows = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map((it) => JSON.parse(it)) : [];
    rmSync(home, { recursive: true });
    if (rows.length === 0) return;
    rows.sort((a, b) => a.event.localeCompare(b.event));
    const width = Math.max(...rows.map((it) => it.event.length));
    console.log(`\n${'event'.padEnd(width)}  seconds until the place is free`);
    for (const { event, seconds } of rows) console.log(`${event.padEnd(width)}  ${seconds.toFixed(2).padStart(5)}`);
  };
};
