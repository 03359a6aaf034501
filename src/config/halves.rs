//! Which halves of the relay a configuration is for.

use super::{
    Config, Role,
    model::{BindMethod, BrokerKind, Credential, Source},
};

/// The role that the configuration serves: it has a login to the directory, to Graph, or to both.
pub(super) fn of(config: &Config) -> Role {
    let (directory, graph) = (&config.directory, &config.graph);
    let watches = directory.source == Source::Sandbox
        || directory.bind.method != BindMethod::Simple
        || !directory.bind.user.is_empty()
        || !directory.urls.is_empty();
    let applies = graph.is_sandbox()
        || graph.credential != Credential::ClientSecret
        || !graph.client_id.is_empty()
        || !graph.tenant_id.is_empty();
    match (watches, applies) {
        (true, false) if config.broker.kind == BrokerKind::Rabbitmq => Role::Watch,
        (false, true) if config.broker.kind == BrokerKind::Rabbitmq => Role::Apply,
        _ => Role::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_makes_a_half() {
        let mut config = Config::default();
        assert_eq!(of(&config), Role::Run, "what is missing is told of both");
        config.graph.client_id = "app".into();
        assert_eq!(of(&config), Role::Apply);
        config.directory.bind.user = "svc".into();
        assert_eq!(of(&config), Role::Run);
        config.graph.client_id.clear();
        assert_eq!(of(&config), Role::Watch);
        config.broker.kind = BrokerKind::Embedded;
        assert_eq!(of(&config), Role::Run);
    }
}
