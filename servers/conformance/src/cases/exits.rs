//! Guests that run, leave, and go on.

use super::prelude::*;
use crate::guest::{DEVICE_ROUTE, Guest};
use crate::machine;
use abi::exit::{AccessInfo, ExitClass, ExitReply};
use rt::Incoming;

/// A value that fills a register.
pub(super) const VALUE: u64 = 0x0123_4567_89ab_cdef;

/// Returns the code of an access that the hardware describes.
fn described(code: &[u8]) -> Outcome<&[u8]> {
    if code.is_empty() {
        return Err(Stop::Skipped("the hardware describes no access"));
    }
    Ok(code)
}

/// Starts a guest that accesses its device.
#[track_caller]
fn accessing(context: &Context, code: &[u8]) -> Outcome<Guest> {
    let guest = context.guest(described(code)?)?;
    guest.set_register(0, machine::current().guest.device + 8);
    guest.set_register(1, VALUE);
    guest.vcpu.resume()?;
    Ok(guest)
}

/// Checks an access to the device.
#[track_caller]
fn check_access(message: &Incoming, write: bool) -> Outcome<AccessInfo> {
    let info = AccessInfo::from_bits(message.words[1]);
    ensure_equal!(message.words[0], machine::current().guest.device + 8);
    ensure_equal!(info.size() * 8, u64::from(machine::current().guest.width));
    ensure!(info.write() == write);
    ensure_equal!(info.route(), DEVICE_ROUTE);
    if write {
        ensure_equal!(message.words[2], machine::current().guest.cut(VALUE));
    }
    Ok(info)
}

/// Returns the reply of this kind.
pub(super) fn exit_reply(kind: ExitReply) -> Outgoing {
    Outgoing::new(kind as u16)
}

