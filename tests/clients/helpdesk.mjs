// A person's browser at the helpdesk: signs in, opens a ticket with a file, reads it back, follows an event stream. It knows
// the helpdesk's pages and trusts one CA; of what stands between it knows nothing.
//
// Configuration: {base, ca_file, chromium: the browser's path, name, password, title, folder: for the screenshots}.
// Prints {protocols: of all responses, failed: requests without an answer or with an error status, navigation: the protocol of
// the ticket's page, ticket: its URL, title, sameFile, events, screenshots}.
import { X509Certificate, createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:tls';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { main, readConfig } from './common.mjs';

const config = readConfig(['base', 'ca_file', 'chromium', 'name', 'password', 'title', 'folder']);
const seen = { protocols: [], failed: [], screenshots: [] };

/** The browser has no file of roots to add to. It is told the key that Node has verified with the CA, and no other. */
function verifiedKey() {
  const { hostname, port } = new URL(config.base);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port, servername: hostname }, () => {
      const { publicKey } = new X509Certificate(socket.getPeerCertificate().raw);
      socket.end();
      resolve(createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64'));
    });
    socket.on('error', reject);
  });
}

async function watch(page) {
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  network.on('Network.responseReceived', ({ response }) => {
    // The browser asks for an icon that the helpdesk does not have.
    if (!response.url.startsWith(config.base) || response.url.endsWith('/favicon.ico')) return;
    if (!seen.protocols.includes(response.protocol)) seen.protocols.push(response.protocol);
    if (response.status >= 400) seen.failed.push(`${response.status} ${response.url}`);
  });
  network.on('Network.loadingFailed', ({ type, errorText, canceled }) => {
    if (!canceled) seen.failed.push(`${errorText} ${type}`);
  });
}

async function picture(page, name) {
  const path = join(config.folder, `${name}.png`);
  await page.screenshot({ path, fullPage: true });
  seen.screenshots.push(path);
}

/** A page's own event stream: each event is asked for after the one before has come. */
function followEvents() {
  return new Promise((resolve, reject) => {
    const events = [];
    const source = new EventSource('/stream/events');
    const say = (word) => fetch('/stream/say', { method: 'POST', body: word });
    source.onmessage = async ({ data }) => {
      events.push(data);
      if (events.length < 4) return say(`event ${events.length}`);
      source.close();
      await say('end');
      return resolve(events);
    };
    source.onerror = () => reject(new Error('the event stream broke'));
  });
}

async function visit(page) {
  await page.goto(`${config.base}/login/?next=/tickets/submit/`);
  await page.fill('#username', config.name);
  await page.fill('#password', config.password);
  await Promise.all([page.waitForURL('**/tickets/submit/'), page.click('button[type=submit]')]);

  const file = { name: 'evidence.txt', mimeType: 'text/plain', buffer: randomBytes(300_000) };
  await page.fill('#id_title', config.title);
  await page.fill('#id_body', 'The printer on floor 2 jams.');
  await page.setInputFiles('#id_attachment', file);
  await picture(page, 'form');
  await Promise.all([page.waitForURL(/\/tickets\/\d+\/?$/), page.click('button[type=submit]:has-text("Submit")')]);
  await page.waitForLoadState('networkidle');
  await picture(page, 'ticket');

  const navigation = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
  const link = await page.getByRole('link', { name: file.name }).first().getAttribute('href');
  const body = await page.evaluate(async (url) => [...new Uint8Array(await (await fetch(url)).arrayBuffer())], link);
  return {
    navigation,
    ticket: page.url(),
    title: (await page.textContent('body')).includes(config.title),
    sameFile: Buffer.from(body).equals(file.buffer),
    events: await page.evaluate(followEvents),
  };
}

await main(seen, async () => {
  const browser = await chromium.launch({
    executablePath: config.chromium,
    args: [`--ignore-certificate-errors-spki-list=${await verifiedKey()}`, '--disable-dev-shm-usage'],
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(30_000);
    await watch(page);
    return await visit(page);
  } finally {
    await browser.close();
  }
});
