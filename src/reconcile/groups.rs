//! The mapped groups: who is in them in Entra.

use uuid::Uuid;

use super::{
    finding::{Finding, Kind},
    surroundings::Surroundings,
    tenant::Tenant,
};
use crate::{
    consumer::Rules,
    graph::{ErrorKind, GraphClient},
};

/// A group of the directory, and the one of Entra that follows it.
#[derive(Debug, Clone)]
pub struct Group {
    /// The name in the configuration.
    pub name: String,
    /// objectGUID.
    pub object: Uuid,
    /// Object id in Entra.
    pub entra: String,
}

/// Reads the members of every group that can be changed; the others are found.
pub async fn read(
    graph: &GraphClient,
    rules: &Rules,
    names: &[String],
    surroundings: &Surroundings,
    tenant: &Tenant,
    take: &mut impl FnMut(Finding),
) -> anyhow::Result<Vec<Group>> {
    let mut groups = Vec::new();
    for name in names {
        let object = surroundings.known.named.object(name);
        let (Some(object), Some(entra)) = (object, rules.group(name)) else { continue };
        let why = match graph.read_group(entra).await {
            Ok(group) => group.closed().map(|closed| format!("{closed:?}").to_lowercase()),
            Err(error) if error.kind == ErrorKind::NotFound => Some("not in Entra".to_owned()),
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = why {
            take(Finding {
                kind: Kind::Closed,
                object: None,
                user: None,
                entra: Some(entra.to_owned()),
                group: Some(name.clone()),
                what: vec![why],
            });
            continue;
        }
        let mut page = None;
        loop {
            let (members, next) = graph.list_members(entra, page).await?;
            tenant.add_members(entra, &members)?;
            page = next;
            if page.is_none() {
                break;
            }
        }
        groups.push(Group { name: name.clone(), object, entra: entra.to_owned() });
    }
    Ok(groups)
}
