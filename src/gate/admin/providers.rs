//! Identity providers: trust, change, remove, and what could be trusted.

use serde::Serialize;
use serde_json::{Value, json};

use super::record::Change;
use super::{Actor, Admin, AdminError, sound};
use crate::gate::roster::trusted;
use crate::identity::preset::{GOOGLE, Preset, ProviderChange, ProviderSpec};
use crate::identity::trust::TrustedIssuer;
use crate::idp::Discovered;
use crate::psa::{KeyError, MicrosoftConnection};
use crate::store::{IssuerRow, ManagedBy, StoreError};

/// What the PSA knows that could be trusted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Suggestions {
    /// The Microsoft directory that the PSA is connected with.
    pub microsoft: Option<MicrosoftConnection>,
}

/// A provider that is trusted without anybody's entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlatformProvider {
    pub provider: Preset,
    pub label: &'static str,
    /// None where each customer has one of its own.
    pub issuer: Option<&'static str>,
}

/// The row of a trusted issuer.
pub(super) fn row(trusted: &TrustedIssuer, spec: &ProviderSpec, managed_by: ManagedBy) -> IssuerRow {
    let trusted = trusted.clone();
    IssuerRow {
        id: String::new(),
        issuer: trusted.issuer,
        kind: spec.kind.as_str().to_owned(),
        entra_tenant: spec.entra_tenant_id.clone(),
        jwks_uri: trusted.jwks_uri,
        audiences: trusted.audiences,
        subject_claim: trusted.subject_claim,
        aliases: trusted.aliases,
        max_age: trusted.max_age,
        leeway: trusted.leeway,
        required_scopes: trusted.required_scopes,
        require_bound_tokens: trusted.require_bound_tokens,
        managed_by,
        active: true,
        created_at: 0,
        updated_at: 0,
        changed: 0,
    }
}

/// A provider as the record shows it.
fn shown(row: &IssuerRow) -> Value {
    json!({
        "issuer": row.issuer, "kind": row.kind, "entra_tenant_id": row.entra_tenant, "jwks_uri": row.jwks_uri,
        "audiences": row.audiences, "subject_claim": row.subject_claim, "aliases": row.aliases,
        "max_age": row.max_age, "leeway": row.leeway, "required_scopes": row.required_scopes,
        "require_bound_tokens": row.require_bound_tokens, "active": row.active,
    })
}

impl Admin {
    /// All providers by issuer.
    pub async fn issuers(&self) -> Result<Vec<IssuerRow>, AdminError> {
        Ok(self.store.issuers(&self.tenant).await?)
    }

    /// One of them, by its id or its issuer.
    pub async fn issuer(&self, which: &str) -> Result<IssuerRow, AdminError> {
        let found = self.store.issuer(&self.tenant, which).await?;
        found.ok_or_else(|| AdminError::NotFound(format!("there is no identity provider `{which}`")))
    }

    /// Trusts a provider, or replaces what is said of it, after fetching its metadata and keys once under the rules
    /// about private addresses, unless not `probe`. An IP address in its description is judged either way.
    pub async fn add_provider(
        &self,
        actor: &Actor,
        spec: &ProviderSpec,
        probe: bool,
    ) -> Result<(IssuerRow, Option<Discovered>), AdminError> {
        let trusted = spec.trusted().map_err(AdminError::Invalid)?;
        self.judge(&trusted)?;
        self.of_its_own(&trusted).await?;
        let before = self.store.issuer(&self.tenant, &trusted.issuer).await?;
        let discovered = self.probe(&trusted, probe).await?;
        let after = self.store.put_issuer(&self.tenant, &row(&trusted, spec, ManagedBy::Admin)).await?;
        self.provider_recorded(actor, "provider.put", before.as_ref(), Some(&after)).await?;
        Ok((after, discovered))
    }

