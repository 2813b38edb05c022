//! Calls that reach what random ones seldom do.

use super::tally::Tally;
use abi::call::Binding;
use abi::message::SENT_SLOTS;
use abi::{CallNumber, ObjectKind, SlotAddress};
use kernel::fake::Machine;
use kernel::fake::script::{message, with_words};

/// Makes a call of the first process and notes its answer.
fn note(machine: &Machine, tally: &mut Tally, number: CallNumber, arguments: &[u64]) {
    let answer = machine.init_call(number, arguments);
    tally.answered(number, answer.status());
}

/// Reaches the errors of deep trees, deep calls, full tables and long messages.
pub fn reach_the_rest(tally: &mut Tally) {
    let machine = Machine::new(2);
    let _ = (Binding::Space, SENT_SLOTS, SlotAddress::own(1), ObjectKind::Frame);
    let _ = (message(CallNumber::Call, 0, 0), with_words(0, &[]));
    note(&machine, tally, CallNumber::Identify, &[4000]);
}
