//! The controller against a small reference model, and the laws of the specification.
#![allow(missing_docs)]

use irq::persist::RestoreError;
use irq::{AccessError, LineChanges, Plic};
use irq_api::Source;
use proptest::prelude::*;

const SOURCES: u8 = 40;
const CONTEXTS: usize = 3;

fn source(number: u8) -> Source {
    Source::new(number).unwrap()
}

fn priority(number: u8) -> u64 {
    u64::from(number) * 4
}

fn enable(context: usize, number: u8) -> u64 {
    0x2000 + context as u64 * 0x80 + u64::from(number / 32) * 4
}

fn threshold(context: usize) -> u64 {
    0x20_0000 + context as u64 * 0x1000
}

fn claim(context: usize) -> u64 {
    threshold(context) + 4
}

/// One source as the specification's prose has it.
#[derive(Clone, Copy, Default)]
struct Gateway {
    line: bool,
    pending: bool,
    in_service: bool,
}

/// The reference: no sets, no cached outputs.
struct Model {
    gateways: [Gateway; SOURCES as usize + 1],
    priority: [u8; SOURCES as usize + 1],
    enable: [[bool; SOURCES as usize + 1]; CONTEXTS],
    threshold: [u8; CONTEXTS],
}

impl Model {
    fn new() -> Self {
        Self {
            gateways: [Gateway::default(); SOURCES as usize + 1],
            priority: [0; SOURCES as usize + 1],
            enable: [[false; SOURCES as usize + 1]; CONTEXTS],
            threshold: [0; CONTEXTS],
        }
    }

    fn reset(&mut self) {
        let lines = self.gateways.map(|gateway| gateway.line);
        *self = Self::new();
        for (gateway, line) in self.gateways.iter_mut().zip(lines) {
            (gateway.line, gateway.pending) = (line, line);
        }
    }

    fn raise(&mut self, number: u8, level: bool) {
        let gateway = &mut self.gateways[number as usize];
        gateway.line = level;
        gateway.pending |= level && !gateway.in_service;
    }

    fn claim(&mut self, context: usize) -> u8 {
        let mut order: Vec<u8> = (1..=SOURCES).collect();
        order.sort_by_key(|&n| (u8::MAX - self.priority[n as usize], n));
        let found = order.into_iter().find(|&n| {
            let n = n as usize;
            self.gateways[n].pending && self.enable[context][n] && self.priority[n] > 0
        });
        let Some(number) = found else { return 0 };
        self.gateways[number as usize] = Gateway {
            pending: false,
            in_service: true,
            ..self.gateways[number as usize]
        };
        number
    }

    fn complete(&mut self, context: usize, number: u8) {
        if !(1..=SOURCES).contains(&number) || !self.enable[context][number as usize] {
            return;
        }
        let gateway = &mut self.gateways[number as usize];
        if gateway.in_service {
            gateway.in_service = false;
            gateway.pending |= gateway.line;
        }
    }

    fn output(&self, context: usize) -> bool {
        (1..=SOURCES as usize).any(|n| {
            self.gateways[n].pending
                && self.enable[context][n]
                && self.priority[n] > self.threshold[context]
        })
    }
}

#[derive(Clone, Debug)]
enum Step {
    Raise(u8, bool),
    Priority(u8, u8),
    Enable(usize, u8, bool),
    Threshold(usize, u8),
    Claim(usize),
    Complete(usize, u8),
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let number = 1..=SOURCES;
    prop_oneof![
        4 => (number.clone(), any::<bool>()).prop_map(|(n, level)| Step::Raise(n, level)),
        1 => (number.clone(), 0u8..8).prop_map(|(n, p)| Step::Priority(n, p)),
        2 => (0..CONTEXTS, number, any::<bool>()).prop_map(|(c, n, on)| Step::Enable(c, n, on)),
        1 => (0..CONTEXTS, 0u8..8).prop_map(|(c, t)| Step::Threshold(c, t)),
        3 => (0..CONTEXTS).prop_map(Step::Claim),
        3 => (0..CONTEXTS, 0u8..50).prop_map(|(c, n)| Step::Complete(c, n)),
        1 => Just(Step::Reset),
    ]
}

