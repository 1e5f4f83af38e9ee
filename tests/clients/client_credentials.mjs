// A machine that knows the MCP URL and its own client id and secret, and nothing else: the SDK's client-credentials
// provider goes 401, protected-resource metadata, issuer discovery, token with `resource`, call.
// Configuration: {mcp_url, client_id, client_secret, sdk?: "v1" | "v2" (default), mode?, issuer?, scope?, ca_file?, read?, write?}.
// `issuer` pins the authorization server; without it the SDK warns on stderr and follows the metadata.
import { converse, main, readConfig, tracedFetch } from './common.mjs';
import { generation } from './connect.mjs';

const config = readConfig(['mcp_url', 'client_id', 'client_secret']);
const sdk = generation(config.sdk ?? 'v2', config.mode);
const trace = [];
await main({ client: `${sdk.label}-client-credentials`, trace }, async () => {
  const provider = new sdk.ClientCredentials({
    clientId: config.client_id,
    clientSecret: config.client_secret,
    scope: config.scope,
    expectedIssuer: config.issuer,
  });
  const client = sdk.client();
  const transport = sdk.transport(new URL(config.mcp_url), { authProvider: provider, fetch: tracedFetch(trace) });
  await client.connect(transport);
  const revision = sdk.revision(client, transport);
  const result = await converse(client, config);
  await client.close();
  return { revision, resource: resourceSent(trace), ...result };
});

function resourceSent(steps) {
  return steps.find((step) => step.grant_type !== undefined)?.resource ?? null;
}
