//! What the connector is told by its environment, under the names that AlgaPSA's own connector reads.
//!
//! Beside `config`, the only place that reads the environment.

use std::ffi::OsString;
use std::time::Duration;

use url::Url;

use crate::secret::Secret;

const URL: &str = "ALGA_INSTANCE_URL";
const TOKEN: &str = "ALGA_API_TOKEN";
const TENANT: &str = "ALGA_TENANT_ID";
const TIMEOUT: &str = "ALGA_REQUEST_TIMEOUT_MS";
const REGISTRY: &str = "ALGA_REGISTRY_PATH";
const SEARCH: &str = "ALGA_SEARCH_PATH";

/// The variables, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The PSA's base URL.
    pub url: String,
    /// The person's key.
    pub key: Secret,
    /// The tenant that travels beside it.
    pub tenant: Option<String>,
    /// The longest that one call may take.
    pub timeout: Duration,
    /// Where the registry is, below the URL.
    pub registry_path: String,
    /// Where the search over records is, below the URL.
    pub search_path: String,
}

/// The variables of this process that are ours.
pub fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ALGA_"))
}

impl Settings {
    /// Reads and checks the variables; an empty one is none.
    ///
    /// # Errors
    /// One sentence for each variable that is missing or cannot be used; no value of a secret is shown.
    pub fn read(environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Vec<String>> {
        let all: Vec<_> = environment.collect();
        let mut wrong = Vec::new();
        let given = |name: &str| -> Option<String> {
            let (_, value) = all.iter().find(|(known, _)| known == name)?;
            Some(value.to_string_lossy().trim().to_owned()).filter(|value| !value.is_empty())
        };
        let url = given(URL).unwrap_or_default();
        if url.is_empty() {
            wrong.push(format!(
                "{URL} is missing: set it to the PSA's address, such as https://psa.example.com"
            ));
        } else if let Err(reason) = address(&url) {
            wrong.push(format!("{URL} {reason}"));
        }
        let key = given(TOKEN).unwrap_or_default();
        if key.is_empty() {
            wrong.push(format!(
                "{TOKEN} is missing: set it to an API key of yours, made in the PSA's settings"
            ));
        } else if !is_visible(&key) {
            wrong.push(format!("{TOKEN} has characters that no key has"));
        }
        let tenant = given(TENANT);
        if tenant.as_deref().is_some_and(|tenant| !is_visible(tenant)) {
            wrong.push(format!("{TENANT} has characters that no tenant's id has"));
        }
        let millis = given(TIMEOUT).map_or(Some(30_000.0), |text| text.parse::<f64>().ok());
        let timeout = millis.filter(|millis| *millis >= 1.0).map(|millis| millis / 1000.0);
        let timeout = timeout.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if timeout.is_none_or(|timeout| timeout > LONGEST) {
            wrong.push(format!(
                "{TIMEOUT} must be a number of milliseconds, from 1 to {}",
                LONGEST.as_millis()
            ));
        }
        let mut path = |name: &str, default: &str| {
            let path = given(name).unwrap_or_else(|| default.to_owned());
            if !path.starts_with('/') || !is_visible(&path) || path.contains('#') {
                wrong.push(format!("{name} must be a path that begins with `/`"));
            }
            path
        };
        let registry_path = path(REGISTRY, "/api/v1/meta/mcp-registry");
        let search_path = path(SEARCH, "/api/v1/search");
        match (wrong.is_empty(), timeout) {
            (true, Some(timeout)) => {
                Ok(Self { url, key: Secret::new(key), tenant, timeout, registry_path, search_path })
            }
            _ => Err(wrong),
        }
    }
}

/// The longest time limit.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

fn is_visible(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn address(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL; write such as https://psa.example.com")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("must begin with https:// (or http://) and name a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user name or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must hold no query and no fragment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        Settings::read(pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn two_variables_are_enough_and_the_others_have_defaults() {
        let settings = read(&[(URL, " https://alga.example.com/ "), (TOKEN, " k ")]).unwrap();
        assert_eq!((settings.key.expose(), settings.tenant), ("k", None));
        assert_eq!(settings.timeout, Duration::from_secs(30));
        assert_eq!(settings.registry_path, "/api/v1/meta/mcp-registry");
        assert_eq!(settings.search_path, "/api/v1/search");
        let more = [(TENANT, "t-1"), (TIMEOUT, "1500"), (REGISTRY, "/r?a=b"), (SEARCH, "/s")];
        let settings = read(&[&more[..], &[(URL, "http://x:1/p"), (TOKEN, "k")]].concat()).unwrap();
        assert_eq!(settings.tenant.as_deref(), Some("t-1"));
        assert_eq!(settings.timeout, Duration::from_millis(1500));
        assert_eq!((&settings.registry_path[..], &settings.search_path[..]), ("/r?a=b", "/s"));
    }

    #[test]
    fn everything_that_is_missing_or_wrong_is_named_at_once_and_no_secret_shown() {
        let names = |pairs: &[(&str, &str)]| -> Vec<String> {
            let wrong = read(pairs).unwrap_err();
            assert!(!wrong.concat().contains("s3cret"), "{wrong:?}");
            wrong.iter().map(|sentence| sentence.split(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&[]), [URL, TOKEN]);
        assert_eq!(names(&[(URL, "x"), (TOKEN, "s3cret key")]), [URL, TOKEN]);
        let all =
            [(URL, "https://a:s3cret@b"), (TOKEN, "ä"), (TENANT, "a b"), (TIMEOUT, "soon"), (REGISTRY, "r")];
        assert_eq!(
            names(&[&all[..], &[(SEARCH, "https://s")]].concat()),
            [URL, TOKEN, TENANT, TIMEOUT, REGISTRY, SEARCH]
        );
        for timeout in ["0", "-1", "NaN", "inf", "1e12"] {
            assert_eq!(names(&[(URL, "https://a"), (TOKEN, "k"), (TIMEOUT, timeout)]), [TIMEOUT]);
        }
    }
}