    /// Changes what is said of a provider; it is probed again where that changes where its keys are.
    pub async fn change_provider(
        &self,
        actor: &Actor,
        which: &str,
        change: &ProviderChange,
    ) -> Result<IssuerRow, AdminError> {
        let before = self.issuer(which).await?;
        kept_here(&before)?;
        let mut spec = change.on(ProviderSpec::of(&trusted(&before)));
        spec.kind = Preset::parse(&before.kind).unwrap_or(spec.kind);
        spec.entra_tenant_id.clone_from(&before.entra_tenant);
        let trusted = spec.trusted().map_err(AdminError::Invalid)?;
        self.judge(&trusted)?;
        self.of_its_own(&trusted).await?;
        self.probe(&trusted, trusted.jwks_uri != before.jwks_uri).await?;
        let mut row = row(&trusted, &spec, ManagedBy::Admin);
        row.active = change.active.unwrap_or(before.active);
        let after = self.store.put_issuer(&self.tenant, &row).await?;
        self.provider_recorded(actor, "provider.change", Some(&before), Some(&after)).await?;
        Ok(after)
    }

    /// Trusts a provider no longer: its agents are refused from their next call on, and stay.
    pub async fn remove_provider(&self, actor: &Actor, which: &str) -> Result<IssuerRow, AdminError> {
        let before = self.issuer(which).await?;
        kept_here(&before)?;
        let removed = self.store.remove_issuer(&self.tenant, &before.id).await?;
        self.provider_recorded(actor, "provider.remove", Some(&removed), None).await?;
        Ok(removed)
    }

    /// What the PSA knows that could be trusted: nothing where it cannot be asked.
    pub async fn suggestions(&self) -> Result<Suggestions, AdminError> {
        let Some(directory) = &self.directory else { return Ok(Suggestions::default()) };
        match directory.microsoft_connection().await {
            Ok(microsoft) => Ok(Suggestions { microsoft }),
            Err(KeyError::Unsupported(_)) => Ok(Suggestions::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// The providers that are trusted without an entry, Microsoft first as AlgaPSA lists them.
    pub fn platform_providers(&self) -> Vec<PlatformProvider> {
        let microsoft = self.hosted.microsoft().map(|_| PlatformProvider {
            provider: Preset::Microsoft,
            label: "Microsoft",
            issuer: None,
        });
        let google = self.hosted.google().map(|_| PlatformProvider {
            provider: Preset::Google,
            label: "Google",
            issuer: Some(GOOGLE),
        });
        microsoft.into_iter().chain(google).collect()
    }

    /// Whether no other provider has one of its `iss`: an alias means one issuer, as a name does.
    async fn of_its_own(&self, new: &TrustedIssuer) -> Result<(), AdminError> {
        let rows = self.store.issuers(&self.tenant).await?;
        let others = rows.iter().filter(|row| row.issuer != new.issuer).map(trusted);
        let shared =
            others.filter_map(|other| Some((new.shared_identifier(&other)?.to_owned(), other.issuer)));
        match shared.into_iter().next() {
            None => Ok(()),
            Some((shared, other)) => Err(AdminError::Conflict(format!(
                "issuer {shared} is an `iss` of {other} already; change or remove that one first"
            ))),
        }
    }

    /// Whether the issuer may be stored at all, as far as can be said without asking anybody.
    pub(super) fn judge(&self, trusted: &TrustedIssuer) -> Result<(), AdminError> {
        sound(trusted.problems())?;
        let judged = self.idp.judge(trusted);
        judged.map_err(|error| AdminError::Refused(format!("issuer {}: {error}", trusted.issuer)))
    }

    async fn probe(&self, trusted: &TrustedIssuer, probe: bool) -> Result<Option<Discovered>, AdminError> {
        if !probe {
            return Ok(None);
        }
        let probed = self.idp.probe(trusted).await;
        probed.map(Some).map_err(|error| AdminError::Refused(format!("issuer {}: {error}", trusted.issuer)))
    }

    pub(super) async fn provider_recorded(
        &self,
        actor: &Actor,
        action: &'static str,
        before: Option<&IssuerRow>,
        after: Option<&IssuerRow>,
    ) -> Result<(), AdminError> {
        let target = after.or(before).map(|row| row.id.as_str()).unwrap_or_default();
        let change =
            Change { action, target, agent: None, before: before.map(shown), after: after.map(shown) };
        self.journal.change(&self.tenant, actor, change).await
    }
}

/// Only the file changes what it keeps.
fn kept_here(row: &IssuerRow) -> Result<(), AdminError> {
    match row.managed_by {
        ManagedBy::Admin => Ok(()),
        ManagedBy::Config => Err(StoreError::Conflict(format!(
            "issuer {} is kept by the configuration file; change it there",
            row.issuer
        ))
        .into()),
    }
}
