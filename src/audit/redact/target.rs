//! A request's target without what is not to be shown.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::{REDACTED, Rules};

impl Rules {
    /// A request target (`/path?name=value`, percent-encoded) under the same rules: the value of a parameter that is
    /// secret or was chosen, or a segment or value that has the shape of a secret once decoded, is replaced whole.
    pub fn target<'a>(&self, target: &'a str) -> Cow<'a, str> {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let segment = |segment: &'a str| if self.is_secret(segment) { REDACTED } else { segment };
        let pair = |pair: &'a str| self.pair(pair).map_or(Cow::Borrowed(pair), Cow::Owned);
        let clean = !path.split('/').any(|segment| self.is_secret(segment))
            && !query.is_some_and(|query| query.split('&').any(|pair| self.pair(pair).is_some()));
        if clean {
            return Cow::Borrowed(target);
        }
        let mut shown = path.split('/').map(segment).collect::<Vec<_>>().join("/");
        if let Some(query) = query {
            shown.push('?');
            shown.push_str(&query.split('&').map(pair).collect::<Vec<_>>().join("&"));
        }
        Cow::Owned(shown)
    }

    fn is_secret(&self, part: &str) -> bool {
        // Decoded first: `Bearer%20abc` is as secret as `Bearer abc`.
        let plain = percent_decode_str(part).decode_utf8_lossy();
        matches!(self.text(&plain), Cow::Owned(_))
    }

    /// The pair with its value treated, where it must be; a pair without `=` is judged as a value.
    fn pair(&self, pair: &str) -> Option<String> {
        let Some((name, value)) = pair.split_once('=') else {
            return self.is_secret(pair).then(|| REDACTED.to_owned());
        };
        let spaced = value.replace('+', " ");
        let plain_name = percent_decode_str(name).decode_utf8_lossy();
        let asked = self.treatment(&plain_name).filter(|_| !value.is_empty());
        let shown_name = if self.is_secret(name) { REDACTED } else { name };
        let shown = match asked {
            Some(treatment) => self.treated(&percent_decode_str(&spaced).decode_utf8_lossy(), treatment),
            None if self.is_secret(&spaced) || shown_name != name => Cow::Borrowed(REDACTED),
            None => return None,
        };
        Some(format!("{shown_name}={shown}"))
    }
}
