//! Where an event belongs among the spans of a trace (W3C Trace Context, section 3.2), as the
//! CloudEvents extension for distributed tracing carries it.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// A span under which others stand, in this process or another. It is only of what is traced: an
/// event that is not sampled has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace's id, never zero.
    pub trace: u128,
    /// The span's id, never zero.
    pub span: u64,
}

/// A text is no `traceparent` of something that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTraced;

impl TraceParent {
    /// A trace of its own for an event, told for the first time. The trace has the event's id, so
    /// that whoever has the one has the other; its first span has the half of it that holds a
    /// UUID's version, which is never zero.
    pub fn of_event(event: Uuid) -> TraceParent {
        let trace = event.as_u128();
        TraceParent { trace, span: (trace >> 64) as u64 }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

impl FromStr for TraceParent {
    type Err = NotTraced;

    fn from_str(text: &str) -> Result<TraceParent, NotTraced> {
        let mut parts = text.split('-');
        let mut part = |digits| {
            let part = parts.next().filter(|part| part.len() == digits).ok_or(NotTraced)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if !part.bytes().all(is_hex) {
                return Err(NotTraced);
            }
            u128::from_str_radix(part, 16).map_err(|_| NotTraced)
        };
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let span = u64::try_from(span).map_err(|_| NotTraced)?;
        let is_sampled = flags & 1 == 1;
        if version != 0 || trace == 0 || span == 0 || !is_sampled || parts.next().is_some() {
            return Err(NotTraced);
        }
        Ok(TraceParent { trace, span })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"an event");
        let parent = TraceParent::of_event(id);
        let text = parent.to_string();
        assert_eq!(text.len(), 55);
        assert!(text.contains(&id.simple().to_string()), "{text}");
        assert_eq!(text.parse(), Ok(parent));
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
        assert!(sound.parse::<TraceParent>().is_ok());
        for unsound in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(unsound.parse::<TraceParent>(), Err(NotTraced), "{unsound}");
        }
    }
}