/// Starts a guest that waits for a line.
#[track_caller]
fn waiting(context: &Context) -> Outcome<Guest> {
    let machine = &machine::current().guest;
    let guest = context.guest(machine.wait)?;
    guest.vcpu.write(machine.enable.0, machine.enable.1)?;
    guest.vcpu.resume()?;
    Ok(guest)
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::VcpuResume,
        "a hypercall arrives with the program counter behind it",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.hypercall)?;
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(message.words[0], machine.memory + machine.instruction_size);
            let counter = guest.vcpu.read(machine.program_counter)?;
            ensure_equal!(counter, message.words[0]);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuResume,
        "an answered hypercall is over: the next one follows, and sequence numbers grow",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            let first = guest.next_exit(context, ExitClass::Hypercall)?;
            reply(&exit_reply(ExitReply::Resume))?;
            let second = guest.next_exit(context, ExitClass::Hypercall)?;
            let size = machine::current().guest.instruction_size;
            ensure_equal!(second.words[0], first.words[0] + size);
            ensure_equal!(second.sequence, first.sequence + 1);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuWrite,
        "a server that sets the program counter back gets the hypercall again",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.hypercall)?;
            guest.vcpu.resume()?;
            let first = guest.next_exit(context, ExitClass::Hypercall)?;
            guest.vcpu.write(machine.program_counter, machine.memory)?;
            reply(&exit_reply(ExitReply::Resume))?;
            let again = guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(again.words[0], first.words[0]);
            ensure_equal!(again.sequence, first.sequence + 1);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuResume,
        "an exit that is no hypercall is at its instruction, and comes again",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.store)?;
            guest.set_register(0, machine.memory + (1 << 20));
            guest.vcpu.resume()?;
            let first = guest.next_exit(context, ExitClass::Memory)?;
            ensure_equal!(first.words[0], machine.memory);
            reply(&exit_reply(ExitReply::Resume))?;
            let again = guest.next_exit(context, ExitClass::Memory)?;
            ensure_equal!(again.words[0], first.words[0]);
            ensure_equal!(again.sequence, first.sequence + 1);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuResume,
        "an instruction that has to be emulated arrives with its bits, again and again",
        |context| {
            let machine = &machine::current().guest;
            let (code, bits) = machine.emulated;
            let guest = context.guest(code)?;
            guest.vcpu.resume()?;
            for _ in 0..2 {
                let message = guest.next_exit(context, ExitClass::Instruction)?;
                ensure_equal!(message.words[0], machine.memory);
                ensure_equal!(message.words[1], bits);
                reply(&exit_reply(ExitReply::Resume))?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuResume,
        "general registers are in the page, both ways",
        |context| {
            let guest = accessing(context, machine::current().guest.device_load)?;
            guest.next_access(context)?;
            reply(&words(&[VALUE]))?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(guest.register(0), machine::current().guest.device + 8);
            ensure_equal!(guest.register(2), machine::current().guest.cut(VALUE));
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuDeviceRoute,
        "a described store arrives as an access",
        |context| {
            let guest = accessing(context, machine::current().guest.device_store)?;
            check_access(&guest.next_access(context)?, true)?;
            reply(&words(&[0]))?;
            let message = guest.next_exit(context, ExitClass::Hypercall)?;
            let machine = &machine::current().guest;
            let behind = machine.memory + 2 * machine.instruction_size;
            ensure_equal!(message.words[0], behind);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuDeviceRoute,
        "a described load gets the reply's value",
        |context| {
            let guest = accessing(context, machine::current().guest.device_load)?;
            check_access(&guest.next_access(context)?, false)?;
            reply(&words(&[!VALUE]))?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(guest.register(2), machine::current().guest.cut(!VALUE));
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuDeviceRoute,
        "an access waits until its route is there",
        |context| {
            let guest = context.guest(described(machine::current().guest.device_store)?)?;
            guest.vcpu.route_device(DEVICE_ROUTE, None)?;
            guest.set_register(0, machine::current().guest.device + 8);
            guest.set_register(1, VALUE);
            guest.vcpu.resume()?;
            expect_error(guest.exits.receive(context.after(5_000)), Error::TimedOut)?;
            let badge = crate::guest::DEVICE_BADGE;
            let route = context.mint(guest.exits.capability(), Rights::ALL, badge)?;
            guest.vcpu.route_device(DEVICE_ROUTE, Some(route))?;
            check_access(&guest.next_access(context)?, true).map(drop)
        },
    ),
    success(
        CallNumber::VcpuExitRoute,
        "an exit waits until its route is there",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.route_exit(ExitClass::Hypercall, None)?;
            guest.vcpu.resume()?;
            expect_error(guest.exits.receive(context.after(5_000)), Error::TimedOut)?;
            let badge = crate::guest::EXIT_BADGE + ExitClass::Hypercall.number();
            let route = context.mint(guest.exits.capability(), Rights::ALL, badge)?;
            guest.vcpu.route_exit(ExitClass::Hypercall, Some(route))?;
            guest.next_exit(context, ExitClass::Hypercall).map(drop)
        },
    ),
    success(
        CallNumber::VcpuExitRoute,
        "a forwarded access reaches the device's server",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Hypercall)?;
            let access = AccessInfo::new()
                .with_size_log2(
                    u8::try_from(machine::current().guest.width.ilog2() - 3).unwrap_or(0),
                )
                .with_write(true)
                .with_key(machine::current().guest.device_key as u8)
                .with_instruction_length(0)
                .with_route(u8::try_from(DEVICE_ROUTE).unwrap_or(0));
            let address = machine::current().guest.device + 8;
            let forward = exit_reply(ExitReply::Forward).with_words(&[
                address,
                access.into_bits(),
                machine::current().guest.cut(VALUE),
            ]);
            reply(&forward)?;
            check_access(&guest.next_access(context)?, true)?;
            reply(&words(&[0]))?;
            let next = guest.next_exit(context, ExitClass::Hypercall)?;
            let size = machine::current().guest.instruction_size;
            ensure_equal!(next.words[0], message.words[0] + size);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuExitRoute,
        "a declined exit is delivered as unclaimed",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.store)?;
            guest.set_register(0, machine.memory + (1 << 20));
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Memory)?;
            reply(&exit_reply(ExitReply::Decline))?;
            let unclaimed = guest.next_exit(context, ExitClass::Unclaimed)?;
            ensure_equal!(unclaimed.words[0], message.words[0]);
            ensure_equal!(unclaimed.words[1], message.words[1]);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuExitRoute,
        "an access to nothing is unclaimed",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.store)?;
            guest.set_register(0, 0x5000_0000);
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Unclaimed)?;
            ensure_equal!(message.words[0], machine.memory);
            ensure_equal!(message.words[1], 0x5000_0000);
            Ok(())
        },
    ),
    success(
        CallNumber::Inject,
        "a waiting guest sleeps, and a line wakes it",
        |context| {
            let guest = waiting(context)?;
            expect_error(guest.exits.receive(context.after(10_000)), Error::TimedOut)?;
            ensure_equal!(
                guest.vcpu.inject(machine::current().guest.line, 0)?,
                machine::current().guest.line
            );
            guest.woken(context, machine::current().guest.line)
        },
    ),
    success(
        CallNumber::Inject,
        "a line that is pending already does not let it sleep",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.wait)?;
            guest.vcpu.write(machine.enable.0, machine.enable.1)?;
            guest.vcpu.inject(machine.line, 0)?;
            guest.vcpu.resume()?;
            if machine.has_windows {
                // It can take the line before it comes to wait.
                let message = guest.next_exit(context, ExitClass::Window)?;
                ensure_equal!(message.words[0], machine.memory);
                return Ok(());
            }
            guest.woken(context, machine.line)
        },
    ),
    success(
        CallNumber::Inject,
        "a line that is not enabled does not wake",
        |context| {
            let machine = &machine::current().guest;
            let guest = waiting(context)?;
            guest.vcpu.inject(machine.other_line, 0)?;
            expect_error(guest.exits.receive(context.after(5_000)), Error::TimedOut)?;
            guest.vcpu.inject(machine.line, 0)?;
            guest.woken(context, machine.line)
        },
    ),
    success(
        CallNumber::Inject,
        "the guest's own timer wakes it",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.wait)?;
            guest.vcpu.write(machine.enable.0, machine.timer_enable)?;
            let deadline = context.after(5_000);
            guest.vcpu.write(abi::register::TIMER_DEADLINE, deadline)?;
            guest.vcpu.resume()?;
            guest.woken(context, machine.timer_line)?;
            ensure!(rt::sys::counter() >= deadline);
            Ok(())
        },
    ),
    success(
        CallNumber::Inject,
        "the timer of a guest whose time is behind wakes it when its time has come",
        |context| {
            let machine = &machine::current().guest;
            let time = machine
                .time
                .ok_or(Stop::Skipped("its time is the host's"))?;
            let guest = context.guest(machine.wait)?;
            guest.vcpu.write(machine.enable.0, machine.timer_enable)?;
            guest.vcpu.write(time, 0)?;
            let deadline = context.microseconds(5_000);
            guest.vcpu.write(abi::register::TIMER_DEADLINE, deadline)?;
            let before = rt::sys::counter();
            guest.vcpu.resume()?;
            guest.woken(context, machine.timer_line)?;
            // A millisecond may have gone by between its time and the look at the host's.
            ensure!(rt::sys::counter() - before >= context.microseconds(4_000));
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuStop,
        "a running guest stops, and goes on where it was",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            guest.vcpu.resume()?;
            context.until("the guest counts", || guest.memory.load(0x200) > 10)?;
            guest.vcpu.stop()?;
            let count = guest.memory.load(0x200);
            context.pause(2_000)?;
            ensure_equal!(guest.memory.load(0x200), count);
            let counter = guest.vcpu.read(machine.program_counter)?;
            ensure!((machine.memory..machine.memory + 12).contains(&counter));
            guest.vcpu.resume()?;
            context.until("the guest counts on", || guest.memory.load(0x200) > count)
        },
    ),
    success(
        CallNumber::VcpuStop,
        "a sleeping guest stops, and a line wakes it after the resume",
        |context| {
            let guest = waiting(context)?;
            context.pause(1_000)?;
            guest.vcpu.stop()?;
            guest.vcpu.inject(machine::current().guest.line, 0)?;
            expect_error(guest.exits.receive(context.after(2_000)), Error::TimedOut)?;
            guest.vcpu.resume()?;
            guest.woken(context, machine::current().guest.line)
        },
    ),
    success(
        CallNumber::VcpuStop,
        "the exit that is being served comes again after the resume",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            let first = guest.next_exit(context, ExitClass::Hypercall)?;
            guest.vcpu.stop()?;
            context.refuses(Error::NoCaller, || reply(&exit_reply(ExitReply::Resume)))?;
            guest.vcpu.resume()?;
            let again = guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(again.sequence, first.sequence);
            ensure_equal!(again.words[0], first.words[0]);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuStop,
        "a server that answers Stop leaves it stopped",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            reply(&exit_reply(ExitReply::Stop))?;
            expect_error(guest.exits.receive(context.after(2_000)), Error::TimedOut)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall).map(drop)
        },
    ),
    success(
        CallNumber::VcpuWrite,
        "a pending access that is given up adds nothing to the new program counter",
        |context| {
            let machine = &machine::current().guest;
            let guest = accessing(context, machine.device_load)?;
            let access = guest.next_access(context)?;
            let kept = guest.register(2);
            let pending = abi::register::PENDING_EXIT;
            ensure_equal!(guest.vcpu.read(pending)?, access.sequence);
            guest.vcpu.stop()?;
            guest.vcpu.give_up_exit()?;
            ensure_equal!(guest.vcpu.read(pending)?, 0);
            let behind = machine.memory + machine.instruction_size;
            guest.vcpu.write(machine.program_counter, behind)?;
            guest.vcpu.resume()?;
            context.refuses(Error::NoCaller, || reply(&words(&[VALUE])))?;
            let next = guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(next.words[0], behind + machine.instruction_size);
            ensure_equal!(next.sequence, access.sequence + 1);
            ensure_equal!(guest.register(2), kept);
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuWrite,
        Error::WrongState,
        "an exit that is being answered cannot be given up",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            context.refuses(Error::WrongState, || guest.vcpu.give_up_exit())
        },
    ),
    success(
        CallNumber::VcpuResume,
        "a server that answers Idle lets the guest wait for a line",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.hypercall)?;
            guest.vcpu.write(machine.enable.0, machine.enable.1)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            reply(&exit_reply(ExitReply::Idle))?;
            expect_error(guest.exits.receive(context.after(2_000)), Error::TimedOut)?;
            ensure_equal!(guest.vcpu.read(abi::register::IS_IDLE)?, 1);
            guest.vcpu.inject(machine.line, 0)?;
            guest.woken(context, machine.line)
        },
    ),
    success(
        CallNumber::SaveReply,
        "an exit can be answered later",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            guest.vcpu.resume()?;
            let message = guest.next_exit(context, ExitClass::Hypercall)?;
            let saved = context.reply()?;
            saved.save()?;
            expect_error(guest.exits.receive(context.after(2_000)), Error::TimedOut)?;
            saved.send(&exit_reply(ExitReply::Resume))?;
            let next = guest.next_exit(context, ExitClass::Hypercall)?;
            let size = machine::current().guest.instruction_size;
            ensure_equal!(next.words[0], message.words[0] + size);
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "the server of an exit: the next one gets the same exit",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            let server = context.spawn(Role::EAGER, &[guest.exits.bits()], |number| {
                let note = crew::note(number);
                let received = Endpoint::at(note.slot(0)).receive(FOREVER);
                let sequence = received.map_or(u64::MAX, |message| message.sequence);
                note.value
                    .store(sequence + 1, core::sync::atomic::Ordering::SeqCst);
                let _ = Notification::own(crate::context::QUIET_HELPER).wait(FOREVER);
            })?;
            guest.vcpu.resume()?;
            context.until("the exit arrives", || server.count() > 0)?;
            let sequence = server.count() - 1;
            server.thread.capability().delete()?;
            let again = guest.next_exit(context, ExitClass::Hypercall);
            let again = match again {
                Ok(message) => message,
                Err(_) => {
                    guest.vcpu.resume()?;
                    guest.next_exit(context, ExitClass::Hypercall)?
                }
            };
            ensure_equal!(again.sequence, sequence);
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuRead,
        "exits are counted by class",
        |context| {
            let guest = context.guest(machine::current().guest.hypercall)?;
            let register = abi::register::COUNT_CLASS + ExitClass::Hypercall.number();
            ensure_equal!(guest.vcpu.read(register)?, 0);
            guest.vcpu.resume()?;
            for count in 1..3 {
                guest.next_exit(context, ExitClass::Hypercall)?;
                ensure_equal!(guest.vcpu.read(register)?, count);
                reply(&exit_reply(ExitReply::Resume))?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::VcpuPriority,
        "a guest runs only when nobody above it wants to",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest(machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            guest.vcpu.resume()?;
            let end = context.after(5_000);
            while rt::sys::counter() < end {}
            ensure_equal!(guest.memory.load(0x200), 0);
            context.until("the guest counts", || guest.memory.load(0x200) > 0)
        },
    ),
];