/// Performs a step on both; returns what the controller reported.
fn perform(plic: &mut Plic, model: &mut Model, step: &Step) -> LineChanges {
    match *step {
        Step::Raise(n, level) => {
            model.raise(n, level);
            plic.raise(source(n), level).unwrap()
        }
        Step::Priority(n, p) => {
            model.priority[n as usize] = p;
            plic.write(priority(n), 4, p.into()).unwrap()
        }
        Step::Enable(c, n, on) => {
            model.enable[c][n as usize] = on;
            let (word, _) = plic.read(enable(c, n), 4).unwrap();
            let bit = 1 << (n % 32);
            let word = if on { word | bit } else { word & !bit };
            plic.write(enable(c, n), 4, word).unwrap()
        }
        Step::Threshold(c, t) => {
            model.threshold[c] = t;
            plic.write(threshold(c), 4, t.into()).unwrap()
        }
        Step::Claim(c) => {
            let (claimed, changes) = plic.read(claim(c), 4).unwrap();
            assert_eq!(claimed, u32::from(model.claim(c)));
            changes
        }
        Step::Complete(c, n) => {
            model.complete(c, n);
            plic.write(claim(c), 4, n.into()).unwrap()
        }
        Step::Reset => {
            model.reset();
            plic.reset()
        }
    }
}

proptest! {
    #[test]
    fn the_controller_does_what_the_model_does(steps in proptest::collection::vec(step(), 0..400)) {
        let mut plic = Plic::new(CONTEXTS, SOURCES).unwrap();
        let mut model = Model::new();
        let mut lines = [false; CONTEXTS];
        for step in &steps {
            let changes = perform(&mut plic, &mut model, step);
            for (context, line) in lines.iter_mut().enumerate() {
                let (rose, fell) = (changes.raised.contains(context), changes.lowered.contains(context));
                prop_assert!(!rose || !*line, "rose twice");
                prop_assert!(!fell || *line, "fell twice");
                *line = (*line || rose) && !fell;
                prop_assert_eq!(*line, model.output(context));
            }
            for n in 1..=SOURCES {
                let (word, _) = plic.read(0x1000 + u64::from(n / 32) * 4, 4).unwrap();
                prop_assert_eq!(word >> (n % 32) & 1 == 1, model.gateways[n as usize].pending);
            }
            prop_assert!(plic.check());
        }
        prop_assert_eq!(&Plic::restore(&plic.save()).unwrap().save(), &plic.save());
    }

    #[test]
    fn no_high_line_is_ever_lost(steps in proptest::collection::vec(step(), 0..400)) {
        let mut plic = Plic::new(CONTEXTS, SOURCES).unwrap();
        let mut model = Model::new();
        for step in &steps {
            let _ = perform(&mut plic, &mut model, step);
        }
        // A guest that enables everything and serves until nothing is left meets every high line.
        for n in 1..=SOURCES {
            let _ = plic.write(priority(n), 4, 1).unwrap();
        }
        let _ = plic.write(threshold(0), 4, 0).unwrap();
        for word in 0..2 {
            let _ = plic.write(enable(0, word * 32), 4, u32::MAX).unwrap();
        }
        for n in 1..=SOURCES {
            let _ = plic.complete(0, n.into());
        }
        let mut met = Vec::new();
        while let (n @ 1.., _) = plic.claim(0) {
            met.push(n);
        }
        for n in 1..=SOURCES {
            prop_assert!(!model.gateways[n as usize].line || met.contains(&n), "source {n}");
        }
        prop_assert_eq!(plic.ledger().counts().deferred, 0);
    }

    #[test]
    fn no_access_panics(offset in 0u64..0x50_0000, size in 0u64..9, value: u32, write: bool) {
        let mut plic = Plic::new(CONTEXTS, SOURCES).unwrap();
        let refused = if write {
            plic.write(offset, size, value).is_err()
        } else {
            plic.read(offset, size).is_err()
        };
        prop_assert_eq!(refused, size != 4 || offset % 4 != 0 || offset >= 0x40_0000);
        prop_assert!(plic.check());
    }
}

/// Returns a controller whose context 0 has sources 1 to 5 enabled at priority 1.
fn ready() -> Plic {
    let mut plic = Plic::new(2, 5).unwrap();
    for n in 1..=5 {
        let _ = plic.write(priority(n), 4, 1).unwrap();
    }
    let _ = plic.write(enable(0, 0), 4, 0x3e).unwrap();
    plic
}

#[test]
fn a_request_stays_when_its_line_falls_after_the_controller_took_it() {
    let mut plic = ready();
    assert!(plic.raise(source(3), true).unwrap().raised.contains(0));
    assert!(plic.raise(source(3), false).unwrap().lowered.is_empty());
    assert_eq!(plic.claim(0).0, 3);
}

