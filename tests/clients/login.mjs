// A login without a browser: follows redirects with cookies, fills in the login form that oidc.mjs shows, and stops at
// the redirect to the client's own callback, which nobody has to listen on.

/** The callback's query, after signing in as `name`. */
export async function login(authorizationUrl, redirectUri, name) {
  const jar = new Map();
  let url = new URL(authorizationUrl);
  let form = null;
  for (let hop = 0; hop < 10; hop += 1) {
    const response = await fetch(url, {
      method: form ? 'POST' : 'GET',
      body: form ?? undefined,
      redirect: 'manual',
      headers: { cookie: [...jar].map(([key, value]) => `${key}=${value}`).join('; ') },
    });
    for (const cookie of response.headers.getSetCookie()) remember(jar, cookie);
    const location = response.headers.get('location');
    if (location) {
      await response.body?.cancel();
      url = new URL(location, url);
      if (url.href.startsWith(redirectUri)) return refuseError(url.searchParams);
      form = null;
      continue;
    }
    const page = await response.text();
    const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
    if (!action) throw new Error(`the login ended at ${url} with ${response.status}: ${page.slice(0, 300)}`);
    url = new URL(action, url);
    form = new URLSearchParams({ login: name });
  }
  throw new Error('the login did not end within ten steps');
}

function remember(jar, cookie) {
  const [pair] = cookie.split(';');
  const at = pair.indexOf('=');
  const value = pair.slice(at + 1);
  if (value === '') jar.delete(pair.slice(0, at));
  else jar.set(pair.slice(0, at), value);
}

function refuseError(query) {
  if (query.has('error')) throw new Error(`${query.get('error')}: ${query.get('error_description')}`);
  return query;
}
