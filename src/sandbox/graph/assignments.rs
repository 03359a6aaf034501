//! `GET /roleManagement/directory/roleAssignments`: who holds a directory role.

use serde_json::json;

use super::call::Call;
use super::error::GraphError;
use super::exchange::Answer;
use super::permissions as needs;

/// All of them, on one page.
pub(super) fn list(call: &mut Call<'_>) -> Result<Answer, GraphError> {
    call.granted.require(needs::READ_ROLES)?;
    let mut assignments = Vec::new();
    for user in call.store.users_after(None) {
        for role in &user.roles {
            assignments.push(json!({
                "id": format!("{role:?}-{}", user.id),
                "principalId": user.id,
                "roleDefinitionId": format!("{role:?}"),
                "directoryScopeId": "/",
            }));
        }
    }
    Ok(Answer::json(json!({
        "@odata.context": call.context("roleManagement/directory/roleAssignments"),
        "value": assignments,
    })))
}
