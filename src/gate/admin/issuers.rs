//! Trusted issuers: add, list, and what the configuration file says of them.

use super::{Admin, AdminError, said};
use crate::identity::trust::TrustedIssuer;
use crate::idp::Discovered;
use crate::store::{IssuerRow, ManagedBy};

/// The row of a trusted issuer.
pub(super) fn row(trusted: &TrustedIssuer, managed_by: ManagedBy) -> IssuerRow {
    let trusted = trusted.clone();
    IssuerRow {
        issuer: trusted.issuer,
        jwks_uri: trusted.jwks_uri,
        audiences: trusted.audiences,
        subject_claim: trusted.subject_claim,
        max_age: trusted.max_age,
        leeway: trusted.leeway,
        required_scopes: trusted.required_scopes,
        require_bound_tokens: trusted.require_bound_tokens,
        managed_by,
        ..IssuerRow::default()
    }
}

impl Admin {
    /// All issuers by name.
    pub async fn issuers(&self) -> Result<Vec<IssuerRow>, AdminError> {
        Ok(self.store.issuers(&self.tenant).await?)
    }

    /// Trusts an issuer, after fetching its metadata and keys once, under the rules about
    /// private addresses, unless `unseen`. An IP address in its description is judged either way.
    pub async fn add_issuer(
        &self,
        trusted: &TrustedIssuer,
        unseen: bool,
    ) -> Result<Option<Discovered>, AdminError> {
        self.judge(trusted)?;
        let discovered = if unseen {
            None
        } else {
            let probed = self.idp.probe(trusted).await;
            Some(probed.map_err(|error| AdminError::Refused(format!("issuer {}: {error}", trusted.issuer)))?)
        };
        self.store.put_issuer(&self.tenant, &row(trusted, ManagedBy::Admin)).await?;
        Ok(discovered)
    }

    /// Whether the issuer may be stored at all, as far as can be said without asking anybody.
    pub(super) fn judge(&self, trusted: &TrustedIssuer) -> Result<(), AdminError> {
        said(trusted.problems())?;
        let judged = self.idp.judge(trusted);
        judged.map_err(|error| AdminError::Refused(format!("issuer {}: {error}", trusted.issuer)))
    }
}
