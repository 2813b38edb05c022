//! Deletion of objects while they are in use.

use super::derivation::is_empty;
use super::prelude::*;
use crate::machine;
use crate::program::Runner;
use core::sync::atomic::Ordering::SeqCst;
use rt::memory::CapTable;

/// Makes a thread that spins in a space, with a table and a budget of its own, below the suite.
#[track_caller]
fn process(context: &Context) -> Outcome<(Thread, Space, CapTable, Budget)> {
    let (thread, space) = (context.thread_on(0)?, context.space()?);
    let (table, budget) = (context.table(64)?, context.budget_on(0)?);
    let frame = context.frame(12)?;
    context.window(frame)?.write_code(machine::current().spin);
    let copy = Frame::at(context.copy(frame.capability())?.slot());
    copy.map(space.capability(), 0x20_0000, read_execute())?;
    thread.bind(Binding::Space, Some(space.capability()))?;
    thread.bind(Binding::CapTable, Some(table.capability()))?;
    thread.bind(Binding::Budget, Some(budget.capability()))?;
    thread.set_priority(LOW)?;
    thread.run(0x20_0000, 0, 0)?;
    context.pause(1_000)?;
    Ok((thread, space, table, budget))
}

/// Fails unless the thread has stopped.
#[track_caller]
fn has_stopped(context: &Context, thread: Thread) -> Outcome {
    context.pause(1_000)?;
    expect_error(thread.resume(), Error::NotConfigured)
}

/// Waits for ever after one receive; the note says that something came.
fn receive_and_hold(number: u64) {
    let note = crew::note(number);
    let received = Endpoint::at(note.slot(0)).receive(FOREVER);
    note.value.store(u64::from(received.is_ok()), SeqCst);
    let _ = Notification::own(crate::context::QUIET_HELPER).wait(FOREVER);
}

