// The MCP Inspector's command line: a process for each step, its configuration in a file so that no token is an argument.
// Configuration: {mcp_url, token, folder: for its files, mode: "legacy" | "auto" | "modern", ca_file, query?, read?, write?,
// cancel?}. It has no way to call a call off but to be ended, which says something in the newest revision only.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aborted, begun, converse, main, readConfig, slowReport } from './common.mjs';

const config = readConfig(['mcp_url', 'token', 'folder', 'mode', 'ca_file']);
const inspector = new URL('inspector/node_modules/@modelcontextprotocol/inspector/', import.meta.url);
const launcher = fileURLToPath(new URL('clients/launcher/build/index.js', inspector));
const servers = join(config.folder, 'servers.json');

const server = {
  type: 'streamable-http',
  url: config.mcp_url,
  headers: { Authorization: `Bearer ${config.token}` },
  protocolEra: config.mode,
};

function inspect(...args) {
  const common = ['--cli', '--config', servers, '--server', 'sidegate', '--format', 'json', '--quiet'];
  const child = spawn(process.execPath, [launcher, ...common, ...args], {
    env: { PATH: process.env.PATH, HOME: config.folder, NODE_EXTRA_CA_CERTS: config.ca_file },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => { said.out += text; });
  child.stderr.setEncoding('utf8').on('data', (text) => { said.err += text; });
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...said })));
  return { child, ended };
}

const calling = (params) =>
  ['--method', 'tools/call', '--tool-name', params.name, '--tool-args-json', JSON.stringify(params.arguments)];

async function told(...args) {
  const { code, out, err } = await inspect(...args).ended;
  try {
    return JSON.parse(out).result;
  } catch {
    throw new Error(`the Inspector ended with ${code} and no JSON: ${out}${err}`);
  }
}

/** What converse() needs of a client. */
const client = {
  listTools: () => told('--method', 'tools/list'),
  callTool: (params) => told(...calling(params)),
};

async function cancelOne({ watch, call }) {
  const { child, ended } = inspect(...calling({ name: 'call_api_endpoint', arguments: call }));
  const reached = await slowReport(watch, begun);
  child.kill('SIGINT');
  const { code } = await ended;
  if (!reached) return { ended: 'never begun', aborted: false };
  return { ended: code === 0 ? 'answered' : 'rejected', aborted: await slowReport(watch, aborted) };
}

await main({ client: `inspector-${config.mode}` }, async () => {
  writeFileSync(servers, JSON.stringify({ mcpServers: { sidegate: server } }), { mode: 0o600 });
  const result = await converse(client, config);
  if (config.cancel) result.cancelled = await cancelOne(config.cancel);
  return result;
});
