// A person's client that knows the MCP URL and its own public client id: the SDK's authorization-code flow with PKCE,
// the login filled in by this program instead of a browser, then the call with the token it was given.
// Many providers, the one in oidc.mjs too, refuse an authorization request without any scope: `openid` is the default.
// Configuration: {mcp_url, client_id, login?, redirect_uri?, sdk?: "v1" | "v2" (default), mode?, scope?, ca_file?, read?, write?}.
import { randomUUID } from 'node:crypto';
import { converse, main, readConfig, tracedFetch } from './common.mjs';
import { generation } from './connect.mjs';
import { login } from './login.mjs';

const config = readConfig(['mcp_url', 'client_id']);
const sdk = generation(config.sdk ?? 'v2', config.mode);
const redirectUri = config.redirect_uri ?? 'http://127.0.0.1/callback';
const trace = [];

/** The SDK's provider contract, kept in memory. What it is handed to store is stored unchanged. */
class Person {
  redirectUrl = redirectUri;
  clientMetadata = {
    client_name: 'sidegate-test-person',
    redirect_uris: [redirectUri],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
    scope: config.scope ?? 'openid',
  };
  #information = { client_id: config.client_id };
  #tokens;
  #verifier;
  #discovery;
  expected = randomUUID();
  authorizationUrl;

  state = () => this.expected;
  clientInformation = () => this.#information;
  saveClientInformation = (information) => { this.#information = information; };
  tokens = () => this.#tokens;
  saveTokens = (tokens) => { this.#tokens = tokens; };
  codeVerifier = () => this.#verifier;
  saveCodeVerifier = (verifier) => { this.#verifier = verifier; };
  discoveryState = () => this.#discovery;
  saveDiscoveryState = (state) => { this.#discovery = state; };
  redirectToAuthorization = (url) => { this.authorizationUrl = url; };
}

await main({ client: `${sdk.label}-authorization-code`, trace }, async () => {
  const person = new Person();
  const open = () => sdk.transport(new URL(config.mcp_url), { authProvider: person, fetch: tracedFetch(trace) });

  const first = open();
  try {
    await sdk.client().connect(first);
    throw new Error('the first connection was accepted without a token');
  } catch (error) {
    if (!person.authorizationUrl) throw error;
  }
  const asked = person.authorizationUrl.searchParams;
  const callback = await login(person.authorizationUrl, redirectUri, config.login ?? 'person-1');
  if (callback.get('state') !== person.expected) throw new Error('the callback carries another state than was sent');
  await sdk.finish(first, callback);

  const client = sdk.client();
  const transport = open();
  await client.connect(transport);
  const revision = sdk.revision(client, transport);
  const result = await converse(client, config);
  await client.close();
  return {
    revision,
    challengeMethod: asked.get('code_challenge_method'),
    resourceAtAuthorize: asked.get('resource'),
    resource: trace.find((step) => step.grant_type === 'authorization_code')?.resource ?? null,
    ...result,
  };
});
