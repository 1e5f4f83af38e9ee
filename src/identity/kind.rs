//! Whose tokens an agent acts with: a person's, or an application's own.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::principal::Principal;

/// What stands behind an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentKind {
    /// A person obtained the token, through the provider or a hosted application.
    Interactive,
    /// An application obtained it for itself (RFC 6749 section 4.4); it carries no user.
    Unattended,
}

impl AgentKind {
    /// Both, in the order in which they are listed.
    pub const ALL: [Self; 2] = [Self::Interactive, Self::Unattended];

    /// The word that rows, the API and the command line use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Unattended => "unattended",
        }
    }

    /// The kind of that word, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether an agent of this kind acts with a token that carries `principal`. One that does not
    /// say what it carries is neither's.
    ///
    /// # Errors
    /// [`KindFault`] where it is the other kind's.
    pub fn admits(self, principal: Principal) -> Result<(), KindFault> {
        match (self, principal) {
            (Self::Unattended, Principal::Person) | (Self::Interactive, Principal::Application) => {
                Err(KindFault { wanted: self })
            }
            _ => Ok(()),
        }
    }
}

/// A good token of a bound subject that is not of the agent's kind. The text tells its holder what is
/// wanted.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{}", self.text())]
pub struct KindFault {
    /// What the agent is.
    pub wanted: AgentKind,
}

impl KindFault {
    /// The reason as metrics and audit records name it: what was sent.
    pub fn label(self) -> &'static str {
        match self.wanted {
            AgentKind::Unattended => "user_token",
            AgentKind::Interactive => "application_token",
        }
    }

    fn text(self) -> &'static str {
        match self.wanted {
            AgentKind::Unattended => {
                "the agent is unattended and the token carries a user; obtain one for the application itself \
                 (grant type client_credentials)"
            }
            AgentKind::Interactive => {
                "the agent is interactive and the token is an application's own; obtain one by signing in \
                 (grant type authorization_code)"
            }
        }
    }
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
