//! Splits a batch so that it can be published many at a time without reordering an object.

use std::collections::HashSet;

use crate::queue::Message;

/// The most messages that wait for their confirms together.
const MAX_IN_FLIGHT: usize = 1000;

/// Consecutive parts of `messages`, none of which holds two messages of one object. If each part
/// is confirmed before the next is sent, a message that is refused cannot be overtaken by a later
/// one of its object.
pub(super) fn waves(messages: &[Message]) -> impl Iterator<Item = &[Message]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut seen = HashSet::new();
        let fits = |message: &&Message| seen.len() < MAX_IN_FLIGHT && seen.insert(message.object);
        let (wave, later) = rest.split_at(rest.iter().take_while(fits).count());
        rest = later;
        (!wave.is_empty()).then_some(wave)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn message(object: Uuid) -> Message {
        Message {
            id: Uuid::nil(),
            kind: String::new(),
            object,
            content_type: String::new(),
            headers: Default::default(),
            body: Default::default(),
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved_and_no_object_is_twice_in_a_wave(
            objects in proptest::collection::vec(0_u128..20, 0..200)
        ) {
            let messages: Vec<_> = objects.iter().map(|&object| message(Uuid::from_u128(object))).collect();
            let mut joined = Vec::new();
            for wave in waves(&messages) {
                let distinct: HashSet<_> = wave.iter().map(|message| message.object).collect();
                prop_assert_eq!(distinct.len(), wave.len());
                joined.extend_from_slice(wave);
            }
            prop_assert_eq!(joined, messages);
        }
    }

    #[test]
    fn a_wave_is_bounded() {
        let messages: Vec<_> = (0..2500).map(|object| message(Uuid::from_u128(object))).collect();
        let sizes: Vec<_> = waves(&messages).map(<[_]>::len).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}
