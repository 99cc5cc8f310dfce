// Builds what is published into the folder that is named: two bundles and the types.
import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';

const out = process.argv[2] ?? 'dist';
const common = {
  entryPoints: ['src/streamgate.ts'],
  bundle: true,
  minify: true,
  target: 'es2021',
  legalComments: 'none',
  logLevel: 'warning',
  banner: { js: '/*! streamgate web SDK | MIT OR Apache-2.0 */' },
};
await build({ ...common, format: 'esm', outfile: join(out, 'streamgate.js') });
await build({ ...common, format: 'iife', globalName: 'streamgate', outfile: join(out, 'streamgate.iife.js') });

execFileSync('node_modules/.bin/tsc', ['--project', 'tsconfig.build.json', '--outDir', out], { stdio: 'inherit' });
const published = ['streamgate.d.ts', 'types.d.ts'];
for (const name of readdirSync(out)) {
  if (name.endsWith('.d.ts') && !published.includes(name)) rmSync(join(out, name));
}
