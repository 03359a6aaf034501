use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

const LIMIT: u32 = 5;

fn guard() -> Guard {
    Guard::from_config(&model::Guard {
        max_disables: LIMIT,
        max_deletes: 2,
        ..model::Guard::default()
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("in range")
}

fn users(loss: Loss, users: u32) -> Weights {
    [(loss, Weight { users, amount: users })].into()
}

fn decide(
    guard: &Guard,
    counts: &mut Counts,
    reading: &mut Reading,
    second: i64,
    weights: &Weights,
) -> Verdict {
    let round = Round { now: at(second), weights, clock_is_off: false };
    let verdict = guard.decide(counts, reading, round, || Ok::<_, Infallible>(1_000_000));
    verdict.expect("infallible")
}

/// Whether a round of disables, as a reading of its own, is held.
fn held(counts: &mut Counts, second: i64, number: u32) -> Option<u64> {
    let weights = users(Loss::Disable, number);
    decide(&guard(), counts, &mut Reading::default(), second, &weights).remove(&Loss::Disable)
}

#[test]
fn a_mass_change_is_held_whole_and_a_single_disable_goes_through() {
    let mut counts = Counts::default();
    assert_eq!(held(&mut counts, 0, 300), Some(1));
    assert_eq!(held(&mut counts, 1, 1), None, "alone");
    assert_eq!(held(&mut counts, 2, 2), Some(1), "joins");
    for second in 3..7 {
        assert_eq!(held(&mut counts, second, 1), None);
    }
    assert_eq!(held(&mut counts, 8, 1), Some(1), "the limit is told");
    assert_eq!(held(&mut counts, 700, 3), None, "the window has passed");
    assert_eq!(held(&mut counts, 701, 6), Some(2), "a batch of its own");
}

#[test]
fn pages_of_one_reading_belong_together_and_kinds_do_not() {
    let (mut counts, mut reading) = (Counts::default(), Reading::default());
    let mut decide = |weights| decide(&guard(), &mut counts, &mut reading, 0, &weights);
    assert_eq!(decide(users(Loss::Disable, 1000)), [(Loss::Disable, 1)].into());
    assert_eq!(decide(users(Loss::Disable, 1)), [(Loss::Disable, 1)].into());
    assert_eq!(decide(users(Loss::Delete, 2)), Verdict::new());
    assert_eq!(decide(users(Loss::Delete, 1)), [(Loss::Delete, 2)].into());
}

#[test]
fn a_settled_batch_draws_nobody_in() {
    let mut counts = Counts::default();
    assert_eq!(held(&mut counts, 0, 6), Some(1));
    counts.forget_held(Loss::Disable);
    assert_eq!(held(&mut counts, 1, 3), None);
    assert_eq!(held(&mut counts, 2, 3), Some(2));
}

#[test]
fn a_share_of_the_scope_is_too_much_from_ten_users_on() {
    let guard = Guard::from_config(&model::Guard::default());
    let held = |number: u32, scope: u64| {
        let round =
            Round { now: at(0), weights: &users(Loss::Delete, number), clock_is_off: false };
        let (mut counts, mut reading) = (Counts::default(), Reading::default());
        let verdict = guard.decide(&mut counts, &mut reading, round, || Ok::<_, Infallible>(scope));
        !verdict.expect("infallible").is_empty()
    };
    assert!(!held(9, 10), "nine users are not counted in percent");
    assert!(held(10, 49) && !held(10, 50), "20 percent");
    assert!(held(26, 1_000_000), "the number counts too");
    let free = Guard { max_percent: 100, ..guard.clone() };
    let round = Round { now: at(0), weights: &users(Loss::Delete, 20), clock_is_off: false };
    let verdict =
        free.decide(&mut Counts::default(), &mut Reading::default(), round, || Err::<u64, _>(()));
    assert_eq!(verdict, Ok(Verdict::new()), "nobody has to be counted");
}

#[test]
fn expiries_are_counted_apart_and_held_while_the_clocks_disagree() {
    let many = users(Loss::Expire, 1000);
    let verdict = |guard: &Guard, clock_is_off| {
        let round = Round { now: at(0), weights: &many, clock_is_off };
        let (mut counts, mut reading) = (Counts::default(), Reading::default());
        let verdict = guard.decide(&mut counts, &mut reading, round, || Ok::<_, Infallible>(9));
        verdict.expect("infallible")
    };
    assert_eq!(verdict(&guard(), false), Verdict::new(), "not counted by default");
    assert_eq!(verdict(&guard(), true), [(Loss::Expire, 1)].into());
    let counting = Guard { count_expired: true, ..guard() };
    assert_eq!(verdict(&counting, false), [(Loss::Expire, 1)].into());
    let mut counts = Counts::default();
    let mut tell = |loss, number| {
        decide(&counting, &mut counts, &mut Reading::default(), 0, &users(loss, number))
    };
    assert_eq!(tell(Loss::Expire, LIMIT), Verdict::new());
    assert_eq!(tell(Loss::Disable, LIMIT), Verdict::new(), "each has its own count");
    let back = Detail::AccountEnabled { ended: Reason::Expired };
    assert_eq!(counting.detail_loss(&back, false), None);
    assert_eq!(counting.detail_loss(&back, true), Some(Loss::Expire));
}

#[test]
fn what_is_kept_is_bounded() {
    let mut counts = Counts::default();
    for second in 0..5_000 {
        held(&mut counts, second, 1 + (second % 3) as u32);
    }
    let count = &counts.kinds[&Loss::Disable];
    assert!(count.told.0.len() <= 62 && count.held.0.len() <= 62, "{counts:?}");
}

proptest! {
    #[test]
    fn no_window_tells_more_than_the_limit(
        rounds in prop::collection::vec((0_i64..200, 1_u32..9), 1..80),
    ) {
        let mut counts = Counts::default();
        let mut told = Vec::new();
        let mut now = 0;
        for (pause, number) in rounds {
            now += pause;
            // As over a restart.
            let bytes = serde_json::to_vec(&counts).expect("json");
            prop_assert_eq!(&serde_json::from_slice::<Counts>(&bytes).expect("json"), &counts);
            let recent = |told: &[(i64, u32)], length| {
                let recent = told.iter().filter(|(second, _)| *second > now - length);
                recent.map(|(_, number)| number).sum::<u32>()
            };
            match held(&mut counts, now, number) {
                None => {
                    told.push((now, number));
                    prop_assert!(recent(&told, 600) <= LIMIT);
                }
                Some(batch) => {
                    prop_assert!(batch > 0);
                    // With a slice to spare, a single one is held only where the limit is told.
                    prop_assert!(number > 1 || recent(&told, 610) >= LIMIT);
                }
            }
        }
    }
}
