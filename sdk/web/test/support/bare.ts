/**
 * Chromium without Playwright, which makes every page believe that it is in front: here a tab is
 * hidden by another one, and can be frozen.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { ARGUMENTS, EXECUTABLE } from './browser.js';
import { until } from './until.js';

export interface Tab {
  evaluate: (script: string) => Promise<any>;
  /** Sends a command of the DevTools protocol. */
  send: (method: string, params?: object) => Promise<any>;
}

export interface Bare {
  /** Opens a tab in front of the others. */
  open: (url: string) => Promise<Tab>;
  close: () => Promise<void>;
}

export const bare = async (): Promise<Bare> => {
  const home = mkdtempSync(join(tmpdir(), 'streamgate-chromium-'));
  const args = [
    ...ARGUMENTS,
    `--user-data-dir=${home}`,
    // Timers of a hidden page run once a minute after 5 minutes; here after a second.
    '--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1',
    '--remote-debugging-pipe',
    'about:blank',
  ];
  const child = spawn(EXECUTABLE, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const [commands, answers] = [child.stdio[3] as Writable, child.stdio[4] as Readable];
  const waiting = new Map<number, (answer: any) => void>();
  let text = '';
  answers.setEncoding('utf8').on('data', (piece: string) => {
    const messages = (text + piece).split('\0');
    text = messages.pop() ?? '';
    for (const message of messages.map((it) => JSON.parse(it))) waiting.get(message.id)?.(message);
  });
  let commandsSent = 0;
  const send = async (method: string, params: object = {}, sessionId?: string) => {
    const id = ++commandsSent;
    const answered = new Promise<any>((resolve) => waiting.set(id, resolve));
    commands.write(JSON.stringify({ id, method, params, sessionId }) + '\0');
    const { error, result } = await answered;
    waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  return {
    async open(url) {
      const { targetId } = await send('Target.createTarget', { url });
      const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
      const evaluate = async (expression: string) => {
        const script = { expression, awaitPromise: true, returnByValue: true };
        const { result, exceptionDetails } = await send('Runtime.evaluate', script, sessionId);
        if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
        return result.value;
      };
      const isLoaded = () => evaluate(`document.readyState === 'complete' && location.href !== 'about:blank'`);
      await until(`${url} is loaded`, isLoaded);
      return { evaluate, send: (method, params) => send(method, params, sessionId) };
    },
    async close() {
      const ended = once(child, 'exit');
      await send('Browser.close');
      await ended;
      rmSync(home, { recursive: true, force: true, maxRetries: 9, retryDelay: 100 });
    },
  };
};
