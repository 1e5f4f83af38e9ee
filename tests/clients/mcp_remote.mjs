// A local client behind mcp-remote, as desktop programs are: the first SDK over stdio, and the bridge that it starts.
// Configuration: {mcp_url, token, folder: for the bridge's files, mode: "legacy" | "auto", ca_file, query?, read?, write?,
// cancel?}. What the bridge agrees on with the server, only the server can tell. Where that is the newest revision it passes a
// cancellation on as a notification, which nobody hears there: the local client's means is then to end the bridge.
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { aborted, begun, cancelOne, converse, main, readConfig, slowReport } from './common.mjs';
import { generation } from './connect.mjs';

const config = readConfig(['mcp_url', 'token', 'folder', 'mode', 'ca_file']);
const bridge = fileURLToPath(import.meta.resolve('mcp-remote/dist/proxy.js'));
async function endBridge(client, { watch, call }) {
  const called = client.callTool({ name: 'call_api_endpoint', arguments: call });
  const ended = called.then(() => 'answered', () => 'rejected');
  if (!(await slowReport(watch, begun))) return { ended: 'never begun', aborted: false };
  await client.close();
  return { ended: await ended, aborted: await slowReport(watch, aborted) };
}

await main({ client: `mcp-remote-${config.mode}` }, async () => {
  const client = new Client({ name: 'sidegate-test-desktop', version: '1.0.0' });
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [bridge, config.mcp_url, '--protocol', config.mode, '--header', 'Authorization:${AUTHORIZATION}'],
    env: {
      AUTHORIZATION: `Bearer ${config.token}`,
      MCP_REMOTE_CONFIG_DIR: config.folder,
      NODE_EXTRA_CA_CERTS: config.ca_file,
    },
  });
  await client.connect(transport);
  const server = client.getServerVersion()?.name ?? null;
  const result = await converse(client, config);
  if (config.cancel) {
    result.cancelled =
      config.mode === 'auto'
        ? await endBridge(client, config.cancel)
        : await cancelOne(generation('v1').call(client), config.cancel);
  }
  await client.close();
  return { server, ...result };
});
