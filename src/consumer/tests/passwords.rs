//! What becomes of a sealed password.

use jiff::SignedDuration;
use secrecy::zeroize::Zeroizing;
use tempfile::TempDir;

use super::*;
use crate::{
    event::SealedPassword,
    sealing::{Binding, Password, Sealer, make_pair},
};

const SECRET: &str = "S3aled-Passw0rd \"ä";
const GOOD: &str = "S3aled-Passw0rd";

struct Keys(TempDir);

impl Keys {
    fn new() -> Keys {
        let folder = tempfile::tempdir().expect("folder");
        make_pair(&folder.path().join("k"), &folder.path().join("p")).expect("keys");
        Keys(folder)
    }

    fn opener(&self) -> Arc<Opener> {
        Arc::new(Opener::load(&[self.0.path().join("k")]).expect("keys"))
    }

    /// The password of this user, sealed.
    fn seal(&self, user: u128, password: &str) -> SealedPassword {
        let sealer = Sealer::load(&self.0.path().join("p")).expect("a key");
        let (candidate, account) = (Uuid::new_v4(), format!("guid:{}", Uuid::from_u128(user)));
        let source = &event(user, 1, DISABLED).source;
        let binding = Binding { source, account: &account, candidate };
        let password = Password::from_bytes(Zeroizing::new(password.into())).expect("a password");
        SealedPassword {
            key_id: sealer.key_id().to_owned(),
            candidate,
            sealed: sealer.seal(&password, binding),
            account,
            must_change: true,
            never_expires: false,
            expires: Timestamp::now() + SignedDuration::from_hours(1),
        }
    }
}

fn set(user: u128, sequence: u64, sealed: SealedPassword) -> Event {
    event(user, sequence, Detail::PasswordSet(Box::new(sealed)))
}

#[tokio::test]
async fn it_is_set_as_the_directory_has_it_and_the_newest_wins() {
    let keys = Keys::new();
    let mut world = World::new().await;
    world.opener = keys.opener();
    let user = world.user(1);
    world.publish(&set(1, 1, keys.seal(1, "An0lder-Passw0rd")));
    world.publish(&set(1, 2, keys.seal(1, GOOD)));
    world.start();
    world.drained().await;
    let twin = world.graph.user(user).expect("user");
    assert_eq!((twin.password(), twin.must_change_password()), (Some(GOOD), true));
    world.publish(&set(1, 3, SealedPassword { must_change: false, ..keys.seal(1, "N3wer-one") }));
    world.drained().await;
    let twin = world.graph.user(user).expect("user");
    assert_eq!((twin.password(), twin.must_change_password()), (Some("N3wer-one"), false));
    assert!(world.dead_letters().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn what_does_not_open_or_is_refused_is_given_up_without_content() {
    let (keys, strange) = (Keys::new(), Keys::new());
    let mut world = World::new().await;
    world.opener = keys.opener();
    let users = [1, 2, 3, 4, 5].map(|number| world.user(number));
    world.start();
    let mut tampered = keys.seal(2, GOOD);
    tampered.sealed.replace_range(60..61, if &tampered.sealed[60..61] == "A" { "B" } else { "A" });
    let expired = SealedPassword { expires: Timestamp::now(), ..keys.seal(4, GOOD) };
    for (user, sealed) in [
        (1, strange.seal(1, GOOD)),
        (2, tampered),
        // Another's, as it is.
        (3, keys.seal(1, GOOD)),
        (4, expired),
        (5, keys.seal(5, SECRET)),
    ] {
        world.publish(&set(user, 1, sealed));
    }
    // Another's, under this one's name.
    let account = format!("guid:{}", Uuid::from_u128(3));
    world.publish(&set(3, 2, SealedPassword { account, ..keys.seal(1, GOOD) }));
    world.drained().await;
    let mut found: Vec<_> = world
        .dead_letters()
        .iter()
        .map(|letter| {
            let shown = format!("{letter:?}");
            assert!(!shown.contains(GOOD) && !shown.contains("S3aled"), "{shown}");
            assert!(!letter.cause.remedy.is_empty());
            let body = letter.original.message().expect("readable").body;
            (letter.original.object.as_u128(), letter.cause.reason, body.is_empty())
        })
        .collect();
    found.sort();
    let expected = [
        (1, DeadReason::PasswordKeyUnknown, false),
        (2, DeadReason::PasswordNotOpened, true),
        (3, DeadReason::PasswordNotOpened, true),
        (3, DeadReason::PasswordNotOpened, true),
        (4, DeadReason::PasswordExpired, true),
        (5, DeadReason::ValueRefused, false),
    ];
    assert_eq!(found, expected);
    for user in users {
        assert_eq!(world.graph.user(user).expect("user").password(), None);
    }
    world.stop().await;
}
