//! What others can put into the queue, and what comes of it.

use super::*;
use crate::{
    queue::dead_letter::DeadReason,
    signing::{Keys, Signer},
};

const URGENT: Queue = Queue::Lane(Lane::Urgent);

fn signed(signer: &Signer, event: &Event) -> Message {
    let mut message = Message::from_event(event);
    signer.sign(&mut message);
    message
}

#[tokio::test]
async fn only_what_the_watcher_signed_is_applied() {
    let mut world = World::new().await;
    let user = world.user(1);
    let keys = Keys::of(Signer::generate());
    world.verifier = Arc::clone(&keys.verifier);
    let watcher = keys.signer.as_deref().expect("it signs");
    let stranger = Signer::generate();
    let unsigned = Message::from_event(&event(1, 1, DISABLED));
    let foreign = signed(&stranger, &event(1, 2, DISABLED));
    let body = event(1, 4, DISABLED).to_json().into();
    let altered = Message { body, ..signed(watcher, &event(1, 3, ENABLED)) };
    let junk = Message { body: b"\xff".as_slice().into(), ..unsigned.clone() };
    let injected = [unsigned, foreign, altered, junk];
    for message in &injected {
        world.queue.put(URGENT, message.clone());
    }
    world.start();
    world.drained().await;
    assert!(world.is_enabled(user));
    let letters = world.dead_letters();
    assert_eq!(letters.len(), injected.len());
    for (message, part) in
        injected.iter().zip(["not signed", stranger.key_id(), watcher.key_id(), "not signed"])
    {
        let kept = |letter: &&DeadLetter| letter.original.message().as_ref() == Some(message);
        let letter = letters.iter().find(kept).expect("byte for byte");
        assert_eq!(letter.cause.reason, DeadReason::BadSignature);
        assert!(letter.cause.sentence.contains(part), "{:?}", letter.cause);
        assert_eq!(letter.user, None, "nothing in it is believed");
    }
    world.queue.put(URGENT, signed(watcher, &event(1, 5, DISABLED)));
    world.drained().await;
    assert!(!world.is_enabled(user));
    world.stop().await;
}

#[tokio::test]
async fn a_copy_of_an_old_event_changes_nobody_in_either_lane() {
    let mut world = World::new().await;
    let user = world.user(1);
    world.start();
    let enabled = event(1, 1, ENABLED);
    world.publish(&enabled);
    world.publish(&event(1, 2, DISABLED));
    world.drained().await;
    let writes = world.writes().len();
    for lane in Lane::ALL {
        world.queue.put(Queue::Lane(lane), Message::from_event(&enabled));
    }
    world.drained().await;
    assert!(!world.is_enabled(user));
    assert_eq!(world.writes().len(), writes);
    let letters = world.dead_letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].cause.reason, DeadReason::Misplaced);
    world.stop().await;
}
