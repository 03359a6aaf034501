//! How latencies spread, in bounded memory: counts in classes that grow by a thirty-second of an
//! octave, so that a percentile is right to within about one per cent.

use std::collections::BTreeMap;

/// Classes in which a latency doubles.
const PER_OCTAVE: f64 = 32.0;

/// The first class, in seconds. What is shorter counts as this long.
const SHORTEST: f64 = 0.001;

/// The last class, of about an hour. What is longer counts as this long.
const LAST: u16 = 22 * 32;

/// Latencies.
#[derive(Debug, Clone, Default)]
pub struct Spread(BTreeMap<u16, u32>);

impl Spread {
    /// None.
    pub const fn new() -> Spread {
        Spread(BTreeMap::new())
    }

    /// Takes a latency in, in seconds.
    pub fn note(&mut self, seconds: f64) {
        let class = (seconds.max(SHORTEST) / SHORTEST).log2() * PER_OCTAVE;
        // The conversion saturates.
        let count = self.0.entry((class.round() as u16).min(LAST)).or_default();
        *count = count.saturating_add(1);
    }

    /// Takes all of another's in.
    pub fn add(&mut self, other: &Spread) {
        for (class, more) in &other.0 {
            let count = self.0.entry(*class).or_default();
            *count = count.saturating_add(*more);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().map(|count| u64::from(*count)).sum()
    }

    /// The latency that so many per cent do not exceed, in seconds; none where there are none.
    pub fn percentile(&self, percent: u64) -> Option<f64> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let class = self.0.iter().find_map(|(class, count)| {
            seen += u64::from(*count);
            (seen >= rank).then_some(*class)
        })?;
        Some(SHORTEST * (f64::from(class) / PER_OCTAVE).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_two_per_cent_and_extremes_are_kept() {
        let mut spread = Spread::default();
        assert_eq!(spread.percentile(50), None);
        (1..=1000).for_each(|ms| spread.note(f64::from(ms) / 1000.0));
        for (percent, seconds) in [(50, 0.5), (90, 0.9), (99, 0.99), (100, 1.0)] {
            let told = spread.percentile(percent).expect("there are some");
            assert!((told / seconds - 1.0).abs() < 0.02, "p{percent}: {told}");
        }
        assert_eq!(spread.count(), 1000);
        let mut extremes = Spread::default();
        [-1.0, 0.0, 1e9].into_iter().for_each(|seconds| extremes.note(seconds));
        assert_eq!(extremes.percentile(50), Some(SHORTEST));
        assert!(extremes.percentile(100).expect("there are some") > 2400.0);
        extremes.add(&spread);
        assert_eq!(extremes.count(), 1003);
        assert!(extremes.0.len() <= usize::from(LAST) + 1);
    }
}
