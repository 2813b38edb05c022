//! Faults, as their handler in another space hears of them.

use crate::machine;
use crate::partner::{Partner, SHARED};
use crate::samples::ROUNDS;
use crate::stage::{Stage, counted_message};
use abi::call::{Binding, ThreadRegister};
use abi::{CallNumber, DeliveryKind, Error, MessageInfo};

/// Measures the way from a fault to the handler, and the way back from its reply.
pub fn there_and_back(stage: &Stage) -> Result<(), Error> {
    let machine = machine::current();
    let partner = Partner::new(stage, 0, &(machine.fault)(), 64)?;
    let handler = stage.endpoint()?;
    let thread = partner.thread;
    thread.bind(Binding::FaultHandler, Some(handler.capability()))?;
    partner.start(SHARED)?;
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
            let [faulted, resumed] = readings(&partner, machine.fault_registers)?;
            there.add(faulted, after);
            back.add(before, resumed);
        }
        let counter = ThreadRegister::ProgramCounter as u64;
        thread.write(counter, results.x[1] + machine.fault_length)?;
        number = CallNumber::ReplyReceive;
    }
    there.print("fault_to_handler");
    back.print("fault_reply");
    thread.stop()
}

/// Returns the counter before and after the fault, as the thread left it.
fn readings(partner: &Partner, registers: Option<[u64; 2]>) -> Result<[u64; 2], Error> {
    match registers {
        Some([before, after]) => Ok([partner.thread.read(before)?, partner.thread.read(after)?]),
        None => Ok([partner.shared.load(0), partner.shared.load(1)]),
    }
}
