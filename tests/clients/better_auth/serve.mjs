// Better Auth with its OAuth provider, on loopback, with one machine; runs until stdin ends.
// Argument (JSON): {resource: the audience of its tokens}. Ready line: {issuer, token_endpoint, client_id, client_secret}.
// The machine's tokens are RFC 9068's: `sub` and `client_id` are its client id. It knows nothing of Sidegate.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { getAuthTables } from 'better-auth/db';
import { toNodeHandler } from 'better-auth/node';
import { jwt } from 'better-auth/plugins';
import { betterAuth } from 'better-auth';
import { oauthProvider } from '@better-auth/oauth-provider';

// Its notices go to the console; stdout carries the ready line alone.
console.log = console.info = console.warn = console.error;

const { resource } = JSON.parse(process.argv[2]);
let handle;
const server = createServer((request, response) => handle(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;

const options = {
  baseURL: issuer,
  basePath: '/',
  secret: randomBytes(32).toString('hex'),
  telemetry: { enabled: false },
  emailAndPassword: { enabled: true },
  plugins: [
    jwt({ jwt: { issuer } }),
    oauthProvider({
      loginPage: '/sign-in',
      consentPage: '/consent',
      scopes: ['openid', 'tools'],
      resources: [resource],
      // The only account is the administrator's.
      clientPrivileges: () => true,
      resourcePrivileges: () => true,
      silenceWarnings: { oauthAuthServerConfig: true, openidConfig: true },
    }),
  ],
};
const tables = Object.fromEntries(Object.values(getAuthTables(options)).map((table) => [table.modelName, []]));
const auth = betterAuth({ ...options, database: memoryAdapter(tables) });
handle = toNodeHandler(auth);

const headers = new Headers({ cookie: await administrator() });
const machine = await auth.api.adminCreateOAuthClient({
  headers,
  body: {
    client_name: 'triage',
    grant_types: ['client_credentials'],
    client_credentials_scopes: ['tools'],
    scope: 'tools',
    token_endpoint_auth_method: 'client_secret_basic',
  },
});
await auth.api.adminLinkClientResource({ headers, params: { identifier: resource, client_id: machine.client_id } });

const { client_id, client_secret } = machine;
const ready = { issuer, token_endpoint: `${issuer}/oauth2/token`, client_id, client_secret };
process.stdout.write(`${JSON.stringify(ready)}\n`);
process.stdin.resume().on('end', () => process.exit(0));

/** Signs up the one account and returns its cookies. */
async function administrator() {
  const body = { email: 'admin@acme.example', name: 'Admin', password: randomBytes(16).toString('hex') };
  const signedUp = await auth.api.signUpEmail({ body, returnHeaders: true });
  return signedUp.headers.getSetCookie().map((line) => line.split(';')[0]).join('; ');
}
