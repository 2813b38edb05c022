//! One effect for every exit, however often it is delivered.
//!
//! The kernel delivers an exit until somebody consumed it: a vCPU that is stopped while its exit is
//! being answered, or whose server dies, brings the same exit again, with the same sequence number.
//! The numbers of a vCPU's exits rise, and it has one exit at a time, so a server keeps one number
//! and one reply per vCPU:
//!
//! ```text
//!             sequence > last ──▶ New: have the effect, record {sequence, reply}, then answer
//!  delivery ─ sequence = last ──▶ Repeated: the recorded reply, no effect
//!             sequence < last ──▶ Stale: nobody waits for an answer, no effect
//! ```
//! The same for any sender that numbers what it sends, and repeats what was not answered.

use core::marker::PhantomData;
use postcard::experimental::max_size::MaxSize;
use serde::{Deserialize, Serialize};

/// The most vCPUs of a guest.
pub const MAX_VCPUS: usize = 64;

/// What a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<R> {
    /// It was never seen: it is to have its effect now.
    New,
    /// It had its effect already, and this was the reply.
    Repeated(R),
    /// A later one came already, or its sender was reset since; also one of a sender that there is
    /// not. It has no effect, and its answer reaches nobody.
    Stale,
}

/// The last delivery of one sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last<R> {
    sequence: u64,
    reply: Option<R>,
}

impl<R> Default for Last<R> {
    fn default() -> Self {
        Self {
            sequence: 0,
            reply: None,
        }
    }
}

impl<R: Copy> Last<R> {
    /// Returns what a delivery of this sender is.
    #[must_use]
    #[inline]
    pub fn look(&self, sequence: u64) -> Delivery<R> {
        if sequence > self.sequence {
            return Delivery::New;
        }
        match self.reply {
            Some(reply) if sequence == self.sequence => Delivery::Repeated(reply),
            _ => Delivery::Stale,
        }
    }

    /// Records the reply to a delivery that had its effect.
    #[inline]
    pub fn record(&mut self, sequence: u64, reply: R) {
        if sequence > self.sequence {
            let reply = Some(reply);
            *self = Self { sequence, reply };
        }
    }

    /// Makes everything stale that the sender sent up to `sequence`.
    pub fn retire(&mut self, sequence: u64) {
        if sequence >= self.sequence {
            let reply = None;
            *self = Self { sequence, reply };
        }
    }
}

/// The last number of each sender, and the reply to it, in storage `S` with a place for each sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliveries<R, S> {
    last: S,
    reply: PhantomData<R>,
}

impl<R: Copy, S: AsRef<[Last<R>]> + AsMut<[Last<R>]>> Deliveries<R, S> {
    /// Returns the state before anything was delivered, in storage of default places. Numbers begin
    /// at 1.
    #[must_use]
    pub const fn new(last: S) -> Self {
        Self {
            last,
            reply: PhantomData,
        }
    }

    /// Returns what a delivery of a sender is.
    #[must_use]
    pub fn look(&self, sender: usize, sequence: u64) -> Delivery<R> {
        let last = self.last.as_ref().get(sender);
        last.map_or(Delivery::Stale, |last| last.look(sequence))
    }

    /// Records the reply to a delivery that had its effect.
    pub fn record(&mut self, sender: usize, sequence: u64, reply: R) {
        if let Some(last) = self.last.as_mut().get_mut(sender) {
            last.record(sequence, reply);
        }
    }

    /// Makes everything that a sender sent up to `sequence` stale: it was reset behind that.
    pub fn retire(&mut self, sender: usize, sequence: u64) {
        if let Some(last) = self.last.as_mut().get_mut(sender) {
            last.retire(sequence);
        }
    }

    /// Makes everything stale that the vCPUs of a guest sent before it was reset.
    pub fn retire_all(&mut self, newest: &Newest) {
        for sender in 0..self.last.as_ref().len().min(MAX_VCPUS) {
            self.retire(sender, newest.get(sender));
        }
    }

    /// Serves a delivery: a new one by `effect`, a repeated one by its reply, a stale one by
    /// `stale`. Returns the reply.
    pub fn serve(
        &mut self,
        (sender, sequence): (usize, u64),
        stale: R,
        effect: impl FnOnce() -> R,
    ) -> R {
        match self.look(sender, sequence) {
            Delivery::New => {
                let reply = effect();
                self.record(sender, sequence, reply);
                reply
            }
            Delivery::Repeated(reply) => reply,
            Delivery::Stale => stale,
        }
    }
}

/// Sequence numbers of the newest exit of every vCPU of a guest; 0 of one that made none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, MaxSize)]
pub struct Newest([[u64; 8]; MAX_VCPUS / 8]);

impl Newest {
    /// Returns the number of a vCPU.
    #[must_use]
    pub fn get(&self, vcpu: usize) -> u64 {
        let row = self.0.get(vcpu / 8);
        row.and_then(|row| row.get(vcpu % 8)).copied().unwrap_or(0)
    }

