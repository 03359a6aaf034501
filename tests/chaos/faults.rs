//! What goes wrong, drawn by lot.

use std::time::Duration;

use entra_relay::sandbox::graph::FaultSet;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::support::proxy::Network;

/// The relay's processes, in this order: the watcher, two consumers.
pub const RELAYS: [&str; 3] = ["watcher", "consumer 1", "consumer 2"];
/// The ways between the parts, in this order.
pub const WAYS: [&str; 6] = [
    "watcher-directory",
    "watcher-broker",
    "consumer 1-broker",
    "consumer 2-broker",
    "consumer 1-Graph",
    "consumer 2-Graph",
];

/// Something that goes wrong for a while.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A process is killed in the middle of anything.
    Kill(Part),
    /// A process stands still; its connections stay open.
    Freeze(Part),
    /// There is no space for what the watcher stores.
    FullDisk,
    /// One of [`WAYS`] is not whole.
    Way(usize, Network),
    /// Graph fails.
    Graph(&'static str, FaultSet),
    /// Graph knows no token any more: it answers 401.
    ExpiredTokens,
    /// The clock of one of [`RELAYS`] is wrong by so many seconds.
    Clock(usize, i64),
}

/// Who can be killed and frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// One of [`RELAYS`].
    Relay(usize),
    /// RabbitMQ.
    Broker,
    /// The domain controller.
    Directory,
}

impl Fault {
    /// Of a process or its disk.
    pub fn of_part(random: &mut StdRng) -> Fault {
        match random.random_range(0..20) {
            number @ 0..9 => Fault::Kill(Part::Relay(number % RELAYS.len())),
            number @ 9..15 => Fault::Freeze(Part::Relay(number % RELAYS.len())),
            15 => Fault::Kill(Part::Broker),
            16 => Fault::Freeze(Part::Broker),
            17 => Fault::Kill(Part::Directory),
            18 => Fault::Freeze(Part::Directory),
            _ => Fault::FullDisk,
        }
    }

    /// Of what is between the processes, of Graph, of a clock.
    pub fn of_surroundings(random: &mut StdRng) -> Fault {
        match random.random_range(0..20) {
            0..9 => Fault::Way(random.random_range(0..WAYS.len()), network(random)),
            9..18 => graph(random),
            _ => {
                let seconds = [30, 300, 3600][random.random_range(0..3)];
                let sign = if random.random() { 1 } else { -1 };
                Fault::Clock(random.random_range(0..RELAYS.len()), sign * seconds)
            }
        }
    }

    /// What it is called in the figures.
    pub fn name(&self) -> String {
        let part = |part: &Part| match part {
            Part::Relay(index) => RELAYS[*index],
            Part::Broker => "broker",
            Part::Directory => "directory",
        };
        match self {
            Fault::Kill(whom) => format!("kill {}", part(whom)),
            Fault::Freeze(whom) => format!("freeze {}", part(whom)),
            Fault::FullDisk => "full disk".to_owned(),
            Fault::Way(way, Network::Cut) => format!("cut {}", WAYS[*way]),
            Fault::Way(way, Network::Slow(_)) => format!("slow {}", WAYS[*way]),
            Fault::Way(way, Network::Torn(_)) => format!("torn {}", WAYS[*way]),
            Fault::Way(way, _) => format!("silent {}", WAYS[*way]),
            Fault::Graph(name, _) => format!("Graph {name}"),
            Fault::ExpiredTokens => "Graph 401".to_owned(),
            Fault::Clock(whose, _) => format!("clock of {}", RELAYS[*whose]),
        }
    }

    /// Whether it makes the broker deliver again what was applied and not acknowledged yet.
    pub fn redelivers(&self) -> bool {
        match self {
            Fault::Kill(part) | Fault::Freeze(part) => {
                !matches!(part, Part::Directory | Part::Relay(0))
            }
            Fault::Way(way, _) => (2..4).contains(way),
            _ => false,
        }
    }

    /// Whether an event may be given up on account of it.
    pub fn explains_dead_letters(&self) -> bool {
        match self {
            Fault::Graph(..) => true,
            Fault::Way(way, _) => *way >= 4,
            _ => false,
        }
    }
}

fn network(random: &mut StdRng) -> Network {
    match random.random_range(0..4) {
        0 => Network::Cut,
        1 => Network::Slow(Duration::from_millis(random.random_range(10..1000))),
        2 => Network::Torn(random.random_range(1..2000)),
        _ => Network::Silent,
    }
}

fn graph(random: &mut StdRng) -> Fault {
    let none = FaultSet::default();
    let (seconds, nth) = (random.random_range(1..6), random.random_range(2..6));
    let (name, faults) = match random.random_range(0..9) {
        0 => ("503", FaultSet { down: true, ..none }),
        1 => ("resets", FaultSet { reset: true, ..none }),
        2 => ("answers lost", FaultSet { lose_answer: true, ..none }),
        3 => ("hangs", FaultSet { hang: true, ..none }),
        4 => ("429", FaultSet { throttle: Some(seconds), ..none }),
        5 => ("5xx now and then", FaultSet { flaky: Some(nth), ..none }),
        6 => ("no tokens", FaultSet { token_down: true, ..none }),
        7 => ("malformed JSON", FaultSet { garble: true, ..none }),
        _ => return Fault::ExpiredTokens,
    };
    Fault::Graph(name, faults)
}
