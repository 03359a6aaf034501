//! How often a property is tried over random runs, and how a failed one is repeated.

use proptest::prelude::ProptestConfig;
use proptest::test_runner::{RngSeed, contextualize_config};

/// So many cases, unless `PROPTEST_CASES` says otherwise. `PROPTEST_RNG_SEED` repeats the runs of a
/// seed, which a failure shows.
pub(crate) fn random_runs(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { cases, ..ProptestConfig::default() };
    let mut config = ProptestConfig { failure_persistence: None, ..contextualize_config(default) };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(rand::random());
    }
    println!("PROPTEST_RNG_SEED={}", config.rng_seed);
    config
}
