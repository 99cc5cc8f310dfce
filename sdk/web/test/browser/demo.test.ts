/** What `streamgate demo` shows: the story in ten seconds, and the picture in the README. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Browser, Frame, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { launch } from '../support/browser.js';
import { BINARY, freePort } from '../support/server.js';
import { measured } from '../support/table.js';
import { until } from '../support/until.js';

const PICTURE = fileURLToPath(new URL('../../../../docs/demo.png', import.meta.url));
const DEVICES = ['tv', 'phone', 'tablet', 'laptop'];

let browser: Browser;
let server: ChildProcess;
let address: string;
let page: Page;
const mistakes: string[] = [];

beforeAll(async () => {
  browser = await launch();
  const port = await freePort();
  address = `http://127.0.0.1:${port}/demo/`;
  server = spawn(BINARY, ['demo', '--listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'inherit'] });
  await until('the demo is there', () => fetch(address).then((answer) => answer.ok, () => false));
});
afterAll(async () => {
  await browser?.close();
  server?.kill('SIGTERM');
  if (server?.exitCode === null) await once(server, 'exit');
});
beforeEach(async () => {
  mistakes.length = 0;
  page = await browser.newPage({ viewport: { width: 1440, height: 800 } });
  page.on('pageerror', (error) => mistakes.push(error.message));
  // What the server refuses is the story; whatever else the browser complains of is not.
  page.on('console', (said) => {
    if (said.type() === 'error' && !/status of (409|410)/.test(said.text())) mistakes.push(said.text());
  });
  await page.goto(address);
});
afterEach(async () => {
  await page.close();
  expect(mistakes).toEqual([]);
});

const found = (device: string) => page.frames().find((it) => it.url().includes(`device=${device}&`));
const frame = (device: string): Frame => {
  const it = found(device);
  if (!it) throw new Error(`no frame of ${device}`);
  return it;
};
/** Not while its page is being loaded. */
const plays = async (device: string): Promise<boolean> => {
  const isPlaying = found(device)?.evaluate('window.player?.isPlaying ?? false') as Promise<boolean> | undefined;
  return (await isPlaying?.catch(() => false)) ?? false;
};
const playing = async () => {
  const are = await Promise.all(DEVICES.map(plays));
  return DEVICES.filter((_, index) => are[index]);
};
const press = (device: string, what: string) => page.click(`#${device} [data-do=${what}]`);
const story = () => page.locator('#story').innerText();
const curtain = async (device: string): Promise<string> =>
  (await found(device)?.locator('#curtain').innerText()) ?? '';
const place = (index: number) => page.locator(`#places li:nth-child(${index})`);

/** Three play, and the fourth was told so. */
const opened = async () => {
  await until('three play', async () => (await playing()).join() === 'tv,phone,tablet');
  await until('the fourth is told who is watching', async () => (await curtain('laptop')).includes('3 of 3 are watching'));
};

test('three play, the fourth says who is watching and takes over', async () => {
  await opened();
  expect(await page.locator('#count').innerText()).toBe('3 of 3 taken');
  const refused = await curtain('laptop');
  for (const name of ['Living room TV', "Ann's phone", 'Tablet']) expect(refused).toContain(name);
  await until('the clocks of the films run', async () => (await frame('tv').evaluate('video.currentTime') as number) > 9);
  await page.screenshot(process.env.UPDATE_PICTURE ? { path: PICTURE } : {});

  const since = Date.now();
  await frame('laptop').click('text=Stop Living room TV');
  await until('the laptop plays', () => plays('laptop'));
  await until('the TV says why it stopped', async () => (await curtain('tv')).includes('Another device took over'));
  measured('demo: taken over, until the TV stops', since);
  expect(await playing()).toEqual(['phone', 'tablet', 'laptop']);
  expect(await story()).toContain('took over from Living room TV');
});

test('a device that lost its power is silent, and its place can be had', async () => {
  await opened();
  const since = Date.now();
  await press('phone', 'crash');
  const working = () => page.locator('#phone button:enabled').count();
  await until('what is off can not be crashed', async () => (await working()) === 0);
  await until('its place can be had', async () => (await place(2).getAttribute('class')) === 'suspect');
  measured('demo: the plug is pulled, until the place can be had (1.5 intervals of 5 s)', since);
  expect(await story()).toContain("The place of Ann's phone can be had again");
  await frame('laptop').click('text=Try again');
  await until('the laptop has the place', async () => (await playing()).join() === 'tv,tablet,laptop');
  // The power comes back: there is no room for it any more.
  await frame('phone').click('text=Switch on again');
  await until('the phone is told so', async () => (await curtain('phone')).includes('3 of 3 are watching'));
});

test('who has no network plays on, a hidden tab keeps its place, a closed player frees it', async () => {
  await opened();
  await press('tv', 'offline');
  await press('tablet', 'hide');
  await until('the TV is silent', async () => (await place(1).getAttribute('class')) === 'suspect');
  expect(await plays('tv')).toBe(true);
  await press('tv', 'offline');
  await until('the TV is heard again', async () => (await place(1).getAttribute('class')) === 'live');
  expect(await place(3).getAttribute('class')).toBe('live');
  expect(await playing()).toEqual(['tv', 'phone', 'tablet']);
  const since = Date.now();
  await press('phone', 'stop');
  await until('there is room', async () => (await page.locator('#count').innerText()) === '2 of 3 taken');
  measured('demo: the player is closed', since);
});

test('two tabs of one browser do not stand in the way of each other', async () => {
  const context = await browser.newContext();
  const tabs = [await context.newPage(), await context.newPage()];
  const before = page;
  for (const tab of tabs) {
    page = tab;
    await tab.goto(address);
    await opened();
  }
  for (const tab of tabs) {
    page = tab;
    expect(await page.locator('#count').innerText()).toBe('3 of 3 taken');
    await frame('laptop').click('text=Stop Tablet');
    await until('the tablet stops', async () => (await curtain('tablet')).includes('Another device took over'));
    expect(await playing()).toEqual(['tv', 'phone', 'laptop']);
  }
  page = before;
  await context.close();
});

test.each([[390, 844], [1024, 768], [1366, 768]])('whom to stop can be chosen at %i x %i', async (width, height) => {
  await page.setViewportSize({ width, height });
  await opened();
  const heading = await frame('laptop').locator('#curtain p').evaluate((it) => it.getBoundingClientRect().top);
  expect(heading).toBeGreaterThanOrEqual(0);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
  await frame('laptop').click('text=Stop Living room TV', { timeout: 5_000 });
  await until('the laptop plays', () => plays('laptop'));
});
