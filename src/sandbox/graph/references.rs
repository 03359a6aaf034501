//! Bodies that point at an object: `{"@odata.id": "https://.../v1.0/directoryObjects/{id}"}`.

use serde_json::Value;
use uuid::Uuid;

use super::error::GraphError;

/// The object id in a reference to a user or directory object.
pub(super) fn referenced(body: &Value) -> Result<Uuid, GraphError> {
    let wrong = || GraphError::bad_request("Invalid value specified for property '@odata.id'.");
    let link = body.get("@odata.id").and_then(Value::as_str).ok_or_else(wrong)?;
    let (_, path) = link.split_once("/v1.0/").ok_or_else(wrong)?;
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["users" | "directoryObjects", id] => Uuid::try_parse(id).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}

/// An object id from a path.
pub(super) fn identifier(key: &str) -> Result<Uuid, GraphError> {
    Uuid::try_parse(key).map_err(|_| GraphError::invalid_identifier(key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references() {
        let id = Uuid::new_v4();
        for kind in ["users", "directoryObjects"] {
            let body =
                json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/{kind}/{id}")});
            assert_eq!(referenced(&body), Ok(id));
        }
        for bad in ["x", "https://graph.microsoft.com/v1.0/users/ada", "/v1.0/groups/1"] {
            assert!(referenced(&json!({"@odata.id": bad})).is_err(), "{bad}");
        }
        assert!(referenced(&json!({})).is_err());
    }
}
