/**
 * A live broadcast behind a gateway: ffmpeg makes HLS and DASH, nginx with the recipe of
 * deploy/nginx lets whoever has a place have it.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.js';

const RECIPE = fileURLToPath(new URL('../../../../deploy/nginx/', import.meta.url));
const NGINX = '/usr/sbin/nginx';
const SEGMENT_SECONDS = 1;

export interface Broadcast {
  /** Where the pages and the media are. */
  origin: string;
  /** `live.m3u8` and `live.mpd`, for who has a place. */
  media: string;
  end: () => Promise<void>;
}

const end = async (child: ChildProcess) => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
};

/** Fails where a recipe does not have what is replaced. */
const replaced = (text: string, pairs: [string, string][]) =>
  pairs.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`no ${from} in the recipe`);
    return text.replaceAll(from, to);
  }, text);

/** Before the service at this port and the pages at that origin. */
export const broadcast = async (service: string, pages: string, port: number): Promise<Broadcast> => {
  const home = mkdtempSync(join(tmpdir(), 'streamgate-broadcast-'));
  const media = join(home, 'video/media');
  mkdirSync(media, { recursive: true });
  const recipe = (name: string, ...pairs: [string, string][]) =>
    writeFileSync(join(home, name), replaced(readFileSync(RECIPE + name, 'utf8'), pairs));
  const own = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((it) => `${it}_temp_path ${home}/${it};`);
  recipe(
    'nginx.conf',
    ['/etc/nginx/', `${home}/`],
    ['listen 80;', `listen 127.0.0.1:${port}; location / { proxy_pass ${pages}; }`],
    ['/srv/video', join(home, 'video')],
    ['http {', `http { ${own.join(' ')} access_log off;`],
  );
  recipe('streamgate-check.conf', ['/etc/nginx/', `${home}/`]);
  recipe('streamgate-ask.conf');
  recipe('streamgate.conf', ['127.0.0.1:8080', new URL(service).host], [
    '/var/lib/nginx/streamgate',
    join(home, 'cache'),
  ]);

  const source = ['-re', '-f', 'lavfi', '-i', `testsrc2=size=320x180:rate=25`];
  const coded = ['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p'];
  // Each segment begins with a key frame.
  const cut = ['-g', `${25 * SEGMENT_SECONDS}`, '-keyint_min', `${25 * SEGMENT_SECONDS}`, '-sc_threshold', '0'];
  const dash = ['-f', 'dash', '-seg_duration', `${SEGMENT_SECONDS}`, '-window_size', '6', '-extra_window_size', '6'];
  const hls = ['-hls_playlist', '1', '-hls_master_name', 'live.m3u8'];
  const film = spawn(
    'ffmpeg',
    ['-v', 'error', ...source, ...coded, ...cut, ...dash, ...hls, join(media, 'live.mpd')],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  const globals = `daemon off; user root; pid ${home}/pid;`;
  const nginx = spawn(NGINX, ['-p', home, '-c', `${home}/nginx.conf`, '-e', 'stderr', '-g', globals], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const origin = `http://127.0.0.1:${port}`;
  await until('the broadcast is on the air', async () => {
    for (const child of [film, nginx]) {
      if (child.exitCode !== null) throw new Error(`${child.spawnfile} ended with ${child.exitCode}`);
    }
    const isServed = await fetch(`${origin}/elsewhere`).then((answer) => answer.ok, () => false);
    return isServed && existsSync(join(media, 'live.m3u8'));
  });
  return {
    origin,
    media: `${origin}/media`,
    async end() {
      await end(nginx);
      await end(film);
      rmSync(home, { recursive: true, force: true });
    },
  };
};
