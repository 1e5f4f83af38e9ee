//! The token that the server is tried with: where it comes from, and what it says of itself.
//!
//! What it says is read without any check, for diagnosis only. Its text goes nowhere but to the server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::secret::Secret;

/// The longest token that is taken, in bytes; servers take less.
const LONGEST: usize = 64 << 10;

/// Where a token may come from; the first that is given counts.
#[derive(Debug)]
pub struct Source {
    pub file: Option<PathBuf>,
    pub command: Option<String>,
    pub given: Option<Secret>,
}

impl Source {
    /// The token, or none where none is given. Waits for the command.
    ///
    /// # Errors
    /// What cannot be read, without a word of its content.
    pub fn token(self) -> Result<Option<Secret>, String> {
        // An empty variable is how many a script leaves one out.
        let given = self.given.filter(|given| !given.is_empty());
        let (text, whence) = match (self.file, self.command, given) {
            (Some(file), _, _) => (from_file(&file)?, format!("--token-file {}", file.display())),
            (None, Some(command), _) => (from_command(&command)?, "--token-command".to_owned()),
            (None, None, Some(given)) => (given, "SIDEGATE_DOCTOR_TOKEN".to_owned()),
            (None, None, None) => return Ok(None),
        };
        let token = text.expose().trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        if token.is_empty() {
            return Err(format!("{whence} gives no token"));
        }
        // RFC 6750 section 2.1: nothing else can be sent in the header.
        if token.len() > LONGEST || !token.bytes().all(|byte| matches!(byte, b'!'..=b'~')) {
            return Err(format!(
                "{whence} gives something else than a token: one line of visible ASCII is expected"
            ));
        }
        Ok(Some(Secret::new(token)))
    }
}

fn from_file(file: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("--token-file {} cannot be read: {error}", file.display()))?;
    Ok(Secret::new(text))
}

/// The command's standard output; its errors are shown as they come.
fn from_command(command: &str) -> Result<Secret, String> {
    let ended =
        Command::new("sh").arg("-c").arg(command).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let ended = ended.map_err(|error| format!("--token-command cannot be started: {error}"))?;
    if !ended.status.success() {
        return Err(format!("--token-command failed ({})", ended.status));
    }
    let text = String::from_utf8(ended.stdout);
    text.map(Secret::new).map_err(|_| "--token-command printed something else than text".to_owned())
}

/// What a token says of itself; all empty where it is not a JWT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It is no JWT, so that only the server and the issuer can read it.
    pub opaque: bool,
    pub issuer: Option<String>,
    pub audiences: Vec<String>,
    /// Seconds since the epoch.
    pub expires_at: Option<i64>,
    /// It has members that only ID tokens have (OpenID Connect Core section 2).
    pub id_token: bool,
}

/// Reads a token without believing it.
pub fn said(token: &Secret) -> Said {
    let Some(claims) = claims(token.expose()) else { return Said { opaque: true, ..Said::default() } };
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    let audiences = match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    Said {
        opaque: false,
        issuer: text("iss"),
        audiences,
        expires_at: claims.get("exp").and_then(Value::as_f64).map(|seconds| seconds as i64),
        id_token: ["nonce", "at_hash", "c_hash"].iter().any(|name| claims.contains_key(*name)),
    }
}

fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    match serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?) {
        Ok(Value::Object(claims)) => Some(claims),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(payload: &Value) -> Secret {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string())))
    }

    fn of(source: Source) -> Result<Option<String>, String> {
        source.token().map(|token| token.map(|token| token.expose().to_owned()))
    }

    const NOTHING: Source = Source { file: None, command: None, given: None };

    #[test]
    fn a_token_says_who_made_it_for_whom_and_until_when() {
        let claims = json!({"iss": "https://i", "aud": ["a", "b"], "exp": 12.5, "nonce": "n"});
        let expected = Said {
            opaque: false,
            issuer: Some("https://i".into()),
            audiences: vec!["a".into(), "b".into()],
            expires_at: Some(12),
            id_token: true,
        };
        assert_eq!(said(&jwt(&claims)), expected);
        assert_eq!(said(&jwt(&json!({"aud": "a"}))).audiences, ["a"]);
    }

    #[test]
    fn what_is_no_jwt_is_opaque() {
        for token in ["gho_16C7e42F292c6912E7", "a.b", "a.b.c.d.e", "e30.W10.x", "e30.!.x"] {
            assert_eq!(said(&Secret::new(token)), Said { opaque: true, ..Said::default() }, "{token}");
        }
    }

    #[test]
    fn a_file_goes_before_a_command_and_a_command_before_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "Bearer from-file\n").unwrap();
        let (file, command) = (Some(file.path().to_owned()), Some("echo from-command".to_owned()));
        let given = Some(Secret::new("given"));
        assert_eq!(of(NOTHING), Ok(None));
        assert_eq!(of(Source { given: Some(Secret::new("")), ..NOTHING }), Ok(None));
        assert_eq!(of(Source { given: given.clone(), ..NOTHING }), Ok(Some("given".into())));
        let source = Source { command: command.clone(), given: given.clone(), ..NOTHING };
        assert_eq!(of(source), Ok(Some("from-command".into())));
        assert_eq!(of(Source { file, command, given }), Ok(Some("from-file".into())));
    }

    #[test]
    fn what_gives_no_token_is_told_by_its_name_and_without_its_content() {
        for (source, wrong) in [
            (Source { file: Some("/no/such/file".into()), ..NOTHING }, "--token-file /no/such/file cannot"),
            (Source { command: Some("exit 3".into()), ..NOTHING }, "--token-command failed"),
            (Source { command: Some("true".into()), ..NOTHING }, "--token-command gives no token"),
            (Source { given: Some(Secret::new("s3cret s3cret")), ..NOTHING }, "SIDEGATE_DOCTOR_TOKEN gives"),
        ] {
            let told = of(source).unwrap_err();
            assert!(told.starts_with(wrong) && !told.contains("s3cret"), "{told}");
        }
    }
}
