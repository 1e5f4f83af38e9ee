//! Whose tokens an agent acts with: a person's, or an application's own.

use std::fmt;

use serde::{Deserialize, Serialize};

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
}

impl fmt::Display for AgentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
