//! Faults, their handlers, and recovery without one.

use super::prelude::*;
use crate::machine;
use crate::program::Runner;
use abi::call::ThreadRegister;
use abi::fault::FaultKind;

/// An address of the suite's space where nothing is mapped, and nothing can be.
const NOWHERE: u64 = 0x3fff_0000;

/// Returns the instructions that fault in this way.
fn faulting(kind: FaultKind) -> Outcome<&'static [u8]> {
    let found = machine::current()
        .faults
        .iter()
        .find(|(other, _)| *other == kind);
    found
        .map(|(_, code)| *code)
        .ok_or(Stop::Skipped("the machine has no such fault"))
}

/// Starts a thread that faults and returns it with its handler.
#[track_caller]
fn fault(context: &Context, kind: FaultKind, address: u64) -> Outcome<(Runner, Endpoint)> {
    fault_of(context, faulting(kind)?, address)
}

/// Starts a thread of these instructions and returns it with its handler.
#[track_caller]
fn fault_of(context: &Context, code: &[u8], address: u64) -> Outcome<(Runner, Endpoint)> {
    let handler = context.endpoint()?;
    let program = context.program(code)?;
    Ok((
        context.run_program(program, address, Some(handler))?,
        handler,
    ))
}

/// Checks the message of a fault.
#[track_caller]
fn hear(context: &Context, handler: Endpoint, kind: FaultKind, words: [u64; 2]) -> Outcome {
    let message = handler.receive(context.soon())?;
    ensure!(message.kind() == Some(DeliveryKind::Fault));
    ensure_equal!(message.label(), kind.number());
    ensure_equal!(message.words[0], words[0]);
    if !matches!(kind, FaultKind::IllegalInstruction | FaultKind::Breakpoint) {
        ensure_equal!(message.words[1], words[1]);
    }
    Ok(())
}

