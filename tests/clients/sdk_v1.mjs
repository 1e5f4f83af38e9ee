// The first generation of the official TypeScript SDK, with a bearer token that is handed in.
// Configuration: {mcp_url, token, ca_file?, query?, read?, write?, cancel?}.
import { cancelOne, converse, main, readConfig, tracedFetch } from './common.mjs';
import { generation } from './connect.mjs';

const config = readConfig(['mcp_url', 'token']);
const sdk = generation('v1');
const trace = [];
await main({ client: sdk.label, trace }, async () => {
  const client = sdk.client();
  const transport = sdk.transport(new URL(config.mcp_url), { ...sdk.bearer(config.token), fetch: tracedFetch(trace) });
  await client.connect(transport);
  const revision = sdk.revision(client, transport);
  const server = client.getServerVersion()?.name ?? null;
  const result = await converse(client, config);
  if (config.cancel) result.cancelled = await cancelOne(sdk.call(client), config.cancel);
  await client.close();
  return { revision, server, ...result };
});
