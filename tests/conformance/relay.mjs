// Stands between a client that can neither send a token nor trust a CA, and Sidegate: adds the token, speaks TLS, and
// passes everything else on as it comes, both ways and unbuffered. Knows nothing of MCP.
//
//   node relay.mjs WHEREABOUTS      the file that holds what `sidegate demo --json` printed
//
// Prints the URL to use as one line, and runs until it is told to stop.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const { mcp_url, ca_file, token } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const target = new URL(mcp_url);
const agent = new https.Agent({ keepAlive: true, ca: readFileSync(ca_file) });

/** Of the connection and not of the message (RFC 9110 section 7.6.1); what is left of them each side says for itself. */
const HOPS = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']);

/** The raw headers as pairs, without those of the connection. */
function pairs(raw) {
  const found = [];
  for (let at = 0; at < raw.length; at += 2) {
    if (!HOPS.has(raw[at].toLowerCase())) found.push([raw[at], raw[at + 1]]);
  }
  return found;
}

/** Who asks for the relay itself is taken to Sidegate itself; a foreign Host or Origin stays what it is. */
function translated(name, value) {
  const { port } = server.address();
  const ours = [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`];
  if (name === 'host') return ours.includes(value.toLowerCase()) ? target.host : value;
  return ours.some((host) => value.toLowerCase() === `http://${host}`) ? target.origin : value;
}

function relay(request, response) {
  const headers = pairs(request.rawHeaders)
    .filter(([name]) => name.toLowerCase() !== 'authorization')
    .map(([name, value]) =>
      ['host', 'origin'].includes(name.toLowerCase()) ? [name, translated(name.toLowerCase(), value)] : [name, value],
    );
  headers.push(['Authorization', `Bearer ${token}`]);
  const onward = https.request({
    agent,
    host: target.hostname,
    port: target.port,
    servername: 'localhost', // else it would be taken from Host, which may be a stranger's
    method: request.method,
    path: request.url,
    headers: headers.flat(),
  });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.statusMessage, pairs(answer.rawHeaders).flat());
    response.flushHeaders();
    answer.on('error', () => response.destroy());
    answer.pipe(response);
  });
  onward.on('error', (error) => {
    if (response.headersSent || response.destroyed) return response.destroy();
    response.writeHead(502, { 'Content-Type': 'text/plain' }).end(`the relay cannot reach Sidegate: ${error.message}\n`);
  });
  // Whoever leaves, leaves Sidegate too: that is how a client cancels.
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}

const server = http.createServer(relay);
server.listen(0, 'localhost', () => {
  process.stdout.write(`http://localhost:${server.address().port}${target.pathname}\n`);
});
process.on('SIGTERM', () => process.exit(0));
