// A real OpenID provider on loopback: JWT access tokens for the `resource` that is asked for (RFC 8707), a machine and
// a person as clients, keys that rotate and an outage on request. Runs until SIGTERM, or until stdin ends when
// `until_stdin_ends` is true. It knows nothing of Sidegate.
//
// Configuration: {port?: 0, alg?: "ES256", resource?: [allowed resources; any when absent], ttl?: seconds (3600), scope?: "tools",
//   machines?: {client_id: client_secret}, redirect_uri?, until_stdin_ends?}.
// Ready line: {issuer, jwks_uri, token_endpoint, alg, kid, machines, person: {client_id, redirect_uri, login},
//   subject_claim, control: {rotate, requests, outage}, pid}.
// In its tokens `sub` names the machine by its client_id (and the person by the login); `client_id` is there beside it.
import { createServer } from 'node:http';
import { generateKeyPair, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';

// The provider's notices go to console.info; stdout carries the ready line alone.
console.info = console.error;
const { default: Provider, errors } = await import('oidc-provider');

const argument = process.argv[2];
const config = JSON.parse(argument ?? '{}');
const alg = config.alg ?? 'ES256';
const ttl = config.ttl ?? 3600;
const machines = config.machines ?? { 'agent-1': 'agent-1-secret', 'agent-2': 'agent-2-secret', stranger: 'stranger-secret' };
const redirectUri = config.redirect_uri ?? 'http://127.0.0.1/callback';
const scope = config.scope ?? 'tools';
const requests = [];
let outage = null;
let keys = [];
let issuer;
let handle;

const CURVES = { ES256: 'P-256', ES384: 'P-384' };

async function newKey() {
  const generate = promisify(generateKeyPair);
  const family = alg === 'EdDSA' ? ['ed25519', {}] : CURVES[alg] ? ['ec', { namedCurve: CURVES[alg] }] : ['rsa', { modulusLength: 2048 }];
  const { privateKey } = await generate(...family);
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg };
}

function client(id, fields) {
  return { client_id: id, id_token_signed_response_alg: alg, response_types: [], redirect_uris: [], ...fields };
}

/** A provider is made anew for each set of keys; sessions and grants live in its process-wide memory adapter. */
function build() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    enabledJWA: { idTokenSigningAlgValues: [alg] },
    clientDefaults: { id_token_signed_response_alg: alg },
    clients: [
      ...Object.entries(machines).map(([id, secret]) => client(id, { client_secret: secret, grant_types: ['client_credentials'] })),
      client('person-client', {
        token_endpoint_auth_method: 'none',
        application_type: 'native',
        grant_types: ['authorization_code'],
        response_types: ['code'],
        redirect_uris: [redirectUri],
      }),
    ],
    cookies: { keys: [randomUUID()] },
    pkce: { required: () => true },
    ttl: { AccessToken: ttl, ClientCredentials: ttl, Interaction: 600, Session: 600, Grant: 600, AuthorizationCode: 60 },
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    loadExistingGrant: grantAll,
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, resource) => {
          if (config.resource && !config.resource.includes(resource)) throw new errors.InvalidTarget();
          return { scope, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: ttl, jwt: { sign: { alg } } };
        },
      },
    },
  });
  provider.on('server_error', (_ctx, error) => console.error(error));
  return provider;
}

/** Consent is given beforehand for whatever is asked. */
async function grantAll(ctx) {
  const { oidc } = ctx;
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope('openid');
  for (const resource of [oidc.params.resource ?? []].flat()) grant.addResourceScope(resource, scope);
  await grant.save();
  return grant;
}

async function readBody(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function json(response, status, value) {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(value)}\n`);
}

/** POST /__rotate {"keep": true} leaves the old public keys in the JWKS; by default they go. */
async function rotate(options) {
  const fresh = await newKey();
  keys = options.keep ? [fresh, ...keys] : [fresh];
  const provider = build();
  handle = { provider, callback: provider.callback() };
  return { kid: fresh.kid, kids: keys.map((key) => key.kid) };
}

async function interaction(request, response) {
  if (request.method === 'GET') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`<form method="post" action="${request.url}"><input name="login"><button>Sign in</button></form>`);
    return;
  }
  const form = new URLSearchParams(await readBody(request));
  // A native client must see a consent each time; what it grants is in grantAll.
  await handle.provider.interactionFinished(request, response, { login: { accountId: form.get('login') }, consent: {} });
}

/** What reached the provider, newest last; a form's `client_secret`, `code` and `code_verifier` are left out. */
function remember(request, path) {
  const seen = { method: request.method, path };
  requests.push(seen);
  const url = new URL(request.url, issuer);
  if (url.searchParams.has('resource')) seen.resource = url.searchParams.get('resource');
  if (request.method !== 'POST' || path !== '/token') return;
  const basic = /^Basic (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (basic) [seen.client_id] = Buffer.from(basic, 'base64').toString().split(':');
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const form = new URLSearchParams(Buffer.concat(chunks).toString('utf8'));
    for (const field of ['grant_type', 'resource', 'scope', 'client_id']) {
      if (form.has(field)) seen[field] = form.get(field);
    }
  });
}

const server = createServer(async (request, response) => {
  const path = request.url.split('?')[0];
  try {
    if (path === '/__requests') return json(response, 200, requests);
    if (path === '/__rotate') return json(response, 200, await rotate(JSON.parse((await readBody(request)) || '{}')));
    if (path === '/__outage') {
      // {"status": 503} answers everything but the control paths with it; {"status": null} ends the outage.
      outage = JSON.parse(await readBody(request)).status;
      return json(response, 200, { status: outage });
    }
    remember(request, path);
    if (outage !== null) return json(response, outage, { error: 'temporarily_unavailable' });
    if (path.startsWith('/interaction/')) return await interaction(request, response);
    return handle.callback(request, response);
  } catch (error) {
    console.error(error);
    if (!response.headersSent) json(response, 500, { error: String(error.message) });
    else response.destroy();
  }
});

server.listen(config.port ?? 0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  const { kid } = await rotate({});
  process.stdout.write(`${JSON.stringify({
    issuer,
    jwks_uri: `${issuer}/jwks`,
    token_endpoint: `${issuer}/token`,
    alg,
    kid,
    machines,
    person: { client_id: 'person-client', redirect_uri: redirectUri, login: 'person-1' },
    subject_claim: 'sub',
    control: { rotate: `${issuer}/__rotate`, requests: `${issuer}/__requests`, outage: `${issuer}/__outage` },
    pid: process.pid,
  })}\n`);
});

function stop() {
  server.close(() => process.exit(0));
  server.closeAllConnections();
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);
if (config.until_stdin_ends) process.stdin.on('end', stop).resume();
