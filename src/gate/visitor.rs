//! Who is at the desk, however that was found out.

use std::sync::Arc;

use crate::identity::metadata::Resource;
use crate::identity::trust::Caller;
use crate::policy::Policies;

/// A caller who was let in, and what it is judged by.
#[derive(Clone)]
pub struct Visitor {
    /// Who it is.
    pub(super) caller: Caller,
    /// What it may do, by the rows of the moment it was let in.
    pub(super) policies: Arc<Policies>,
    /// Under which name it knows this server.
    pub(super) resource: Arc<Resource>,
    /// When what it was let in by ends, in Unix seconds.
    pub(super) until: Option<i64>,
}
