// Fails when a bundle is larger than promised, when dist/ is not what the sources build, or when the
// demo's hls.js is not npm's.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const GZIP_BYTES_MAX = 3000;

const fresh = mkdtempSync(join(tmpdir(), 'streamgate-web-'));
const mistakes = [];
try {
  execFileSync(process.execPath, ['scripts/build.mjs', fresh], { stdio: 'inherit' });
  const names = [...new Set([...readdirSync(fresh), ...readdirSync('dist')])].sort();
  for (const name of names) {
    const [built, committed] = [fresh, 'dist'].map((dir) => read(join(dir, name)));
    if (built !== committed) mistakes.push(`dist/${name} is not what the sources build: npm run build`);
    if (!name.endsWith('.js') || built === undefined) continue;
    const bytes = gzipSync(built, { level: 9 }).length;
    console.log(`${name}: ${built.length} bytes, ${bytes} with gzip`);
    if (GZIP_BYTES_MAX < bytes) mistakes.push(`${name} has ${bytes} bytes with gzip; ${GZIP_BYTES_MAX} are promised`);
  }
} finally {
  rmSync(fresh, { recursive: true });
}
// Cargo has no npm packages; so a copy is committed, without the address of its source map.
const demo = '../../crates/streamgate-server/assets/demo';
const map = '\n//# sourceMappingURL=hls.light.min.js.map';
if (read('node_modules/hls.js/dist/hls.light.min.js')?.replace(map, '').trim() !== read(`${demo}/hls.light.min.js`)?.trim()) {
  mistakes.push(`${demo}/hls.light.min.js is not the light build of package.json's hls.js`);
}
if (read('node_modules/hls.js/LICENSE') !== read(`${demo}/hls.light.LICENSE`)) {
  mistakes.push(`${demo}/hls.light.LICENSE is not the license of hls.js`);
}
for (const mistake of mistakes) console.error(mistake);
process.exitCode = mistakes.length === 0 ? 0 : 1;

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
