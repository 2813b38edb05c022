//! Threads: binding, starting, stopping, registers.

use super::prelude::*;
use abi::call::ThreadRegister;
use core::sync::atomic::Ordering::SeqCst;

/// Makes a helper that spins below the suite's priority, so that it is running, but not now.
#[track_caller]
fn spinning(context: &Context) -> Outcome<Helper> {
    let helper = context.spawn(Role::EAGER.with_priority(LOW), &[], crew::spin)?;
    context.until("the helper spins", || helper.count() > 0)?;
    Ok(helper)
}

/// Returns the number of a register.
const fn number(register: ThreadRegister) -> u64 {
    register.number()
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::ThreadBind,
        "every binding, and back",
        |context| {
            let thread = context.thread_on(0)?;
            let bindings = [
                (Binding::Space, context.space()?.capability()),
                (Binding::CapTable, context.table(64)?.capability()),
                (Binding::MessagePage, context.frame(12)?.capability()),
                (Binding::FaultHandler, context.endpoint()?.capability()),
                (Binding::Budget, context.budget_on(0)?.capability()),
                (Binding::Notification, context.notification()?.capability()),
            ];
            for (binding, what) in bindings {
                thread.bind(binding, Some(what))?;
                thread.bind(binding, None)?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadBind,
        Error::WrongState,
        "a thread that runs",
        |context| {
            let helper = spinning(context)?;
            let space = context.own_space().capability();
            context.refuses(Error::WrongState, || {
                helper.thread.bind(Binding::Space, Some(space))
            })
        },
    ),
    refusal(
        CallNumber::ThreadBind,
        Error::WrongCore,
        "objects of another core",
        |context| {
            let other = context.other_core()?;
            let thread = context.thread_on(0)?;
            let far = [
                (Binding::Budget, context.budget_on(other)?.capability()),
                (
                    Binding::FaultHandler,
                    context.endpoint_on(other)?.capability(),
                ),
                (
                    Binding::Notification,
                    context.notification_on(other)?.capability(),
                ),
            ];
            for (binding, what) in far {
                context.refuses(Error::WrongCore, || thread.bind(binding, Some(what)))?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadBind,
        Error::BadArgument,
        "bindings that a thread has not",
        |context| {
            let thread = context.thread_on(0)?.bits();
            let budget = context.budget_on(0)?.bits();
            for binding in [Binding::GuestSpace.number(), 99, u64::MAX] {
                context.refuses(Error::BadArgument, || {
                    rt::sys::call(CallNumber::ThreadBind, [thread, binding, budget])
                })?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadBind,
        Error::MissingRight,
        "what is bound needs rights too",
        |context| {
            let thread = context.thread_on(0)?;
            let page = context.mint(
                context.frame(12)?.capability(),
                Rights::new().with_read(true),
                0,
            )?;
            context.refuses(Error::MissingRight, || {
                thread.bind(Binding::MessagePage, Some(page))
            })?;
            let less = all_but(Rights::new().with_call(true));
            let handler = context.mint(context.endpoint()?.capability(), less, 0)?;
            context.refuses(Error::MissingRight, || {
                thread.bind(Binding::FaultHandler, Some(handler))
            })?;
            let less = all_but(Rights::new().with_control(true));
            let budget = context.mint(context.budget_on(0)?.capability(), less, 0)?;
            context.refuses(Error::MissingRight, || {
                thread.bind(Binding::Budget, Some(budget))
            })
        },
    ),
    success(
        CallNumber::ThreadStart,
        "runs with its argument on its stack",
        |context| {
            let helper = context.spawn(Role::EAGER, &[5], |number| {
                let local = [crew::note(number).input[0].load(SeqCst); 16];
                crew::note(number).end(Ok(local.iter().sum()));
            })?;
            ensure!(context.end_of(&helper)? == Ok(80));
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadStart,
        Error::WrongState,
        "a thread that runs",
        |context| {
            let helper = spinning(context)?;
            context.refuses(Error::WrongState, || helper.thread.start(0x1000, 0, 0))?;
            let thread = context.own_thread();
            context.refuses(Error::WrongState, || thread.start(0x1000, 0, 0))
        },
    ),
    success(
        CallNumber::ThreadStop,
        "a stopped thread does not run, a resumed one does",
        |context| {
            let helper = spinning(context)?;
            helper.thread.stop()?;
            let count = helper.count();
            context.pause(2_000)?;
            ensure_equal!(helper.count(), count);
            helper.thread.resume()?;
            context.until("the thread goes on", || helper.count() > count)
        },
    ),
    success(
        CallNumber::ThreadStop,
        "a waiting thread gives up its wait",
        |context| {
            let notification = context.notification()?;
            let helper = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
            helper.thread.stop()?;
            helper.thread.resume()?;
            expect_error(context.end_of(&helper)?, Error::TimedOut)
        },
    ),
    success(
        CallNumber::ThreadStop,
        "a receiving thread gives up its receive",
        |context| {
            let endpoint = context.endpoint()?;
            let helper = context.spawn(Role::EAGER, &[endpoint.bits()], crew::receive)?;
            helper.thread.stop()?;
            helper.thread.resume()?;
            expect_error(context.end_of(&helper)?, Error::TimedOut)
        },
    ),
    success(
        CallNumber::ThreadStop,
        "a calling thread gives up its call, queued or received",
        |context| {
            let endpoint = context.endpoint()?;
            let queued = context.caller(endpoint)?;
            queued.thread.stop()?;
            expect_error(endpoint.receive(0), Error::TimedOut)?;
            queued.thread.resume()?;
            expect_error(context.end_of(&queued)?, Error::ServerGone)?;
            let received = context.caller(endpoint)?;
            endpoint.receive(context.soon())?;
            received.thread.stop()?;
            context.refuses(Error::NoCaller, || reply(&words(&[1])))?;
            received.thread.resume()?;
            expect_error(context.end_of(&received)?, Error::ServerGone)
        },
    ),
    success(
        CallNumber::ThreadStop,
        "stopping twice is stopping once",
        |context| {
            let helper = spinning(context)?;
            helper.thread.stop()?;
            helper.thread.stop()?;
            Ok(helper.thread.resume()?)
        },
    ),
    success(
        CallNumber::ThreadResume,
        "a started thread that was stopped goes on",
        |context| {
            let helper = spinning(context)?;
            for _ in 0..10 {
                helper.thread.stop()?;
                helper.thread.resume()?;
            }
            let count = helper.count();
            context.until("the thread goes on", || helper.count() > count)
        },
    ),
    refusal(
        CallNumber::ThreadResume,
        Error::WrongState,
        "a thread that runs",
        |context| {
            let helper = spinning(context)?;
            context.refuses(Error::WrongState, || helper.thread.resume())
        },
    ),
    refusal(
        CallNumber::ThreadResume,
        Error::NotConfigured,
        "no space, no table or no budget",
        |context| {
            let thread = context.thread_on(0)?;
            context.refuses(Error::NotConfigured, || thread.resume())?;
            thread.bind(Binding::Space, Some(context.own_space().capability()))?;
            context.refuses(Error::NotConfigured, || thread.resume())?;
            thread.bind(Binding::CapTable, Some(context.own_table().capability()))?;
            context.refuses(Error::NotConfigured, || thread.resume())
        },
    ),
    success(CallNumber::ThreadPriority, "every priority", |context| {
        let thread = context.thread_on(0)?;
        for priority in 0..abi::PRIORITIES as u64 {
            thread.set_priority(priority)?;
        }
        Ok(())
    }),
    refusal(
        CallNumber::ThreadPriority,
        Error::OutOfRange,
        "a priority that there is not",
        |context| {
            let thread = context.thread_on(0)?;
            let first = abi::PRIORITIES as u64;
            context.refuses(Error::OutOfRange, || thread.set_priority(first))?;
            context.refuses(Error::OutOfRange, || thread.set_priority(u64::MAX))
        },
    ),
    refusal(
        CallNumber::ThreadRecovery,
        Error::BadArgument,
        "a range that ends before it starts",
        |context| {
            let thread = context.thread_on(0)?;
            context.refuses(Error::BadArgument, || thread.set_recovery(8, 4, 0))
        },
    ),
    success(
        CallNumber::ThreadRead,
        "what was written is read",
        |context| {
            let thread = context.thread_on(0)?;
            let registers = [
                (ThreadRegister::ProgramCounter, 0x20_0000),
                (ThreadRegister::StackPointer, 0x30_0000),
                (ThreadRegister::ThreadPointer, 0x40_0000),
                (ThreadRegister::Argument, u64::MAX),
            ];
            for (register, value) in registers {
                thread.write(number(register), value)?;
            }
            for (register, value) in registers {
                ensure_equal!(thread.read(number(register))?, value);
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadRead,
        Error::WrongState,
        "a thread that runs or waits",
        |context| {
            let helper = spinning(context)?;
            context.refuses(Error::WrongState, || helper.thread.read(0))?;
            let notification = context.notification()?;
            let waiter = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
            context.refuses(Error::WrongState, || waiter.thread.read(0))
        },
    ),
    refusal(
        CallNumber::ThreadRead,
        Error::WrongState,
        "a thread that went on after a fault",
        |context| {
            let illegal = crate::machine::current().faults.last();
            let (_, code) = illegal.ok_or(Stop::Skipped("no faults"))?;
            let program = context.program(code)?;
            let runner = context.prepare_program(program, None)?;
            let spinner = context.program(crate::machine::current().spin)?;
            runner.thread.run(program.start, runner.done.bits(), 0)?;
            runner.thread.write(0, spinner.start)?;
            runner.thread.set_priority(LOW)?;
            runner.thread.resume()?;
            context.refuses(Error::WrongState, || runner.thread.read(0))
        },
    ),
    refusal(
        CallNumber::ThreadRead,
        Error::NoSuchRegister,
        "a number without a register",
        |context| {
            let thread = context.thread_on(0)?;
            context.refuses(Error::NoSuchRegister, || thread.read(31))?;
            context.refuses(Error::NoSuchRegister, || thread.read(u64::MAX))
        },
    ),
    success(
        CallNumber::ThreadWrite,
        "a stopped thread goes on with what was written",
        |context| {
            let program = context.program(crate::machine::current().spin)?;
            let runner = context.prepare_program(program, None)?;
            runner.thread.set_priority(LOW)?;
            runner.thread.run(program.start, runner.done.bits(), 0)?;
            context.pause(1_000)?;
            runner.thread.stop()?;
            ensure_equal!(
                runner.thread.read(number(ThreadRegister::ProgramCounter))?,
                program.start
            );
            runner
                .thread
                .write(number(ThreadRegister::ProgramCounter), program.report)?;
            runner.thread.resume()?;
            ensure_equal!(runner.done.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    refusal(
        CallNumber::ThreadWrite,
        Error::WrongState,
        "a thread that runs",
        |context| {
            let helper = spinning(context)?;
            context.refuses(Error::WrongState, || helper.thread.write(0, 4))
        },
    ),
    refusal(
        CallNumber::ThreadWrite,
        Error::NoSuchRegister,
        "a number without a register",
        |context| {
            let thread = context.thread_on(0)?;
            context.refuses(Error::NoSuchRegister, || thread.write(31, 1))
        },
    ),
];
