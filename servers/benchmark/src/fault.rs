//! Faults, as their handler in another space hears of them.

use crate::machine::{self, AFTER, BEFORE};
use crate::partner::Partner;
use crate::samples::ROUNDS;
use crate::stage::{Stage, counted_message};
use abi::call::{Binding, ThreadRegister};
use abi::{CallNumber, DeliveryKind, Error, MessageInfo};

/// Measures the way from a fault to the handler, and the way back from its reply.
pub fn there_and_back(stage: &Stage) -> Result<(), Error> {
    let partner = Partner::new(stage, &machine::fault(), 64)?;
    let handler = stage.endpoint()?;
    let thread = partner.thread;
    thread.bind(Binding::FaultHandler, Some(handler.capability()))?;
    partner.start(0)?;
    let (mut there, mut back) = (stage.samples(), stage.samples());
    let mut number = CallNumber::Receive;
    for round in 0..=ROUNDS {
        let (results, [before, after]) =
            counted_message(number, handler.bits(), MessageInfo::new())?;
        let info = MessageInfo::from_bits(results.word as u32);
        if info.kind() != DeliveryKind::Fault as u8 {
            return Err(Error::WrongState);
        }
        if round > 0 {
            there.add(thread.read(BEFORE)?, after);
            back.add(before, thread.read(AFTER)?);
        }
        let counter = ThreadRegister::ProgramCounter as u64;
        thread.write(counter, results.x[1] + machine::INSTRUCTION)?;
        number = CallNumber::ReplyReceive;
    }
    there.print("fault_to_handler");
    back.print("fault_reply");
    thread.stop()
}