/// Lets a fault of this kind happen and sends the thread to its report.
#[track_caller]
fn heard_and_redirected(context: &Context, kind: FaultKind) -> Outcome {
    let (runner, handler) = fault(context, kind, NOWHERE)?;
    let at = if kind == FaultKind::Fetch {
        NOWHERE
    } else {
        runner.program.start
    };
    hear(context, handler, kind, [at, NOWHERE])?;
    let register = ThreadRegister::ProgramCounter.number();
    ensure_equal!(runner.thread.read(register)?, at);
    runner.thread.write(register, runner.program.report)?;
    reply(&Outgoing::new(0))?;
    ensure_equal!(runner.done.wait(context.soon())?, 1);
    Ok(())
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::ThreadBind,
        "a load fault is heard, and the thread sent elsewhere",
        |context| heard_and_redirected(context, FaultKind::Load),
    ),
    success(
        CallNumber::ThreadBind,
        "a store fault is heard, and the thread sent elsewhere",
        |context| heard_and_redirected(context, FaultKind::Store),
    ),
    success(
        CallNumber::ThreadBind,
        "a fetch fault is heard, and the thread sent elsewhere",
        |context| heard_and_redirected(context, FaultKind::Fetch),
    ),
    success(
        CallNumber::ThreadBind,
        "an illegal instruction is heard",
        |context| heard_and_redirected(context, FaultKind::IllegalInstruction),
    ),
    success(
        CallNumber::ThreadBind,
        "a call that another instruction executes is an illegal one",
        |context| {
            let code = machine::current().executed_call.ok_or(Stop::Skipped(
                "the machine has no instruction that executes another",
            ))?;
            let (runner, handler) = fault_of(context, code, NOWHERE)?;
            let illegal = FaultKind::IllegalInstruction;
            hear(context, handler, illegal, [runner.program.start, 0])
        },
    ),
    success(CallNumber::ThreadBind, "a breakpoint is heard", |context| {
        heard_and_redirected(context, FaultKind::Breakpoint)
    }),
    success(
        CallNumber::Reply,
        "a fault's reply makes the access again",
        |context| {
            let address = context.window_address(12);
            let (runner, handler) = fault(context, FaultKind::Store, address)?;
            hear(
                context,
                handler,
                FaultKind::Store,
                [runner.program.start, address],
            )?;
            let frame = context.frame(12)?;
            frame.map(context.own_space().capability(), address, read_write())?;
            reply(&Outgoing::new(0))?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            frame.unmap()?;
            ensure_equal!(context.window(frame)?.load(0), address);
            Ok(())
        },
    ),
    success(
        CallNumber::Reply,
        "a fault that is not mended happens again",
        |context| {
            let (runner, handler) = fault(context, FaultKind::Load, NOWHERE)?;
            for _ in 0..3 {
                hear(
                    context,
                    handler,
                    FaultKind::Load,
                    [runner.program.start, NOWHERE],
                )?;
                reply(&Outgoing::new(0))?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::SaveReply,
        "a fault can be answered later",
        |context| {
            let (runner, handler) = fault(context, FaultKind::Breakpoint, 0)?;
            hear(
                context,
                handler,
                FaultKind::Breakpoint,
                [runner.program.start, 0],
            )?;
            let saved = context.reply()?;
            saved.save()?;
            let register = ThreadRegister::ProgramCounter.number();
            runner.thread.write(register, runner.program.report)?;
            expect_error(runner.done.wait(0), Error::TimedOut)?;
            saved.send(&Outgoing::new(0))?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadRead,
        "registers of a faulted thread are read and changed",
        |context| {
            let address = context.window_address(12);
            let (runner, handler) = fault(context, FaultKind::Store, NOWHERE)?;
            hear(
                context,
                handler,
                FaultKind::Store,
                [runner.program.start, NOWHERE],
            )?;
            let register = ThreadRegister::Argument.number();
            ensure_equal!(runner.thread.read(register)?, NOWHERE);
            let stack = ThreadRegister::StackPointer.number();
            ensure_equal!(runner.thread.read(stack)?, runner.done.bits());
            let frame = context.frame(12)?;
            frame.map(context.own_space().capability(), address, read_write())?;
            runner.thread.write(register, address + 8)?;
            reply(&Outgoing::new(0))?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadBind,
        "without a handler the thread stops",
        |context| {
            let program = context.program(faulting(FaultKind::Breakpoint)?)?;
            let runner = context.run_program(program, 0, None)?;
            let register = ThreadRegister::ProgramCounter.number();
            ensure_equal!(runner.thread.read(register)?, program.start);
            runner.thread.write(register, program.report)?;
            runner.thread.resume()?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadRecovery,
        "a fault in the range goes on at the target",
        |context| {
            let handler = context.endpoint()?;
            let program = context.program(faulting(FaultKind::Load)?)?;
            let runner = context.prepare_program(program, Some(handler))?;
            runner
                .thread
                .set_recovery(program.start, program.start + 4, program.report)?;
            runner
                .thread
                .run(program.start, runner.done.bits(), NOWHERE)?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            expect_error(handler.receive(0), Error::TimedOut)
        },
    ),
    success(
        CallNumber::ThreadRecovery,
        "a fault outside of the range does not",
        |context| {
            let handler = context.endpoint()?;
            let program = context.program(faulting(FaultKind::Load)?)?;
            let runner = context.prepare_program(program, Some(handler))?;
            runner
                .thread
                .set_recovery(program.start + 4, program.start + 8, program.report)?;
            runner
                .thread
                .run(program.start, runner.done.bits(), NOWHERE)?;
            hear(context, handler, FaultKind::Load, [program.start, NOWHERE])?;
            expect_error(runner.done.wait(0), Error::TimedOut)
        },
    ),
    success(
        CallNumber::Protect,
        "a store to a page that became read-only faults",
        |context| {
            let frame = context.frame(13)?;
            let window = context.window(frame)?;
            window.store(512, 3);
            frame.protect(4096, 4096, Rights::new().with_read(true))?;
            let address = window.address() + 4096;
            let (runner, handler) = fault(context, FaultKind::Store, address)?;
            hear(
                context,
                handler,
                FaultKind::Store,
                [runner.program.start, address],
            )?;
            frame.protect(4096, 4096, read_write())?;
            reply(&Outgoing::new(0))?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            ensure_equal!(window.load(512), address);
            Ok(())
        },
    ),
    success(
        CallNumber::Protect,
        "a load of a page without rights faults",
        |context| {
            let frame = context.frame(13)?;
            let window = context.window(frame)?;
            window.store(0, 3);
            frame.protect(0, 4096, Rights::new())?;
            let (runner, handler) = fault(context, FaultKind::Load, window.address())?;
            hear(
                context,
                handler,
                FaultKind::Load,
                [runner.program.start, window.address()],
            )
        },
    ),
    success(
        CallNumber::Unmap,
        "a load of what was unmapped faults",
        |context| {
            let frame = context.frame(12)?;
            let window = context.window(frame)?;
            window.store(0, 3);
            frame.unmap()?;
            let (runner, handler) = fault(context, FaultKind::Load, window.address())?;
            hear(
                context,
                handler,
                FaultKind::Load,
                [runner.program.start, window.address()],
            )
        },
    ),
    success(
        CallNumber::Map,
        "a page without execute is not executed",
        |context| {
            let feature = machine::current().execute_feature;
            if feature != 0 && context.info.features & feature == 0 {
                return Err(Stop::Skipped("the machine executes whatever can be read"));
            }
            let window = context.window(context.frame(12)?)?;
            window.write_code(machine::current().spin);
            let (_, handler) = fault(context, FaultKind::Fetch, window.address())?;
            hear(
                context,
                handler,
                FaultKind::Fetch,
                [window.address(), window.address()],
            )
        },
    ),
];
