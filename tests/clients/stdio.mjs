// The official TypeScript SDKs over stdio: each starts the command itself. `mode` is "v1" for the first generation, else how
// the second negotiates. Configuration: {command, args?, env?, mode, query?, read?, write?}.
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { converse, main, readConfig } from './common.mjs';
import { generation } from './connect.mjs';

const config = readConfig(['command', 'mode']);
const first = config.mode === 'v1';
const sdk = first ? generation('v1') : generation('v2', config.mode);
await main({ client: `${sdk.label}-stdio` }, async () => {
  const client = sdk.client();
  const transport = new (first ? StdioV1 : StdioV2)({ command: config.command, args: config.args ?? [], env: config.env });
  // Over stdio the first SDK's transport does not keep the revision either: it is told when the handshake is done.
  let revision = null;
  if (first) transport.setProtocolVersion = (version) => (revision = version);
  await client.connect(transport);
  revision ??= sdk.revision(client, transport);
  const result = await converse(client, config);
  await client.close();
  return { revision, ...result };
});