    /// Sets the number of a vCPU; of one that cannot be, does nothing.
    pub fn set(&mut self, vcpu: usize, sequence: u64) {
        let row = self.0.get_mut(vcpu / 8);
        if let Some(place) = row.and_then(|row| row.get_mut(vcpu % 8)) {
            *place = sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::vec::Vec;

    /// What can happen between three vCPUs and a server.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A vCPU whose exit was consumed makes the next one, so many numbers later: others went to
        /// other servers.
        Exit { vcpu: usize, gap: u64 },
        /// The pending exit of a vCPU is delivered (again).
        Deliver { vcpu: usize },
        /// A message from before is handled late.
        Late { vcpu: usize, back: u64 },
        /// The reply to the pending exit is consumed.
        Consume { vcpu: usize },
        /// The guest is reset.
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        let vcpu = 0..3_usize;
        prop_oneof![
            3 => (vcpu.clone(), 1..4_u64).prop_map(|(vcpu, gap)| Step::Exit { vcpu, gap }),
            6 => vcpu.clone().prop_map(|vcpu| Step::Deliver { vcpu }),
            2 => (vcpu.clone(), 1..5_u64).prop_map(|(vcpu, back)| Step::Late { vcpu, back }),
            3 => vcpu.prop_map(|vcpu| Step::Consume { vcpu }),
            1 => Just(Step::Reset),
        ]
    }

    proptest! {
        #[test]
        fn every_exit_has_one_effect_and_one_reply(steps in proptest::collection::vec(step(), 1..200)) {
            let mut deliveries = Deliveries::new([Last::<u64>::default(); 3]);
            let mut effects: Vec<(usize, u64)> = Vec::new();
            let mut newest = [0_u64; 3];
            let mut pending: BTreeMap<usize, (u64, bool)> = BTreeMap::new();
            let mut reset_at = [0_u64; 3];
            for step in steps {
                match step {
                    Step::Exit { vcpu, gap } => {
                        pending.entry(vcpu).or_insert_with(|| {
                            newest[vcpu] += gap;
                            (newest[vcpu], false)
                        });
                    }
                    Step::Deliver { vcpu } => {
                        let Some((sequence, delivered)) = pending.get_mut(&vcpu) else { continue };
                        let count = effects.len() as u64;
                        let before = effects.iter().position(|effect| *effect == (vcpu, *sequence));
                        let reply = deliveries.serve((vcpu, *sequence), u64::MAX, || {
                            effects.push((vcpu, *sequence));
                            count
                        });
                        // The reply is that of the one effect, whenever it was.
                        prop_assert_eq!(reply, before.map_or(count, |at| at as u64));
                        *delivered = true;
                    }
                    Step::Late { vcpu, back } => {
                        let sequence = newest[vcpu].saturating_sub(back);
                        let is_pending = pending.get(&vcpu).is_some_and(|(number, _)| *number == sequence);
                        let was_handled = effects.contains(&(vcpu, sequence)) || sequence <= reset_at[vcpu];
                        if !is_pending && was_handled {
                            let _ = deliveries.serve((vcpu, sequence), u64::MAX, || {
                                effects.push((vcpu, sequence));
                                0
                            });
                        }
                    }
                    Step::Consume { vcpu } => {
                        if pending.get(&vcpu).is_some_and(|(_, delivered)| *delivered) {
                            pending.remove(&vcpu);
                        }
                    }
                    Step::Reset => {
                        let mut numbers = Newest::default();
                        for (vcpu, number) in newest.iter().enumerate() {
                            numbers.set(vcpu, *number);
                            reset_at[vcpu] = *number;
                        }
                        deliveries.retire_all(&numbers);
                        pending.clear();
                    }
                }
            }
            let once: BTreeSet<_> = effects.iter().collect();
            prop_assert_eq!(once.len(), effects.len(), "no exit has two effects");
        }
    }

    #[test]
    fn what_was_reset_has_no_effect_and_what_comes_after_it_has() {
        let mut deliveries = Deliveries::new([Last::<u8>::default(); 2]);
        assert_eq!(deliveries.serve((0, 5), 0, || 7), 7);
        deliveries.retire(0, 6);
        assert_eq!(deliveries.look(0, 5), Delivery::Stale);
        assert_eq!(deliveries.look(0, 6), Delivery::Stale);
        assert_eq!(deliveries.look(0, 7), Delivery::New);
        assert_eq!(deliveries.look(1, 1), Delivery::New, "another sender");
    }

    #[test]
    fn senders_and_numbers_that_cannot_be_have_no_effect() {
        let mut deliveries = Deliveries::new([Last::<u8>::default(); 2]);
        assert_eq!(deliveries.look(2, 1), Delivery::Stale);
        assert_eq!(deliveries.look(0, 0), Delivery::Stale);
        deliveries.record(2, 1, 1);
        deliveries.retire(2, 1);
        assert_eq!(deliveries, Deliveries::new([Last::default(); 2]));
    }

    #[test]
    fn the_newest_numbers_keep_their_bytes() {
        let mut newest = Newest::default();
        newest.set(0, 300);
        newest.set(9, 1);
        newest.set(64, 5);
        let mut buffer = [0; 128];
        let bytes = postcard::to_slice(&newest, &mut buffer).unwrap();
        assert_eq!(bytes.len(), 65);
        assert_eq!(bytes[..12], [0xac, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
        assert!(bytes[12..].iter().all(|byte| *byte == 0));
        assert_eq!((newest.get(0), newest.get(9), newest.get(64)), (300, 1, 0));
    }
}
