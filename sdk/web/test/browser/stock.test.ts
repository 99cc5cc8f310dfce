/**
 * Players with no code of ours: what they report by CMCD keeps their places, and a gateway ends the
 * picture of whoever has none.
 */

import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broadcast, broadcast } from '../support/broadcast.js';
import { scene } from '../support/scene.js';
import { INTERVAL_SECONDS, LEASE_SECONDS, freePort } from '../support/server.js';
import { measured } from '../support/table.js';
import { until } from '../support/until.js';

/** How soon a picture must stand still after its stream was ended. */
const CUT_MAX_MS = 15_000;
/** A picture that does not move for so long stands still. */
const STILL_MS = 2_000;
const KEYS = `['sid', 'cid', 'sta', 'e', 'ts', 'sn', 'v']`;

/** The configurations of docs/players.md. */
const PLAYERS = {
  'hls.js': {
    file: 'hls.js/dist/hls.min.js',
    script: `
      const hls = new Hls({ cmcd: { version: 2, sessionId: cmcd.sid, contentId: 'movie-1', eventTargets: [
        { url, events: ['ps', 't', 'e'], interval: cmcd.intervalSeconds, includeKeys: ${KEYS} }] } });
      hls.loadSource(media + '/live.m3u8');
      hls.attachMedia(video);`,
  },
  Shaka: {
    file: 'shaka-player/dist/shaka-player.compiled.js',
    script: `
      const player = new shaka.Player();
      player.attach(video).then(() => {
        player.configure({ cmcd: { enabled: true, version: 2, sessionId: cmcd.sid, contentId: 'movie-1', eventTargets: [
          { enabled: true, url, events: ['ps', 't', 'e'], interval: cmcd.intervalSeconds, batchSize: 1, includeKeys: ${KEYS} }] } });
        return player.load(media + '/live.m3u8');
      });`,
  },
  'dash.js': {
    file: 'dashjs/dist/modern/umd/dash.all.min.js',
    script: `
      const player = dashjs.MediaPlayer().create();
      // It would ask a server on the internet what time it is.
      player.updateSettings({ streaming: { utcSynchronization: { enabled: false } } });
      player.updateSettings({ streaming: { cmcd: { enabled: true, version: 2, sid: cmcd.sid, cid: 'movie-1', eventTargets: [
        { enabled: true, url, events: ['ps', 't', 'e'], interval: cmcd.intervalSeconds, batchSize: 1, enabledKeys: ${KEYS} }] } } });
      player.initialize(video, media + '/live.mpd', true);`,
  },
};
type Name = keyof typeof PLAYERS;
const NAMES = Object.keys(PLAYERS) as Name[];

const port = await freePort();
const origin = `http://127.0.0.1:${port}`;
const it = scene({ STREAMGATE_CORS_ORIGINS: origin });
let live: Broadcast;

beforeAll(async () => {
  const installed = (file: string) => new URL(`../../node_modules/${file}`, import.meta.url);
  for (const name of NAMES) {
    const { file, script } = PLAYERS[name];
    const page = `<!doctype html><meta charset=utf-8><title>${name}</title>
      <video muted autoplay width=320 height=180></video>
      <script>${readFileSync(installed(file), 'utf8').replaceAll('</script', '<\\/script')}</script>
      <script>
        const { cmcd, api, media } = JSON.parse(new URLSearchParams(location.search).get('options'));
        const video = document.querySelector('video');
        const url = api + cmcd.url;
        ${script}
      </script>`;
    it.pages.add(`/${encodeURIComponent(name)}`, page);
  }
  live = await broadcast(it.server.url, it.pages.origin, port);
});
afterAll(() => live?.end());

/** A start by the back end; what its answer says of CMCD goes to the page. */
const start = (userId: string, device: string) =>
  it.server.call('POST', '/v1/streams', { userId, device: { id: device, name: device } });

/** Opens the page of a player; every answer of the collector to it is written down. */
const watch = async (name: Name, cmcd: unknown, answers: number[]): Promise<Page> => {
  const page = await (await it.viewer()).newPage();
  page.on('response', (answer) => {
    if (answer.url().includes('/v1/cmcd') && answer.request().method() === 'POST') answers.push(answer.status());
  });
  const options = encodeURIComponent(JSON.stringify({ cmcd, api: it.server.url, media: live.media }));
  await page.goto(`${live.origin}/${encodeURIComponent(name)}?options=${options}`);
  return page;
};

