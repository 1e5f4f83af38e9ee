//! Trusted issuers: add, list, and what the configuration file says of them.

use super::{Admin, AdminError, said};
use crate::identity::trust::TrustedIssuer;
use crate::idp::Discovered;
use crate::store::{IssuerRow, ManagedBy};

/// An issuer as an administrator or the configuration file describes it.
#[derive(Clone, Debug)]
pub struct IssuerSpec {
    /// What is trusted, and how its tokens are read.
    pub trusted: TrustedIssuer,
}

impl IssuerSpec {
    pub(super) fn row(&self, managed_by: ManagedBy) -> IssuerRow {
        let trusted = self.trusted.clone();
        IssuerRow {
            issuer: trusted.issuer,
            jwks_uri: trusted.jwks_uri,
            audiences: trusted.audiences,
            subject_claim: trusted.subject_claim,
            max_age: trusted.max_age,
            leeway: trusted.leeway,
            managed_by,
            active: true,
        }
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
        spec: &IssuerSpec,
        unseen: bool,
    ) -> Result<Option<Discovered>, AdminError> {
        self.judge(spec)?;
        let discovered =
            if unseen {
                None
            } else {
                let probed = self.idp.probe(&spec.trusted).await;
                Some(probed.map_err(|error| {
                    AdminError::Refused(format!("issuer {}: {error}", spec.trusted.issuer))
                })?)
            };
        self.store.put_issuer(&self.tenant, &spec.row(ManagedBy::Admin)).await?;
        Ok(discovered)
    }

    /// Whether the issuer may be stored at all, as far as can be said without asking anybody.
    pub(super) fn judge(&self, spec: &IssuerSpec) -> Result<(), AdminError> {
        said(spec.trusted.problems())?;
        let judged = self.idp.judge(&spec.trusted);
        judged.map_err(|error| AdminError::Refused(format!("issuer {}: {error}", spec.trusted.issuer)))
    }
}
