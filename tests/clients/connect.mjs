// One way to make a client of either SDK generation around a transport option; the only file that knows both SDKs.
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  ClientCredentialsProvider as ClientCredentialsV1,
} from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import {
  Client as ClientV2,
  ClientCredentialsProvider as ClientCredentialsV2,
  StreamableHTTPClientTransport as TransportV2,
} from '@modelcontextprotocol/client';

export const MODERN = '2026-07-28';
const VERSION = '1.0.0';

/** The three ways the second SDK negotiates: its default, probing, and one revision only. */
const NEGOTIATION = {
  legacy: undefined,
  auto: { mode: 'auto' },
  modern: { mode: { pin: MODERN } },
};

export function generation(sdk, mode = 'legacy') {
  if (sdk === 'v1') {
    return {
      label: 'typescript-v1',
      client: () => new ClientV1({ name: 'sidegate-test-v1', version: VERSION }),
      transport: (url, options) => new TransportV1(url, options),
      // The first SDK's client keeps the revision to itself; its transport shows it.
      revision: (_client, transport) => transport.protocolVersion ?? null,
      bearer: (token) => ({ requestInit: { headers: { authorization: `Bearer ${token}` } } }),
      call: (client) => (params, options) => client.callTool(params, undefined, options),
      ClientCredentials: ClientCredentialsV1,
      // It takes the code; the second also takes `iss` and checks it (RFC 9207).
      finish: (transport, callback) => transport.finishAuth(callback.get('code')),
    };
  }
  if (sdk !== 'v2' || !Object.hasOwn(NEGOTIATION, mode)) {
    throw new Error('sdk is "v1" or "v2", and for "v2" mode is "legacy", "auto" or "modern"');
  }
  return {
    label: `typescript-v2-${mode}`,
    client: () => new ClientV2({ name: 'sidegate-test-v2', version: VERSION }, { versionNegotiation: NEGOTIATION[mode] }),
    transport: (url, options) => new TransportV2(url, options),
    revision: (client) => client.getNegotiatedProtocolVersion() ?? null,
    bearer: (token) => ({ authProvider: { token: async () => token } }),
    call: (client) => (params, options) => client.callTool(params, options),
    ClientCredentials: ClientCredentialsV2,
    finish: (transport, callback) => transport.finishAuth(callback),
  };
}
