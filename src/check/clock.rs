//! Whose clock is off. Three of them are compared where three are known, so the odd one can be
//! named.

use jiff::Timestamp;

use super::{Area, Check, Subject};

/// A difference that expiries and the age of events do not bear any more, in seconds: the watcher
/// holds expiries beyond it.
const MOST: f64 = 300.0;
/// A difference that a synchronized clock never has. Graph tells whole seconds, and late.
const NOTABLE: f64 = 30.0;

const REMEDY: &str = "let this machine, the domain controllers and whatever stands for Graph keep \
                      the time by NTP";

/// How far a server is ahead that answered so to a question of that time, in seconds.
pub(super) fn ahead(theirs: Timestamp, asked: Timestamp) -> f64 {
    let trip = Timestamp::now().duration_since(asked);
    theirs.duration_since(asked).as_secs_f64() - trip.as_secs_f64() / 2.0
}

/// From how far the two others are ahead of this machine's clock, in seconds.
pub(super) fn check(directory: Option<f64>, graph: Option<f64>) -> Check {
    let subject = Subject(Area::Local, "clock");
    let told = [("the directory", directory), ("Graph", graph)];
    let known: Vec<_> = told.into_iter().filter_map(|(who, ahead)| Some((who, ahead?))).collect();
    let Some((_, worst)) = known.iter().copied().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
    else {
        return subject.skip("not tried: nobody told the time");
    };
    let off: Vec<_> = known.iter().filter(|(_, ahead)| ahead.abs() > NOTABLE).collect();
    if off.is_empty() {
        return subject.pass(format!("agrees within {worst:.1} s", worst = worst.abs()));
    }
    let agree = off.len() == 2 && (off[0].1 - off[1].1).abs() <= NOTABLE;
    let told = if agree {
        format!("this machine's clock is {}", direction(-worst))
    } else {
        let each =
            off.iter().map(|(who, ahead)| format!("the clock of {who} is {}", direction(*ahead)));
        format!("{}, by this machine's", each.collect::<Vec<_>>().join(", "))
    };
    if worst.abs() > MOST { subject.fail(told, REMEDY) } else { subject.warn(told, REMEDY) }
}

fn direction(ahead: f64) -> String {
    let way = if ahead < 0.0 { "slow" } else { "fast" };
    format!("{:.0} s {way}", ahead.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    #[test]
    fn the_odd_one_is_named() {
        let told = |directory, graph| {
            let check = check(directory, graph);
            (check.verdict, check.told)
        };
        assert_eq!(told(None, None).0, Verdict::Skip);
        assert_eq!(told(Some(-0.4), Some(1.0)).0, Verdict::Pass);
        let (verdict, text) = told(Some(3600.0), Some(3601.0));
        assert_eq!(
            (verdict, text.as_str()),
            (Verdict::Fail, "this machine's clock is 3601 s slow")
        );
        let (verdict, text) = told(Some(60.0), Some(0.0));
        assert_eq!(verdict, Verdict::Warn);
        assert!(text.starts_with("the clock of the directory is 60 s fast"), "{text}");
        assert_eq!(told(Some(-400.0), None).0, Verdict::Fail);
    }
}
