//! Which tokens are good, judged by what was put into them.

use serde_json::Value;

use super::recipe::{Change, ISSUER, LEEWAY, MAX_AGE, NOW, Part, RESOURCE, Recipe, Signer};

/// A part's members by name; none where the text is no JSON object or says anything twice.
fn members(recipe: &Recipe, part: Part) -> Option<Vec<(String, Value)>> {
    let mut read: Vec<(String, Value)> = Vec::new();
    for (name, text) in recipe.members(part) {
        let twice = read.iter().any(|(other, _)| *other == name) || text.contains("\"dup\":1,\"dup\":2");
        let value = serde_json::from_str(&text).ok().filter(|_| !twice)?;
        read.push((name, value));
    }
    let blank = |text: &str| text.bytes().all(|byte| b" \t\r\n".contains(&byte));
    let alone = recipe.changes.iter().all(|change| match change {
        Change::Around(of, before, behind) => *of != part || (blank(before) && blank(behind)),
        Change::Set(..) | Change::Drop(..) | Change::Twice(..) => true,
    });
    alone.then_some(read)
}

fn of<'a>(members: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    members.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

/// A date as whole seconds, as far as a token may name one.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_f64().filter(|_| value.is_number())?;
    (0.0..253_402_300_800.0).contains(&number).then(|| value.as_i64().unwrap_or(number.floor() as i64))
}

fn text_or_nothing(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_string)
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Whether a token of this recipe must be accepted; where not, it must be refused.
pub fn acceptable(recipe: &Recipe) -> bool {
    let (Some(header), Some(payload)) = (members(recipe, Part::Header), members(recipe, Part::Payload))
    else {
        return false;
    };
    good_header(&header, recipe.signer).unwrap_or(false) && good_payload(&payload).unwrap_or(false)
}

fn good_header(header: &[(String, Value)], signer: Signer) -> Option<bool> {
    let (alg, kid) = match signer {
        Signer::Ed => ("EdDSA", "ed"),
        Signer::Ec => ("ES256", "ec"),
        Signer::OtherEd | Signer::OtherEc | Signer::PublicKeyAsSecret | Signer::Nobody => return None,
    };
    let forbidden = ["crit", "b64", "jku", "jwk", "x5u", "x5c"];
    let typ = match of(header, "typ") {
        None => true,
        Some(typ) => {
            let typ = typ.as_str()?.to_lowercase();
            ["jwt", "at+jwt", "application/at+jwt"].contains(&typ.as_str())
        }
    };
    let named = of(header, "kid").is_none_or(|own| own == kid);
    Some(of(header, "alg")? == alg && named && typ && forbidden.iter().all(|name| of(header, name).is_none()))
}

fn good_payload(payload: &[(String, Value)]) -> Option<bool> {
    let claim = |name| of(payload, name);
    let now = |date: i64| date <= NOW + LEEWAY;
    let subject = claim("sub")?.as_str()?.chars().count();
    let issued = seconds(claim("iat")?)?;
    let begun = match claim("nbf") {
        Some(date) => now(seconds(date)?),
        None => true,
    };
    let scopes = ["scope", "scp"].iter().all(|name| claim(name).is_none_or(|all| texts(all).is_some()));
    let audience =
        texts(claim("aud")?)?.iter().any(|audience| [RESOURCE, "api://sidegate"].contains(audience));
    Some(
        claim("iss")? == ISSUER
            && audience
            && (1..=255).contains(&subject)
            && NOW < seconds(claim("exp")?)? + LEEWAY
            && now(issued)
            && NOW - issued <= MAX_AGE + LEEWAY
            && begun
            && scopes
            && ["jti", "client_id", "azp"].iter().all(|name| text_or_nothing(claim(name)))
            && claim("cnf").is_none_or(bound_to_a_certificate),
    )
}

fn bound_to_a_certificate(confirmation: &Value) -> bool {
    let Some(members) = confirmation.as_object() else { return false };
    members.len() == 1 && members.get("x5t#S256").is_some_and(|digest| *digest == "A".repeat(43))
}

/// The agent that a good token speaks for on a connection without a certificate, if there is exactly one
/// and it is switched on.
pub fn speaks_for(recipe: &Recipe) -> Option<&'static str> {
    let payload = members(recipe, Part::Payload)?;
    if of(&payload, "cnf").is_some() {
        return None;
    }
    (of(&payload, "sub")? == "agent-7").then_some("seven")
}
