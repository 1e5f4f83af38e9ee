//! Which field names announce a secret. Pure; knows nothing of values.
//!
//! A name is cut into words (`clientSecret`, `client-secret` and `CLIENT_SECRET` are the same two),
//! so that `tokenizer_name` is no token and `pinned` is no PIN.

/// Words that make a name secret wherever they stand in it.
const WORDS: [&str; 41] = [
    "accesskey",
    "authorization",
    "bankaccount",
    "bankkonto",
    "bankverbindung",
    "cardnumber",
    "contrasena",
    "contraseña",
    "contraseñas",
    "cookies",
    "creditcard",
    "creds",
    "csc",
    "cvc",
    "cvv",
    "iban",
    "jirakey",
    "jwt",
    "lösenord",
    "motdepasse",
    "otp",
    "passcode",
    "passcodes",
    "passwd",
    "passwords",
    "pin",
    "passwörter",
    "pins",
    "privatekey",
    "pwd",
    "secretkey",
    "secrets",
    "securitycode",
    "senha",
    "servicenowkey",
    "ssn",
    "tokens",
    "totp",
    "apikeys",
    "credentials",
    "zugangsdaten",
];

/// Ends of a word that make a name secret: `userpassword`, `accesstoken`.
const ENDINGS: [&str; 10] = [
    "apikey",
    "cookie",
    "credential",
    "kennwort",
    "passphrase",
    "password",
    "passwort",
    "secret",
    "token",
    "wachtwoord",
];

/// Neighbouring words that are secret together, though neither is alone.
const PAIRS: [&str; 44] = [
    "access_key",
    "account_key",
    "activation_key",
    "api_key",
    "api_keys",
    "auth_code",
    "authentication_header",
    "backup_code",
    "backup_codes",
    "bank_account",
    "bitlocker_key",
    "card_code",
    "card_no",
    "card_number",
    "code_verifier",
    "community_string",
    "connection_string",
    // `contraseña` with a combining tilde, which separates words here.
    "contrasen_a",
    "credit_card",
    // `mot de passe`, `mots de passe`.
    "de_passe",
    "debit_card",
    "devops_key",
    "encryption_key",
    "licence_key",
    "license_key",
    "master_key",
    "ncentral_key",
    "oauth_code",
    "pass_phrase",
    "pass_word",
    "private_key",
    "product_key",
    "recovery_code",
    "recovery_codes",
    "recovery_key",
    "security_answer",
    "security_code",
    "seed_phrase",
    "session_id",
    "session_key",
    "shared_key",
    "signing_key",
    "social_security",
    "validation_key",
];

/// Whole names that are too common as a part of others.
const WHOLE: [&str; 4] = ["auth", "pass", "passe", "sig"];

/// Last words that turn a name into one about a secret: `token_type`, `password_changed_at`.
const ABOUT: [&str; 16] = [
    "at",
    "count",
    "enabled",
    "endpoint",
    "expires",
    "expiry",
    "in",
    "length",
    "limit",
    "name",
    "policy",
    "required",
    "servers",
    "supported",
    "ttl",
    "type",
];

/// Longest name that is looked at; a longer one counts as secret, for nobody names a field so.
const LONGEST: usize = 256;

/// True where the value under `name` must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    if name.len() > LONGEST {
        return true;
    }
    let name = normal(name);
    if WHOLE.contains(&name.as_str()) {
        return true;
    }
    let mut before: Option<usize> = None;
    let mut start = 0;
    let mut secret = false;
    for word in name.split('_') {
        let end = start + word.len();
        let alone = WORDS.contains(&word)
            || ENDINGS.iter().any(|ending| word.ends_with(ending))
            || word.starts_with("password");
        let paired = before.is_some_and(|from| name.get(from..end).is_some_and(|pair| PAIRS.contains(&pair)));
        // A secret word said last wins over what came before it: `policy_type_token`.
        secret = alone || paired || (secret && !ABOUT.contains(&word));
        before = Some(start);
        start = end + 1;
    }
    secret
}