const position = (page: Page) => page.evaluate('video.currentTime') as Promise<number>;

const moves = async (page: Page, name: Name) => {
  const from = await position(page);
  await until(`${name} plays`, async () => from + 1 < (await position(page)));
};

/** Since when the picture has not moved. */
const still = async (page: Page, name: Name, deadlineMs: number): Promise<number> => {
  let last = await position(page);
  let since = Date.now();
  await until(`${name} stands still`, async () => {
    const now = await position(page);
    if (now !== last) [last, since] = [now, Date.now()];
    return STILL_MS < Date.now() - since;
  }, deadlineMs + STILL_MS);
  return since;
};

test('three stock players are admitted, a fourth is denied, and a gateway cuts whoever is ended', async () => {
  const userId = it.user();
  const answers: number[] = [];
  const watching: { name: Name; page: Page; id: string; startedAt: number }[] = [];
  for (const name of NAMES) {
    const { status, body } = await start(userId, name);
    expect(status).toBe(201);
    const page = await watch(name, body.cmcd, answers);
    watching.push({ name, page, id: body.streamId, startedAt: Date.parse(body.startedAt) });
  }
  expect((await start(userId, 'a fourth')).status).toBe(409);
  for (const { name, page } of watching) await moves(page, name);

  // Longer than a lease: without reports they would be gone.
  await until('each of them outlives its lease', async () => {
    const streams = await it.server.streams(userId);
    expect(streams.map((one) => one.device.name).sort()).toEqual([...NAMES].sort());
    const last = Math.min(...streams.map((one) => Date.parse(one.lastHeardAt)));
    const first = Math.max(...watching.map((one) => one.startedAt));
    return first + (LEASE_SECONDS + INTERVAL_SECONDS) * 1000 < last;
  }, 60_000);
  expect((await start(userId, 'a fourth')).status).toBe(409);

  for (const { name, page, id } of watching) {
    await moves(page, name);
    const since = Date.now();
    await it.server.evict(userId, id);
    const stood = await still(page, name, CUT_MAX_MS);
    expect(stood - since).toBeLessThan(CUT_MAX_MS);
    measured(`evicted: until the picture of ${name} stands still (live, behind nginx)`, since - Date.now() + stood);
  }
  expect(answers.length).toBeGreaterThan(3 * 3);
  expect(new Set(answers)).toEqual(new Set([204]));
}, 150_000);

test('a stock player whose tab is closed is silent, and its place can be had after 1.5 heartbeats', async () => {
  const userId = it.user();
  const { body } = await start(userId, 'tv');
  const page = await watch('hls.js', body.cmcd, []);
  await moves(page, 'hls.js');
  const since = Date.now();
  await page.close();
  await until('the stream is suspect', async () => (await it.server.streams(userId))[0]?.state === 'suspect');
  measured(`close the tab of a stock player: for whoever needs it (1.5 intervals of ${INTERVAL_SECONDS} s)`, since);
  await it.has(userId, 0);
  measured(`close the tab of a stock player: for nobody (lease of ${LEASE_SECONDS} s)`, since);
});

test('whatever a player reports, it is answered 204', async () => {
  const { body } = await start(it.user(), 'tv');
  const { sid, url } = body.cmcd;
  const record = (more: string) => `e=t,sid="${sid}",ts=1,v=2${more}`;
  const bodies = [
    '', '\n', '\n\n\n', ' ', 'null', '{}', '[]', '{"e":"t"}', '\0', '\u{1F3AC}', 'e', 'e=', '=t', ',,,', '"',
    `sid="${sid}`, record(',sta=p\n'), record(',sta=x'), record(',sta="p"'), record(',sn=-1'), record(',v=3'),
    record(',cid="a\\"b,c"'), record(`,cid="${'x'.repeat(2000)}"`), `${record('')}\n`.repeat(1000),
    'x'.repeat(100_000), 'e=t,sid="another",v=2',
  ];
  for (const target of [url, '/v1/cmcd', '/v1/cmcd?t=', '/v1/cmcd?t=forged', url + '&t=twice']) {
    for (const reported of bodies) {
      for (const type of ['application/cmcd', 'text/cmcd', 'application/json']) {
        const init = { method: 'POST', headers: { 'Content-Type': type }, body: reported };
        const { status } = await fetch(it.server.url + target, init);
        expect(status, `${target} ${type} ${reported.slice(0, 80)}`).toBe(204);
      }
    }
  }
});