#[test]
fn a_pulse_during_service_that_ends_before_completion_is_suppressed() {
    let mut plic = ready();
    let _ = plic.raise(source(3), true);
    assert_ne!(plic.claim(0).0, 0);
    let _ = plic.raise(source(3), false);
    let _ = plic.raise(source(3), true);
    let _ = plic.raise(source(3), false);
    let _ = plic.complete(0, 3);
    assert_eq!(plic.claim(0).0, 0);
    let counts = plic.ledger().counts();
    assert_eq!(
        (counts.raised, counts.injected, counts.suppressed),
        (2, 1, 1)
    );
}

#[test]
fn a_line_that_stays_high_interrupts_again_after_completion() {
    let mut plic = ready();
    let _ = plic.raise(source(2), true);
    assert_eq!(plic.claim(0).0, 2);
    assert_eq!(plic.claim(0).0, 0, "the gateway is closed");
    assert!(plic.complete(0, 2).raised.contains(0));
    assert_eq!(plic.claim(0).0, 2);
}

#[test]
fn completion_is_ignored_where_the_source_is_not_enabled() {
    let mut plic = ready();
    let _ = plic.raise(source(2), true);
    assert_ne!(plic.claim(0).0, 0);
    assert!(plic.complete(1, 2).raised.is_empty());
    assert!(plic.complete(0, 3).raised.is_empty());
    assert!(plic.complete(0, 2).raised.contains(0));
}

#[test]
fn the_highest_priority_is_claimed_first_and_the_lowest_number_among_equals() {
    let mut plic = ready();
    let _ = plic.write(priority(4), 4, 7).unwrap();
    for n in [5, 4, 2] {
        let _ = plic.raise(source(n), true);
    }
    assert_eq!(
        [plic.claim(0).0, plic.claim(0).0, plic.claim(0).0],
        [4, 2, 5]
    );
}

#[test]
fn the_threshold_holds_the_line_but_not_the_claim() {
    let mut plic = ready();
    let _ = plic.write(threshold(0), 4, 1).unwrap();
    assert!(plic.raise(source(1), true).unwrap().raised.is_empty());
    assert_eq!(plic.claim(0).0, 1);
}

#[test]
fn only_words_are_accepted() {
    let mut plic = ready();
    assert_eq!(plic.read(4, 8).unwrap_err(), AccessError::Size);
    assert_eq!(plic.read(6, 4).unwrap_err(), AccessError::Misaligned);
    assert_eq!(
        plic.write(0x40_0000, 4, 0).unwrap_err(),
        AccessError::OutOfRange
    );
}

#[test]
fn sources_that_do_not_exist_are_refused_and_have_no_registers() {
    let mut plic = ready();
    assert_eq!(plic.raise(source(6), true), None);
    let _ = plic.write(priority(6), 4, 1).unwrap();
    assert_eq!(plic.read(priority(6), 4).unwrap().0, 0);
    let _ = plic.write(enable(0, 0), 4, u32::MAX).unwrap();
    assert_eq!(plic.read(enable(0, 0), 4).unwrap().0, 0x3e);
    assert!(Plic::new(0, 5).is_err() && Plic::new(65, 5).is_err() && Plic::new(1, 0).is_err());
}

#[test]
fn restored_controllers_report_their_lines_again() {
    let mut plic = ready();
    let _ = plic.raise(source(1), true);
    let mut twin = Plic::restore(&plic.save()).unwrap();
    assert!(twin.output().is_empty());
    assert!(twin.replay().raised.contains(0));
    assert_eq!(twin, plic);
}

#[test]
fn impossible_states_are_refused() {
    let mut plic = ready();
    let _ = plic.raise(source(1), true);
    let good = plic.save();
    let refused = |change: fn(&mut irq::persist::Saved)| {
        let mut saved = good.clone();
        change(&mut saved);
        Plic::restore(&saved).unwrap_err()
    };
    assert_eq!(
        refused(|saved| saved.ledger.raised += 1),
        RestoreError::Inconsistent
    );
    assert_eq!(
        refused(|saved| saved.pending = 0),
        RestoreError::Inconsistent
    );
    assert_eq!(
        refused(|saved| saved.in_service = 2),
        RestoreError::Inconsistent
    );
    assert_eq!(
        refused(|saved| saved.line |= 1 << 6),
        RestoreError::Nonexistent
    );
    assert_eq!(
        refused(|saved| saved.context[2].threshold = 1),
        RestoreError::Nonexistent
    );
    assert_eq!(
        refused(|saved| saved.priority[1] = 8),
        RestoreError::Priority
    );
    assert_eq!(
        refused(|saved| saved.priority[0] = 1),
        RestoreError::Priority
    );
    assert!(matches!(
        refused(|saved| saved.contexts = 65),
        RestoreError::Shape(_)
    ));
}
