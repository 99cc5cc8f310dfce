/** The video platform, as far as it signs its viewers' tokens. */

import { createHmac, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Platform {
  /** What makes a service take its tokens. */
  settings: Record<string, string>;
  token: (userId: string, lifetimeSeconds?: number) => string;
}

/** Its secret is kept in this directory. */
export const platform = (home: string): Platform => {
  const secret = randomBytes(32).toString('hex');
  const file = join(home, 'platform-secret');
  writeFileSync(file, secret, { mode: 0o600 });
  const text = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  return {
    settings: {
      STREAMGATE_AUTH: 'required',
      STREAMGATE_JWT_ISSUER: 'https://login.example.com/',
      STREAMGATE_JWT_AUDIENCE: 'streamgate',
      STREAMGATE_JWT_SECRET_FILE: file,
    },
    token(userId, lifetimeSeconds = 600) {
      const exp = Math.floor(Date.now() / 1000) + lifetimeSeconds;
      const claims = { iss: 'https://login.example.com/', aud: 'streamgate', sub: userId, exp };
      const signed = `${text({ alg: 'HS256', typ: 'JWT' })}.${text(claims)}`;
      return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
    },
  };
};