/// Makes a spinning program thread below the suite.
#[track_caller]
fn spinning(context: &Context) -> Outcome<Runner> {
    let program = context.program(machine::current().spin)?;
    let runner = context.prepare_program(program, None)?;
    runner.thread.set_priority(LOW)?;
    runner.thread.run(program.start, 0, 0)?;
    context.pause(1_000)?;
    Ok(runner)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Delete,
        "a thread that calls and is queued",
        |context| {
            let endpoint = context.endpoint()?;
            let (first, second) = (context.caller(endpoint)?, context.caller(endpoint)?);
            first.thread.capability().delete()?;
            ensure_equal!(endpoint.receive(context.soon())?.words[0], second.number);
            settle(context, &second)
        },
    ),
    success(
        CallNumber::Delete,
        "a thread whose call was received",
        |context| {
            let (endpoint, caller) = pending(context)?;
            caller.thread.capability().delete()?;
            context.refuses(Error::NoCaller, || reply(&Outgoing::new(0)))?;
            context.refuses(Error::TimedOut, || endpoint.receive(0))
        },
    ),
    success(
        CallNumber::Delete,
        "a thread whose call was saved",
        |context| {
            let (_, caller) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            caller.thread.capability().delete()?;
            context.refuses(Error::NoCaller, || saved.send(&Outgoing::new(0)))
        },
    ),
    success(CallNumber::Delete, "a thread that receives", |context| {
        let endpoint = context.endpoint()?;
        let server = context.spawn(Role::EAGER, &[endpoint.bits()], crew::receive)?;
        server.thread.capability().delete()?;
        let caller = context.caller(endpoint)?;
        ensure!(caller.ended().is_none());
        ensure_equal!(endpoint.receive(context.soon())?.words[0], caller.number);
        settle(context, &caller)
    }),
    success(CallNumber::Delete, "a thread that waits", |context| {
        let notification = context.notification()?;
        let waiter = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
        waiter.thread.capability().delete()?;
        notification.signal()?;
        ensure_equal!(notification.wait(0)?, 1);
        Ok(())
    }),
    success(
        CallNumber::Delete,
        "a thread that owes a reply",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], receive_and_hold)?;
            let caller = context.caller(endpoint)?;
            ensure_equal!(server.count(), 1);
            server.thread.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    success(
        CallNumber::Delete,
        "a thread that owes a reply, with a deadline pending",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], |number| {
                let _ = Endpoint::at(crew::note(number).slot(0)).receive(FOREVER);
                let later = rt::sys::counter() + 1_000_000;
                let _ = Notification::own(crate::context::QUIET_HELPER).wait(later);
            })?;
            let caller = context.caller(endpoint)?;
            server.thread.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)?;
            context.pause(200_000)
        },
    ),
    success(CallNumber::Delete, "a thread that runs", |context| {
        let runner = spinning(context)?;
        runner.thread.capability().delete()?;
        is_empty(runner.thread.capability())?;
        context.pause(1_000)
    }),
    success(CallNumber::Delete, "a thread that has faulted", |context| {
        let code = machine::current().faults.first().map(|(_, code)| *code);
        let code = code.ok_or(Stop::Skipped("no faults"))?;
        let handler = context.endpoint()?;
        let program = context.program(code)?;
        let runner = context.run_program(program, 0x3fff_0000, Some(handler))?;
        handler.receive(context.soon())?;
        runner.thread.capability().delete()?;
        context.refuses(Error::NoCaller, || reply(&Outgoing::new(0)))
    }),
    success(CallNumber::Delete, "a thread deletes itself", |context| {
        let helper = context.spawn(Role::EAGER, &[], |number| {
            crew::note(number).value.store(1, SeqCst);
            let own = SlotAddress::from_bits(rt::block::thread_slot());
            let _ = Capability::at(own).delete();
            crew::note(number).value.store(2, SeqCst);
        })?;
        context.pause(1_000)?;
        ensure_equal!(helper.count(), 1);
        is_empty(helper.thread.capability())
    }),
    success(
        CallNumber::Delete,
        "the space of a thread that runs",
        |context| {
            let (thread, space, ..) = process(context)?;
            space.capability().delete()?;
            has_stopped(context, thread)
        },
    ),
    success(
        CallNumber::Delete,
        "the table of a thread that runs",
        |context| {
            let (thread, _, table, _) = process(context)?;
            table.capability().delete()?;
            has_stopped(context, thread)
        },
    ),
    success(
        CallNumber::Delete,
        "the budget of a thread that runs",
        |context| {
            let (thread, _, _, budget) = process(context)?;
            budget.capability().delete()?;
            has_stopped(context, thread)
        },
    ),
    success(
        CallNumber::Delete,
        "a table with capabilities in it",
        |context| {
            let table = context.table(64)?;
            let endpoint = context.endpoint()?.capability();
            let inside = SlotAddress::within(table.capability().slot().index, 9);
            let child = endpoint.copy(inside)?.copy(context.slot())?;
            table.capability().delete()?;
            is_empty(child)?;
            Ok(endpoint.identify().map(drop)?)
        },
    ),
    success(
        CallNumber::Delete,
        "a table that holds itself and its memory's children",
        |context| {
            let table = context.table(64)?;
            let index = table.capability().slot().index;
            context
                .memory()
                .retype(ObjectKind::Frame, 12, 1, SlotAddress::within(index, 2))?;
            let inside = table.capability().move_to(SlotAddress::within(index, 1));
            match inside {
                Ok(_) => is_empty(table.capability()),
                Err(_) => Ok(table.capability().delete()?),
            }
        },
    ),
    success(
        CallNumber::Delete,
        "the budget that a server works on",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], receive_and_hold)?;
            let caller = context.caller(endpoint)?;
            ensure_equal!(server.count(), 1);
            caller.budget.capability().delete()?;
            context.pause(1_000)?;
            ensure!(caller.ended().is_none());
            caller.thread.capability().delete()?;
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "the budget that a server's server works on",
        |context| {
            let (front, back) = (context.endpoint()?, context.endpoint()?);
            let proceed = context.notification()?;
            let input = [back.bits(), proceed.bits()];
            let server = context.spawn(Role::EAGER, &input, |number| {
                let note = crew::note(number);
                let received = Endpoint::at(note.slot(0)).receive(FOREVER);
                let waited = Notification::at(note.slot(1)).wait(FOREVER);
                note.end(received.and(waited));
            })?;
            context.spawn(Role::EAGER, &[back.bits(), front.bits()], crew::relay)?;
            let caller = context.caller(front)?;
            caller.budget.capability().delete()?;
            proceed.signal()?;
            ensure!(context.end_of(&server)? == Ok(1));
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "an endpoint with callers in its queue",
        |context| {
            let endpoint = context.endpoint()?;
            let callers = [
                context.caller(endpoint)?,
                context.caller(endpoint)?,
                context.caller(endpoint)?,
            ];
            endpoint.capability().delete()?;
            for caller in &callers {
                expect_error(context.end_of(caller)?, Error::ServerGone)?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "an endpoint with receivers",
        |context| {
            let endpoint = context.endpoint()?;
            let server = context.spawn(Role::EAGER, &[endpoint.bits()], crew::receive)?;
            endpoint.capability().delete()?;
            let ended = context.end_of(&server)?;
            ensure!(ended.is_err());
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "an endpoint whose caller is being served",
        |context| {
            let (endpoint, caller) = pending(context)?;
            endpoint.capability().delete()?;
            ensure!(caller.ended().is_none());
            settle(context, &caller)
        },
    ),
    success(
        CallNumber::Revoke,
        "the endpoint capability that a caller used",
        |context| {
            let endpoint = context.endpoint()?;
            let copy = context.copy(endpoint.capability())?;
            let caller = context.caller(Endpoint::at(copy.slot()))?;
            endpoint.capability().revoke()?;
            let message = endpoint.receive(context.soon());
            match message {
                Ok(_) => settle(context, &caller),
                Err(_) => expect_error(context.end_of(&caller)?, Error::ServerGone),
            }
        },
    ),
    success(
        CallNumber::Delete,
        "a Reply that holds a caller",
        |context| {
            let (_, caller) = pending(context)?;
            let saved = context.reply()?;
            saved.save()?;
            saved.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    success(
        CallNumber::Delete,
        "a notification with a waiter",
        |context| {
            let notification = context.notification()?;
            let waiter = context.spawn(Role::EAGER, &[notification.bits()], crew::wait)?;
            notification.capability().delete()?;
            ensure!(context.end_of(&waiter)?.is_err());
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "a notification that is bound to a receiving thread",
        |context| {
            let (endpoint, notification) = (context.endpoint()?, context.notification()?);
            let thread = context.thread_on(0)?;
            thread.bind(Binding::Notification, Some(notification.capability()))?;
            let pair = (thread, context.budget_on(0)?);
            let server = context.start(Role::EAGER, pair, &[endpoint.bits()], crew::receive)?;
            notification.capability().delete()?;
            ensure!(server.ended().is_none());
            let role = Role::EAGER.with_priority(HIGH - 1);
            context.spawn(role, &[endpoint.bits(), 5], crew::call)?;
            ensure!(context.end_of(&server)?.is_ok());
            Ok(())
        },
    ),
    success(CallNumber::Delete, "a frame that is mapped", |context| {
        let frame = context.frame(12)?;
        let address = context.window(frame)?.address();
        frame.capability().delete()?;
        let again = context.frame(12)?;
        Ok(again.map(context.own_space().capability(), address, read_write())?)
    }),
    success(
        CallNumber::Delete,
        "the copy of a frame that is mapped, and not the frame",
        |context| {
            let frame = context.frame(12)?;
            let copy = Frame::at(context.copy(frame.capability())?.slot());
            let (first, second) = (context.window(frame)?, context.window(copy)?);
            second.store(3, 77);
            copy.capability().delete()?;
            ensure_equal!(first.load(3), 77);
            Ok(())
        },
    ),
    success(
        CallNumber::Revoke,
        "a frame that is mapped in many places",
        |context| {
            let frame = context.frame(12)?;
            let space = context.space()?.capability();
            for page in 0..16 {
                let copy = Frame::at(context.copy(frame.capability())?.slot());
                copy.map(space, 0x4000_0000 + page * 4096, read_write())?;
            }
            frame.capability().revoke()?;
            frame.map(space, 0x4000_0000, read_write())?;
            let other = context.frame(12)?;
            Ok(other.map(space, 0x4000_1000, read_write())?)
        },
    ),
    success(
        CallNumber::Delete,
        "the message page of a thread in a long call",
        |context| {
            let (endpoint, thread) = (context.endpoint()?, context.thread_on(0)?);
            let page = context.frame(12)?;
            thread.bind(Binding::MessagePage, Some(page.capability()))?;
            let (role, pair) = (Role::EAGER.without_page(), (thread, context.budget_on(0)?));
            let caller = context.start(role, pair, &[endpoint.bits()], |number| {
                let note = crew::note(number);
                note.end(Endpoint::at(note.slot(0)).call(&shaped(120, 0)).map(|_| 0));
            })?;
            ensure!(caller.ended().is_none());
            page.capability().delete()?;
            match endpoint.receive(context.after(10_000)) {
                Ok(_) => settle_any(context, &caller),
                Err(_) => Ok(()),
            }
        },
    ),
    success(
        CallNumber::Delete,
        "a space with funds and mappings",
        |context| {
            let space = context.space()?;
            let frame = context.frame(21)?;
            frame.map(space.capability(), 0x4000_0000, read_write())?;
            space.capability().delete()?;
            frame.capability().identify()?;
            context.window(frame)?.store(0, 1);
            Ok(())
        },
    ),
    success(
        CallNumber::Revoke,
        "the fund of a space that runs",
        |context| {
            let (thread, space) = (context.thread_on(0)?, context.bare_space()?);
            let fund = context.untyped(17)?;
            rt::memory::fund(space.capability(), fund)?;
            let frame = context.frame(12)?;
            context.window(frame)?.write_code(machine::current().spin);
            let copy = Frame::at(context.copy(frame.capability())?.slot());
            copy.map(space.capability(), 0x20_0000, read_execute())?;
            thread.bind(Binding::Space, Some(space.capability()))?;
            thread.bind(Binding::CapTable, Some(context.table(64)?.capability()))?;
            thread.bind(Binding::Budget, Some(context.budget_on(0)?.capability()))?;
            thread.set_priority(LOW)?;
            thread.run(0x20_0000, 0, 0)?;
            context.pause(1_000)?;
            fund.capability().revoke()?;
            context.pause(1_000)?;
            ensure_equal!(fund.bytes_left()?, 1 << 17);
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "untyped memory with everything in it, in use",
        |context| {
            let memory = context.untyped(20)?;
            let first = context.slots(6);
            let at = |index| SlotAddress::own(first.index + index);
            memory.retype(ObjectKind::Thread, 0, 1, at(0))?;
            memory.retype(ObjectKind::Budget, 0, 1, at(1))?;
            memory.retype(ObjectKind::Endpoint, 0, 1, at(2))?;
            memory.retype(ObjectKind::Frame, 12, 1, at(3))?;
            memory.retype(ObjectKind::CapTable, 64, 1, at(4))?;
            memory.retype(ObjectKind::Notification, 0, 1, at(5))?;
            let budget = Budget::at(at(1));
            budget.configure(1000, 1000)?;
            let frame = Frame::at(at(3));
            context.window(frame)?.store(0, 1);
            let pair = (Thread::at(at(0)), budget);
            context.start(Role::EAGER, pair, &[at(2).into_bits()], crew::receive)?;
            let caller = context.caller(Endpoint::at(at(2)))?;
            memory.capability().delete()?;
            for index in 0..6 {
                is_empty(Capability::at(at(index)))?;
            }
            context.until("the caller hears of it", || caller.ended().is_some())
        },
    ),
    success(CallNumber::Delete, "a vCPU that runs", |context| {
        let guest = running_guest(context)?;
        guest.vcpu.capability().delete()?;
        has_halted(context, &guest)
    }),
    success(
        CallNumber::Delete,
        "the space of a guest that runs",
        |context| {
            let guest = running_guest(context)?;
            guest.space.capability().delete()?;
            has_halted(context, &guest)?;
            expect_error(guest.vcpu.resume(), Error::NotConfigured)
        },
    ),
    success(
        CallNumber::Delete,
        "the register page of a vCPU that runs",
        |context| {
            let guest = running_guest(context)?;
            guest.register_frame.capability().delete()?;
            has_halted(context, &guest)?;
            expect_error(guest.vcpu.resume(), Error::NotConfigured)
        },
    ),
    success(
        CallNumber::Delete,
        "the budget of a vCPU that runs",
        |context| {
            let guest = running_guest(context)?;
            guest.budget.capability().delete()?;
            has_halted(context, &guest)?;
            expect_error(guest.vcpu.resume(), Error::NotConfigured)
        },
    ),
    success(
        CallNumber::Delete,
        "the memory of a guest that runs",
        |context| {
            let guest = running_guest(context)?;
            guest.memory_frame.capability().revoke()?;
            guest.memory_frame.capability().delete()?;
            guest
                .next_exit(context, abi::exit::ExitClass::Memory)
                .map(drop)
        },
    ),
    success(
        CallNumber::Delete,
        "a vCPU whose exit is being served",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, abi::exit::ExitClass::Hypercall)?;
            guest.vcpu.capability().delete()?;
            context.refuses(Error::NoCaller, || reply(&Outgoing::new(0)))
        },
    ),
];

/// Answers a caller however it ends.
#[track_caller]
fn settle_any(context: &Context, helper: &Helper) -> Outcome {
    reply(&words(&[42]))?;
    context.end_of(helper).map(drop)
}

/// Makes a guest that counts in its memory.
#[track_caller]
fn running_guest(context: &Context) -> Outcome<crate::guest::Guest> {
    let machine = &machine::current().guest;
    let guest = context.guest(machine.count)?;
    guest.set_register(0, machine.memory + 0x100);
    guest.vcpu.resume()?;
    context.until("the guest counts", || guest.memory.load(0x20) > 0)?;
    Ok(guest)
}

/// Fails unless the guest has stopped counting.
#[track_caller]
fn has_halted(context: &Context, guest: &crate::guest::Guest) -> Outcome {
    context.pause(1_000)?;
    let count = guest.memory.load(0x20);
    context.pause(2_000)?;
    ensure_equal!(guest.memory.load(0x20), count);
    Ok(())
}
