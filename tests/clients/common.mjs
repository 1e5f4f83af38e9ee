// What every JavaScript client here shares: its configuration, the CA, the conversation with Sidegate and the
// one-line result. It knows no SDK; the programs hand in a connected client.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import tls from 'node:tls';

/** Configuration: a JSON object as the first argument, or on stdin when there is none or it is "-". */
export function readConfig(required) {
  const argument = process.argv[2];
  const text = argument === undefined || argument === '-' ? readFileSync(0, 'utf8') : argument;
  let config;
  try {
    config = JSON.parse(text);
  } catch (error) {
    usage(`the configuration is not JSON: ${error.message}`);
  }
  const missing = required.filter((key) => config[key] === undefined || config[key] === null);
  if (missing.length > 0) usage(`the configuration lacks ${missing.join(', ')}`);
  if (config.ca_file) trust(config.ca_file);
  return config;
}

function usage(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

/** Adds a PEM file to the roots that fetch trusts; NODE_EXTRA_CA_CERTS does the same from outside. */
function trust(file) {
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(file, 'utf8')]);
}

/**
 * A fetch that writes down what went over the wire, without secrets: method, url, status, and of a form the fields
 * `grant_type` and `resource`; of a JSON-RPC message its method; of a challenge the whole header.
 */
export function tracedFetch(trace) {
  return async (url, init = {}) => {
    const step = { method: init.method ?? 'GET', url: String(url) };
    trace.push(step);
    describeBody(step, init.body);
    const headers = new Headers(init.headers);
    step.bearer = /^bearer /i.test(headers.get('authorization') ?? '');
    const response = await fetch(url, init);
    step.status = response.status;
    const challenge = response.headers.get('www-authenticate');
    if (challenge) step.challenge = challenge;
    return response;
  };
}

function describeBody(step, body) {
  if (body === undefined || body === null) return;
  const text = String(body);
  if (text.startsWith('{')) {
    try {
      step.rpc = JSON.parse(text).method;
    } catch {
      step.rpc = null;
    }
    return;
  }
  const form = new URLSearchParams(text);
  for (const field of ['grant_type', 'resource', 'scope']) {
    if (form.has(field)) step[field] = form.get(field);
  }
}

export const textOf = (result) =>
  (result.content ?? [])
    .filter((part) => part.type === 'text')
    .map((part) => part.text)
    .join('\n');

const excerpt = (text) => (text.length > 600 ? `${text.slice(0, 600)}...` : text);

function firstEntry(result) {
  try {
    const found = result.structuredContent ?? JSON.parse(textOf(result));
    return found.results?.[0]?.entryId ?? null;
  } catch {
    return null;
  }
}

/**
 * The conversation every client holds: list, search, one read, one write attempt. `write: null` in the configuration
 * leaves the write out; `read` and `write` replace the arguments of call_api_endpoint.
 */
export async function converse(client, config) {
  const read = config.read ?? { entryId: 'get-_api_v1_tickets', query: { limit: 2 } };
  const write =
    config.write === undefined
      ? { entryId: 'post-_api_v1_tickets', body: { title: 'A ticket from a test client' } }
      : config.write;
  const listed = await client.listTools();
  const searched = await client.callTool({
    name: 'search_api_registry',
    arguments: { query: config.query ?? 'list tickets' },
  });
  const answered = await client.callTool({ name: 'call_api_endpoint', arguments: read });
  const result = {
    tools: listed.tools.map((tool) => tool.name),
    searchFirst: firstEntry(searched),
    searchText: excerpt(textOf(searched)),
    readOk: answered.isError !== true,
    readText: excerpt(textOf(answered)),
    readStructured: answered.structuredContent !== undefined,
  };
  if (write !== null) {
    const wrote = await client.callTool({ name: 'call_api_endpoint', arguments: write });
    result.writeIsError = wrote.isError === true;
    result.writeText = excerpt(textOf(wrote));
  }
  return result;
}

/** Whether the slow report is among what the PSA says it was asked for, as `wanted`, at the latest after ten seconds. */
export async function slowReport(watch, wanted) {
  for (let tries = 0; tries < 200; tries += 1) {
    const requests = await (await fetch(watch)).json();
    if (requests.some((request) => request.path.startsWith('/api/v1/reports/slow') && wanted(request))) return true;
    await pause(50);
  }
  return false;
}

export const begun = () => true;
export const aborted = (request) => request.aborted === true;

/**
 * Begins a slow call and calls it off by the SDK's own means once the PSA has it; `call` is callTool with its options. The
 * connection stays open until the PSA has seen the call end, so that it is not leaving that ends it. `cancel` of the
 * configuration: {watch: where the PSA lists its requests, call: the arguments}.
 */
export async function cancelOne(call, { watch, call: slow }) {
  const off = new AbortController();
  const called = call({ name: 'call_api_endpoint', arguments: slow }, { signal: off.signal });
  const ended = called.then(() => 'answered', () => 'rejected');
  if (!(await slowReport(watch, begun))) return { ended: 'never begun', aborted: false };
  off.abort();
  return { ended: await ended, aborted: await slowReport(watch, aborted) };
}

/** What an error says, and what caused it: SDK errors and fetch's "fetch failed" hide the reason in `cause`. */
function describe(error) {
  const said = { name: error?.name ?? 'Error', message: String(error?.message ?? error) };
  if (error?.code !== undefined) said.code = error.code;
  if (error?.data !== undefined) said.data = error.data;
  if (error?.cause) said.cause = describe(error.cause);
  return said;
}

/**
 * Runs a program: prints one JSON line and exits 0, or one JSON line with `error` and exits 1.
 * `partial` is an object that the body fills while it goes, so that a failure still shows the steps before it.
 */
export async function main(partial, body) {
  let code = 0;
  let line;
  try {
    line = { ...partial, ...(await body()) };
  } catch (error) {
    code = 1;
    line = { ...partial, error: describe(error) };
  }
  process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(code));
}
