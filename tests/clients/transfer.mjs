// A large body down and one up, in one protocol, with either end held still for a while: whoever stands between has to hold
// the other end back then, or keep what comes. In HTTP/2 all requests share one connection, so that a body that is held must
// leave room for others. It knows the views of helpdesk/beside.py.
//
// Configuration: {base, ca_file, protocol: "h2" | "http/1.1", bytes, sized?: false, whether an upload says its length}.
// Prints {down: {bytes, whole: the digest is right, ahead}, up: {bytes, whole, ahead}}; `ahead` is by how many bytes the
// sender was before the end that was held, once nothing moved any more.
import { createHash, randomBytes } from 'node:crypto';
import http2 from 'node:http2';
import https from 'node:https';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { main, readConfig } from './common.mjs';

const config = readConfig(['base', 'ca_file', 'protocol', 'bytes']);
const BLOCK = 64 * 1024;

/** A request as {stream: what to write to, answer: of {status, headers, body}}, in either protocol. */
const open = { h2: openH2, 'http/1.1': openH1 }[config.protocol];

let session;
function openH2(method, path, headers = {}) {
  session ??= http2.connect(config.base);
  const stream = session.request({ ':method': method, ':path': path, ...headers }, { endStream: method === 'GET' });
  const answer = once(stream, 'response').then(([fields]) => ({ status: fields[':status'], headers: fields, body: stream }));
  return { stream, answer };
}

const agent = new https.Agent({ keepAlive: true, ALPNProtocols: ['http/1.1'] });
function openH1(method, path, headers = {}) {
  const stream = https.request(new URL(path, config.base), { method, headers, agent });
  const answer = once(stream, 'response').then(([got]) => ({ status: got.statusCode, headers: got.headers, body: got }));
  if (method === 'GET') stream.end();
  return { stream, answer };
}

async function readJson({ answer }) {
  const { status, body } = await answer;
  const text = Buffer.concat(await body.toArray()).toString();
  if (status !== 200) throw new Error(`${status} ${text.slice(0, 200)}`);
  return JSON.parse(text);
}

const seen = () => readJson(open('GET', '/stream/seen'));

/** What `read` says once it no longer changes. */
async function settled(read) {
  for (let before = await read(); ; ) {
    await pause(300);
    const now = await read();
    if (now === before) return now;
    before = now;
  }
}

async function down() {
  const { status, headers, body } = await open('GET', `/stream/down?bytes=${config.bytes}`).answer;
  if (status !== 200) throw new Error(`the download answered ${status}`);
  const digest = createHash('sha256');
  let bytes = 0;
  let ahead;
  for await (const part of body) {
    digest.update(part);
    bytes += part.length;
    ahead ??= (await settled(async () => (await seen()).sent)) - bytes;
  }
  return { bytes, ahead, whole: headers['content-digest'] === `sha-256=:${digest.digest('base64')}:` };
}

async function up() {
  const digest = createHash('sha256');
  const headers = config.sized ? { 'content-length': config.bytes } : {};
  const { stream, answer } = open('POST', '/stream/up?hold=1', headers);
  let written = 0;
  const write = async () => {
    for (let left = config.bytes; left > 0; left -= BLOCK) {
      const block = randomBytes(Math.min(BLOCK, left));
      digest.update(block);
      // A block counts when it has left this program.
      await new Promise((resolve, reject) => stream.write(block, (error) => (error ? reject(error) : resolve())));
      written += block.length;
    }
    stream.end();
  };
  const held = async () => {
    const ahead = (await settled(async () => written)) - (await seen()).received;
    await readJson({ answer: say('go') });
    return ahead;
  };
  const [ahead, got] = await Promise.all([held(), readJson({ answer }), write()]);
  return { bytes: got.bytes, ahead, whole: got.sha256 === digest.digest('hex') };
}

function say(word) {
  const { stream, answer } = open('POST', '/stream/say', { 'content-length': word.length });
  stream.end(word);
  return answer;
}

await main({}, async () => ({ down: await down(), up: await up() }));
