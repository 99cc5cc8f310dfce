/** Debian's Chromium, as a viewer has it: with the back/forward cache and throttled timers. */

import { type Browser, type BrowserContext, type Page, chromium } from 'playwright-core';
import { until } from './until.js';

export const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
export const ARGUMENTS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--autoplay-policy=no-user-gesture-required',
  '--mute-audio',
];

export const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: EXECUTABLE,
    args: ARGUMENTS,
    // Playwright's defaults take away what is tested here.
    ignoreDefaultArgs: [
      '--disable-back-forward-cache',
      '--disable-background-timer-throttling',
      '--disable-backgrounding-occluded-windows',
      '--disable-renderer-backgrounding',
    ],
  });

/** What the SDK told its page, in order. */
export interface Told {
  name: 'state' | 'denied' | 'stopped' | 'error';
  // As the page wrote it down.
  what: any;
}

/** A page with a player on it. */
export interface Player {
  page: Page;
  play: () => Promise<void>;
  state: () => Promise<string>;
  streamId: () => Promise<string | undefined>;
  told: () => Promise<Told[]>;
  isPaused: () => Promise<boolean>;
  reaches: (state: string) => Promise<void>;
}

const inPage = <T>(page: Page, script: string): Promise<T> => page.evaluate(script) as Promise<T>;

export const player = (page: Page): Player => ({
  page,
  play: () => inPage(page, 'video.play()'),
  state: () => inPage(page, 'handle.state'),
  streamId: () => inPage(page, 'handle.streamId'),
  told: () => inPage(page, 'JSON.parse(JSON.stringify(told))'),
  isPaused: () => inPage(page, 'video.paused'),
  async reaches(state) {
    await until(`the player is ${state}`, async () => (await inPage(page, 'handle.state')) === state);
  },
});

/** Where a page with a player is. */
export const address = (origin: string, options: Record<string, unknown>, path = '/player'): string =>
  `${origin}${path}?options=${encodeURIComponent(JSON.stringify(options))}`;

/** Opens the page and lets the player be; `path` says which. */
export const open = async (
  context: BrowserContext,
  origin: string,
  options: Record<string, unknown>,
  path?: string,
): Promise<Player> => {
  const page = await context.newPage();
  await page.goto(address(origin, options, path));
  return player(page);
};

/** Kills the process that shows the page. */
export const crash = async (page: Page): Promise<void> => {
  const crashed = page.waitForEvent('crash');
  const session = await page.context().newCDPSession(page);
  // Nobody is left to answer it.
  session.send('Page.crash').catch(() => {});
  await crashed;
};
