//! A group of the simulated tenant.

use std::collections::BTreeSet;

use uuid::Uuid;

/// What decides whether members can be added and removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupKind {
    /// An ordinary security group with assigned members.
    #[default]
    Assigned,
    /// Its members follow from a rule.
    Dynamic,
    /// A distribution list or mail-enabled security group: not manageable through Graph.
    MailEnabled,
    /// Can hold directory roles; takes a permission of its own.
    RoleAssignable,
    /// Synced from an on-premises directory, which masters its members.
    Synced,
}

/// A group as stored.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) kind: GroupKind,
    pub(super) members: BTreeSet<Uuid>,
}