/// `name` in lower case without what separates words: `e-mail`, `E_Mail` and `email2` are the same.
pub(super) fn bare(name: &str) -> String {
    name.chars().filter(|char| char.is_alphabetic()).flat_map(char::to_lowercase).collect()
}

/// `name` in lower case with one `_` between words; digits separate words and are dropped.
fn normal(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let mut chars = name.chars().peekable();
    let (mut lower, mut upper) = (false, false);
    while let Some(char) = chars.next() {
        if !char.is_alphabetic() {
            if !out.is_empty() && !out.ends_with('_') {
                out.push('_');
            }
            (lower, upper) = (false, false);
            continue;
        }
        let is_upper = char.is_uppercase();
        let ends_capitals = upper && is_upper && chars.peek().is_some_and(|next| next.is_lowercase());
        if (is_upper && lower) || ends_capitals {
            out.push('_');
        }
        out.extend(char.to_lowercase());
        (lower, upper) = (!is_upper, is_upper);
    }
    if out.ends_with('_') {
        out.pop();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_every_spelling() {
        for name in ["clientSecret", "client-secret", "CLIENT_SECRET", "Client Secret", "client.secret"] {
            assert_eq!(normal(name), "client_secret", "{name}");
        }
        assert_eq!(normal("APIKey2"), "api_key");
        assert_eq!(normal("x-api-key"), "x_api_key");
    }

    #[test]
    fn names_of_secrets_are_known_in_their_usual_spellings() {
        for name in [
            "password",
            "Password",
            "new_password",
            "passwordHash",
            "userpassword",
            "password2",
            "passwd",
            "pwd",
            "passphrase",
            "secret",
            "client_secret",
            "clientSecret",
            "secret_id",
            "token",
            "accessToken",
            "refresh_token",
            "reset-token",
            "accesstoken",
            "tokens",
            "api_key",
            "apikey",
            "api-key",
            "apiKey",
            "APIKey",
            "X-API-Key",
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "Set-Cookie",
            "credential",
            "credentials",
            "private_key",
            "privateKeyPem",
            "pin",
            "PIN_code",
            "ssn",
            "otp",
            "totp_code",
            "card_number",
            "cardNumber",
            "creditCard",
            "cvv",
            "cvv2",
            "security_code",
            "recovery_codes",
            "auth",
            "pass",
            "bank_account",
            "bankAccountNumber",
            "IBAN",
            "creditor_iban",
            "Passwort",
            "wlan-passwort",
            "Benutzerkennwort",
            "contraseña",
            "contrasen\u{303}a",
            "Contraseña actual",
            "mot de passe",
            "motDePasse",
            "wachtwoord",
            "senha",
            "sessionId",
            "Mcp-Session-Id",
            "product_key",
            "licenseKey",
            "snmp_community_string",
            "bitlocker_recovery_key",
            "code_verifier",
            "authentication_header",
            "sig",
        ] {
            assert!(is_secret(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_sound_like_secrets_are_shown() {
        for name in [
            "tokenizer_name",
            "pinned",
            "is_pinned",
            "opinion",
            "shipping",
            "secretary",
            "key",
            "key_id",
            "ticket_number",
            "card",
            "passenger",
            "compass",
            "author",
            "authority",
            "token_type",
            "token_count",
            "tokenExpiresIn",
            "password_changed_at",
            "password_policy",
            "description",
            "client_name",
            "code",
            "postal_code",
            "pass_count",
            "bank",
            "bank_name",
            "bank_holiday",
            "account_number",
            "ibanez_model",
            "contrast",
            "passe_partout",
            "kennwort_policy",
            "senhora",
            "authorization_endpoint",
            "authorization_servers",
            "token_endpoint_auth_methods_supported",
            "session_count",
            "signature",
            "license_count",
            "",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_name_of_absurd_length_counts_as_secret() {
        assert!(is_secret(&"a".repeat(LONGEST + 1)));
    }
}
