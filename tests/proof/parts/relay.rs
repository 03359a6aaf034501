//! The configuration that the tests start the program with.

use entra_relay::config::{self, Role};

use crate::support::rabbit::{PASSWORD, Rabbit};
use crate::support::relay::Setup;
use crate::support::samba::Samba;

#[tokio::test]
async fn a_setup_is_a_valid_configuration() {
    let samba = Samba::shared().await;
    let vhost = Rabbit::shared().await.vhost();
    let account = samba.service_account().await;
    let setup = Setup::new()
        .directory(samba, account)
        .rabbit(&vhost)
        .set("directory.usn_interval", "10ms")
        .set("scope.exclude", ["parts-*"]);

    let config = config::load(&setup.write(), [], Role::Watch).unwrap();
    assert_eq!(config.directory.urls, [samba.url_ldaps()]);
    assert_eq!(config.directory.usn_interval.as_millis(), 10);
    assert_eq!(config.scope.exclude, ["parts-*"]);
    assert_eq!(config.broker.url, vhost.url());
    assert!(config.state.path.starts_with(setup.folder()));

    let password = config.broker.password_file.unwrap();
    assert_eq!(std::fs::read_to_string(password).unwrap(), PASSWORD);
}
