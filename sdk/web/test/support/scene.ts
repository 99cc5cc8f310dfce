/** A server, a web server and a browser for the tests of one file. */

import { type Browser, type BrowserContext } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { type Bare, type Tab, bare } from './bare.js';
import { type Player, address, launch, open } from './browser.js';
import { type Pages, pages } from './pages.js';
import { type Server, server } from './server.js';
import { until } from './until.js';

export interface Scene {
  server: Server;
  pages: Pages;
  /** A new viewer: nothing stored, nothing open. Closed after the test. */
  viewer: () => Promise<BrowserContext>;
  /** A user whom no other test has. */
  user: () => string;
  /** A player of this user on a page of its own. */
  open: (context: BrowserContext, options: Record<string, unknown>, path?: string) => Promise<Player>;
  /** The same, playing and admitted. */
  playing: (context: BrowserContext, options: Record<string, unknown>, path?: string) => Promise<Player>;
  /** A player of this user in a tab that another one hides, playing, or paused. */
  hidden: (options: Record<string, unknown>, then?: string, path?: string) => Promise<Tab>;
  /** The user has exactly so many streams. */
  has: (userId: string, count: number, deadlineMs?: number) => Promise<void>;
}

/** Everything is started before the first test of the file and ended after its last. */
export const scene = (settings: Record<string, string> = {}, { asksWhoCalls = false } = {}): Scene => {
  const it = {} as Scene;
  let browser: Browser;
  let users = 0;
  const contexts: BrowserContext[] = [];
  const bares: Bare[] = [];

  beforeAll(async () => {
    browser = await launch();
    it.pages = await pages();
    const origins = { STREAMGATE_CORS_ORIGINS: it.pages.origin };
    it.server = await server({ ...origins, ...settings }, { asksWhoCalls });
    await it.server.start();
  });
  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
    for (const browser of bares.splice(0)) await browser.close();
  });
  afterAll(async () => {
    await browser?.close();
    await it.pages?.end();
    await it.server?.end();
  });
  it.user = () => `user-${++users}`;
  it.viewer = async () => {
    const context = await browser.newContext();
    contexts.push(context);
    return context;
  };
  it.open = (context, options, path) =>
    open(context, it.pages.origin, { url: it.server.url, ...options }, path);
  it.playing = async (context, options, path) => {
    const player = await it.open(context, options, path);
    await player.play();
    await player.reaches('live');
    return player;
  };
  it.hidden = async (options, then = '', path) => {
    const browser = await bare();
    bares.push(browser);
    const tab = await browser.open(address(it.pages.origin, { url: it.server.url, ...options }, path));
    await tab.evaluate('video.play()');
    await until('the player is live', () => tab.evaluate(`handle.state === 'live'`));
    await tab.evaluate(then);
    await browser.open(it.pages.origin + '/elsewhere');
    await until('the tab is hidden', () => tab.evaluate('document.hidden'));
    return tab;
  };
  it.has = async (userId, count, deadlineMs) => {
    const isSo = async () => (await it.server.streams(userId)).length === count;
    await until(`${userId} has ${count} streams`, isSo, deadlineMs);
  };
  return it;
};
