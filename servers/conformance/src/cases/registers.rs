//! Registers that the kernel does not save for processes, and those that it saves for guests.

use super::prelude::*;
use crate::guest::Guest;
use crate::machine::{self, Unsaved};
use crate::program::Runner;
use abi::exit::{ExitClass, ExitReply};
use abi::fault::FaultKind;
use rt::memory::fund;

/// What a process leaves in registers, in each of its words.
const LEFT: u64 = 0x1122_3344_5566_7788;
/// What the memory holds that registers are stored to.
const UNTOUCHED: u64 = u64::MAX;

/// Returns the registers that the kernel does not save for a process.
fn unsaved() -> Outcome<&'static Unsaved> {
    let unsaved = machine::current().unsaved.as_ref();
    unsaved.ok_or(Stop::Skipped(
        "a process has no registers but those of its frame",
    ))
}

/// Makes a page whose words all have this value; returns it with its frame.
#[track_caller]
fn page_of(context: &Context, value: u64) -> Outcome<(rt::window::Window, Frame)> {
    let frame = context.frame(12)?;
    let window = context.window(Frame::at(context.copy(frame.capability())?.slot()))?;
    (0..window.words()).for_each(|index| window.store(index, value));
    Ok((window, frame))
}

/// Lets a process of this space leave [`LEFT`] in its registers.
#[track_caller]
fn leave(context: &Context) -> Outcome {
    let (source, _) = page_of(context, LEFT)?;
    let program = context.program(unsaved()?.fill)?;
    let runner = context.run_program(program, source.address(), None)?;
    ensure_equal!(runner.done.wait(context.soon())?, 1);
    Ok(())
}

/// Lets a process of another space store what it finds, and checks that it is nothing.
#[track_caller]
fn find_nothing(context: &Context) -> Outcome {
    let space = context.bare_space()?;
    fund(space.capability(), context.untyped(18)?)?;
    let (target, frame) = page_of(context, UNTOUCHED)?;
    let program = context.program(unsaved()?.store)?;
    let Runner { thread, done, .. } = context.prepare_program(program, None)?;
    program.share(context, space)?;
    frame.map(space.capability(), target.address(), read_write())?;
    thread.bind(Binding::Space, None)?;
    thread.bind(Binding::Space, Some(space.capability()))?;
    thread.run(program.start, done.bits(), target.address())?;
    ensure_equal!(done.wait(context.soon())?, 1);
    for index in 0..unsaved()?.words {
        ensure_equal!(target.load(index), 0);
    }
    ensure_equal!(target.load(unsaved()?.words), UNTOUCHED);
    Ok(())
}

/// Returns the value of a register of the guest of this number.
const fn kept_value(guest: u64, index: usize) -> u64 {
    // It is a floating-point control register, too.
    guest << 20 | (index as u64 + 1) << 4
}

/// Makes a guest whose registers have values of its own.
#[track_caller]
fn marked(context: &Context, number: u64) -> Outcome<Guest> {
    let guest = context.guest(machine::current().guest.hypercall)?;
    for (index, register) in machine::current().guest.kept.iter().enumerate() {
        guest.vcpu.write(*register, kept_value(number, index))?;
    }
    guest.vcpu.resume()?;
    Ok(guest)
}

/// Waits for the guest's next exit and checks its registers.
#[track_caller]
fn left_with_its_own(context: &Context, guest: &Guest, number: u64) -> Outcome {
    guest.next_exit(context, ExitClass::Hypercall)?;
    for (index, register) in machine::current().guest.kept.iter().enumerate() {
        let found = guest.vcpu.read(*register)?;
        ensure_equal!(found, kept_value(number, index));
    }
    Ok(())
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::ThreadStart,
        "a process finds nothing in registers that another one left",
        |context| {
            leave(context)?;
            find_nothing(context)
        },
    ),
    success(
        CallNumber::ThreadBind,
        "arithmetic with floating-point numbers is an illegal instruction",
        |context| {
            let handler = context.endpoint()?;
            let program = context.program(machine::current().floating_point)?;
            let runner = context.run_program(program, 0, Some(handler))?;
            let message = handler.receive(context.soon())?;
            ensure!(message.kind() == Some(DeliveryKind::Fault));
            ensure_equal!(message.label(), FaultKind::IllegalInstruction.number());
            ensure_equal!(message.words[0], runner.program.start);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuRead,
        "two guests in turn keep their registers, and a process finds nothing of them",
        |context| {
            let guests = [marked(context, 1)?, marked(context, 2)?];
            for _ in 0..2 {
                for (number, guest) in (1..).zip(&guests) {
                    left_with_its_own(context, guest, number)?;
                    if machine::current().unsaved.is_some() {
                        find_nothing(context)?;
                    }
                    reply(&Outgoing::new(ExitReply::Resume as u16))?;
                }
            }
            Ok(())
        },
    ),
];
