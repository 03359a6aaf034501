//! What order means when anything may die at any time.

use std::ops::Range;
use std::time::Instant;

use serde_json::Value;

/// The values of one property of one user, in the order in which the directory had them.
///
/// # Order
///
/// Graph's writes of the property are in order if each is explained by a position in the history:
///
/// - The first by any.
/// - Each next one by the position of the one before or by a later one. A repeat is allowed, for a
///   lost answer is asked for again; a leap is allowed, for the directory tells its state of now,
///   and waiting attributes become one write.
/// - After a fault, what was not acknowledged is delivered once more: a write that a fault separates
///   from the one before may start again from any position, and the rule holds on from there.
/// - The last write is the last value of the history, where the property follows to the end.
#[derive(Debug)]
pub struct History(Vec<Value>);

/// A write as Graph logged it.
#[derive(Debug, Clone)]
pub struct Write {
    /// When it took effect.
    pub at: Instant,
    /// What was written.
    pub value: Value,
}

/// From the moment at which something was killed until nothing of its is on the way any more.
pub type Fault = Range<Instant>;

impl History {
    /// Before any change.
    pub fn new(first: Value) -> History {
        History(vec![first])
    }

    /// The directory has a new value.
    pub fn push(&mut self, value: Value) {
        self.0.push(value);
    }

    /// What the directory has now.
    pub fn last(&self) -> &Value {
        self.0.last().expect("a history is never empty")
    }

    /// Checks that `writes` are in order. Returns how many of them were done before: the same value
    /// once more, or an older one after a fault.
    pub fn check(
        &self,
        writes: &[Write],
        faults: &[Fault],
        follows: bool,
    ) -> Result<usize, String> {
        let mut position = 0;
        let mut before: Option<&Write> = None;
        let mut repeats = 0;
        for (index, write) in writes.iter().enumerate() {
            let onwards = self.find(position, &write.value);
            let again = before.is_some_and(|before| is_between(faults, before.at, write.at));
            // The earliest position explains most of what follows.
            let found = if again { self.find(0, &write.value) } else { onwards };
            let Some(found) = found else {
                return Err(format!("write {index} of {writes:?} is out of order with {self:?}"));
            };
            let same = before.is_some_and(|before| before.value == write.value);
            repeats += usize::from(same || onwards.is_none());
            position = found;
            before = Some(write);
        }
        match writes.last() {
            Some(write) if follows && write.value != *self.last() => {
                Err(format!("the last of {writes:?} is not the last of {self:?}"))
            }
            _ => Ok(repeats),
        }
    }

    fn find(&self, from: usize, value: &Value) -> Option<usize> {
        let later = self.0[from..].iter().position(|known| known == value)?;
        Some(from + later)
    }
}

fn is_between(faults: &[Fault], before: Instant, after: Instant) -> bool {
    faults.iter().any(|fault| fault.start <= after && before <= fault.end)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Checks writes that come a second apart, from 0 on.
    fn check(history: &[i32], writes: &[i32], fault: Option<Range<u64>>) -> Result<usize, String> {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let history = History(history.iter().map(|value| (*value).into()).collect());
        let writes: Vec<_> = (0..)
            .zip(writes)
            .map(|(second, value)| Write { at: at(2 * second), value: (*value).into() })
            .collect();
        let faults: Vec<_> =
            fault.map(|fault| at(fault.start)..at(fault.end)).into_iter().collect();
        history.check(&writes, &faults, true)
    }

    #[test]
    fn repeats_and_leaps_are_in_order() {
        assert_eq!(check(&[0, 1, 2, 3], &[1, 1, 3, 3], None), Ok(2));
        assert_eq!(check(&[0, 1, 0, 1], &[1, 0, 1], None), Ok(0));
        assert_eq!(check(&[0, 1], &[], None), Ok(0));
    }

    #[test]
    fn going_back_needs_a_fault_between() {
        assert!(check(&[0, 1, 2, 3], &[2, 1, 3], None).is_err());
        assert_eq!(check(&[0, 1, 2, 3], &[2, 1, 3], Some(1..1)), Ok(1));
        assert!(check(&[0, 1, 2, 3], &[2, 1, 3], Some(3..3)).is_err());
        assert!(check(&[0, 1, 0, 1], &[1, 0, 1, 0, 1], None).is_err());
        assert_eq!(check(&[0, 1, 0, 1], &[1, 0, 1, 1, 0, 1], Some(5..5)), Ok(1));
    }

    #[test]
    fn the_end_is_the_end_and_nothing_is_made_up() {
        assert!(check(&[0, 1, 2], &[1, 2, 1], Some(3..3)).is_err());
        assert!(check(&[0, 1, 2], &[1], None).is_err());
        assert!(check(&[0, 1, 2], &[7, 2], Some(1..1)).is_err());
    }
}
