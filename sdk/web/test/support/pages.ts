/** A video platform's web server: pages with a player, from another origin than streamgate's. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const root = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const FILM = root('../../crates/streamgate-server/assets/demo/film/');
/** The film's pieces in a row are an MP4 file. */
const film = Buffer.concat(
  ['init.mp4', ...[0, 1, 2, 3, 4, 5].map((it) => `film${it}.m4s`)].map((it) => readFileSync(FILM + it)),
);

/** Attaches to the one media element; what the SDK says is in `told`. */
const PLAYER = `<!doctype html><meta charset=utf-8><title>player</title>
<video width=320 height=180 loop></video>
<script src=/sdk.js></script>
<script>
const options = JSON.parse(new URLSearchParams(location.search).get('options'));
const video = document.querySelector('video');
const told = [];
// What a token waits for.
let before;
const tell = (name) => (what) => told.push({ name, what });
const handle = streamgate.attach(video, {
  ...options,
  onDenied: tell('denied'), onStopped: tell('stopped'), onError: tell('error'), onState: tell('state'),
  ...(options.tokens && { getToken: async () => (await before, options.tokens.shift()) }),
});
let restored = false;
addEventListener('pageshow', (event) => { restored = event.persisted; });
video.src = '/film.mp4';
</script>`;

export interface Pages {
  origin: string;
  /** Any page more, such as one with another player. */
  add: (path: string, html: string, headers?: Record<string, string>) => void;
  end: () => Promise<void>;
}

export const pages = async (): Promise<Pages> => {
  const others = new Map<string, { html: string; headers: Record<string, string> }>();
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    const other = others.get(pathname);
    if (pathname === '/film.mp4') return sendFilm(request, response);
    if (pathname === '/sdk.js') {
      response.setHeader('Content-Type', 'text/javascript');
      return response.end(readFileSync(root('dist/streamgate.iife.js')));
    }
    if (!other) return response.writeHead(404).end();
    for (const [name, value] of Object.entries(other.headers)) response.setHeader(name, value);
    response.setHeader('Content-Type', 'text/html');
    response.end(other.html);
  };
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const add: Pages['add'] = (path, html, headers = {}) => others.set(path, { html, headers });
  add('/player', PLAYER);
  add('/player-without-blob-workers', PLAYER, {
    'Content-Security-Policy': "default-src 'self' 'unsafe-inline'; connect-src *; worker-src 'none'",
  });
  add('/player-with-trusted-types', PLAYER, {
    'Content-Security-Policy': "require-trusted-types-for 'script'",
  });
  add('/elsewhere', '<!doctype html><title>elsewhere</title>');
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add,
    async end() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
};

const sendFilm = (request: IncomingMessage, response: ServerResponse) => {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  response.setHeader('Content-Type', 'video/mp4');
  response.setHeader('Accept-Ranges', 'bytes');
  if (!range) return response.end(film);
  const from = Number(range[1]);
  const to = Math.min(Number(range[2] || film.length - 1), film.length - 1);
  response.setHeader('Content-Range', `bytes ${from}-${to}/${film.length}`);
  response.writeHead(206).end(film.subarray(from, to + 1));
};
