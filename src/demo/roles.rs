//! The demo PSA's roles and what each may do; a permission that is not listed is denied.

use super::world::seeded_id;

/// A role with its grants, written `resource:actions` where the actions are
/// letters of `crud`; `*` stands for every resource.
pub(super) struct Role {
    pub name: &'static str,
    pub description: &'static str,
    pub grants: &'static [&'static str],
}

/// The seeded roles, by name.
pub(super) const ROLES: [Role; 5] = [
    Role { name: "Admin", description: "Everything, settings and people included", grants: &["*:crud"] },
    Role {
        name: "Billing",
        description: "Invoices, contracts and the numbers behind them",
        grants: &[
            "ticket:r",
            "client:ru",
            "contact:r",
            "asset:r",
            "project:r",
            "time_entry:r",
            "invoice:cru",
            "contract:cru",
            "service:cru",
            "document:r",
            "report:r",
        ],
    },
    Role {
        name: "Dispatcher",
        description: "Hands out work and plans the day",
        grants: &[
            "ticket:cru",
            "client:r",
            "contact:cru",
            "asset:r",
            "project:r",
            "project_task:ru",
            "user:r",
            "team:r",
            "schedule:crud",
            "interaction:cr",
            "document:r",
            "report:r",
        ],
    },
    Role {
        name: "Read only",
        description: "Looks at service work and changes nothing",
        grants: &[
            "ticket:r",
            "client:r",
            "contact:r",
            "asset:r",
            "project:r",
            "project_task:r",
            "time_entry:r",
            "service:r",
            "document:r",
            "interaction:r",
            "report:r",
            "workflow:r",
        ],
    },
    Role {
        name: "Technician",
        description: "Works on tickets, assets and project tasks, and records time",
        grants: &[
            "ticket:cru",
            "client:r",
            "contact:cru",
            "asset:cru",
            "project:r",
            "project_task:cru",
            "time_entry:cru",
            "service:r",
            "document:cr",
            "interaction:cr",
            "schedule:r",
            "team:r",
            "report:r",
            "workflow:cru",
        ],
    },
];

/// The role called `word`, exactly, or with that id.
pub(super) fn find(word: &str) -> Option<&'static Role> {
    ROLES.iter().find(|role| role.name == word || role.id() == word)
}

impl Role {
    /// The same in every run.
    pub fn id(&self) -> String {
        seeded_id("role", self.name)
    }

    /// Whether this role may do `action` (`create`, `read`, `update`, `delete`) to `resource`.
    pub fn may(&self, action: &str, resource: &str) -> bool {
        let Some(letter) = action.chars().next() else { return false };
        self.grants.iter().any(|grant| {
            grant
                .split_once(':')
                .is_some_and(|(name, letters)| (name == "*" || name == resource) && letters.contains(letter))
        })
    }

    /// The grants as `{resource, action}` pairs.
    pub fn permissions(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.grants.iter().filter_map(|grant| grant.split_once(':')).flat_map(|(resource, letters)| {
            let actions = [('c', "create"), ('r', "read"), ('u', "update"), ('d', "delete")];
            actions
                .into_iter()
                .filter(move |(letter, _)| letters.contains(*letter))
                .map(move |(_, action)| (resource, action))
        })
    }
}
