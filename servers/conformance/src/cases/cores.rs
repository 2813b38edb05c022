//! What happens from one core to another; skipped where there is one.

use super::derivation::is_empty;
use super::prelude::*;
use crate::machine;

/// Returns the role of a helper on another core.
fn far(context: &Context) -> Outcome<Role> {
    Ok(Role::EAGER.on(context.other_core()?))
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::Signal,
        "to a waiter on another core",
        |context| {
            let role = far(context)?;
            for _ in 0..50 {
                let notification = context.notification_on(role.core)?;
                let waiter = context.spawn(role, &[notification.bits()], crew::wait)?;
                notification.signal()?;
                ensure!(context.end_of(&waiter)? == Ok(1));
                crew::dismiss();
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Signal,
        "from another core to a waiter here",
        |context| {
            let role = far(context)?;
            let notification = context.notification()?;
            context.spawn(role, &[notification.bits()], crew::signal_and_spin)?;
            ensure_equal!(notification.wait(context.soon())?, 1);
            Ok(())
        },
    ),
    success(
        CallNumber::Signal,
        "every core at once, no bit is lost",
        |context| {
            far(context)?;
            let notification = context.notification()?;
            let mut expected = 0;
            for core in 1..context.info.cores.min(16) {
                let bit = 1 << core;
                let badged = context.mint(notification.capability(), Rights::ALL, bit)?;
                context.spawn(
                    Role::EAGER.on(core),
                    &[badged.bits()],
                    crew::signal_and_spin,
                )?;
                expected |= bit;
            }
            let mut got = 0;
            while got != expected {
                got |= notification.wait(context.soon())?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadStop,
        "a thread that runs on another core",
        |context| {
            let helper = context.spawn(far(context)?, &[], crew::spin)?;
            for _ in 0..20 {
                let before = helper.count();
                context.until("the helper counts", || helper.count() > before)?;
                helper.thread.stop()?;
                let count = helper.count();
                context.pause(500)?;
                ensure_equal!(helper.count(), count);
                helper.thread.resume()?;
            }
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadPriority,
        "of a thread on another core",
        |context| {
            let role = far(context)?;
            let low = context.spawn(role.with_priority(LOW), &[], crew::spin)?;
            let high = context.spawn(role.with_priority(HIGH), &[], crew::spin)?;
            context.until("the higher counts", || high.count() > 0)?;
            let count = low.count();
            context.pause(1_000)?;
            ensure_equal!(low.count(), count);
            low.thread.set_priority(HIGH + 1)?;
            context.until("the raised one counts", || low.count() > count)
        },
    ),
    success(
        CallNumber::ThreadRead,
        "registers of a stopped thread on another core",
        |context| {
            let thread = context.thread_on(context.other_core()?)?;
            thread.write(0, 0x1234)?;
            ensure_equal!(thread.read(0)?, 0x1234);
            Ok(())
        },
    ),
    success(
        CallNumber::ThreadBind,
        "a thread of another core is bound and unbound, and the caller stays here",
        |context| {
            let thread = context.thread_on(context.other_core()?)?;
            let space = context.own_space().capability();
            for _ in 0..10 {
                thread.bind(Binding::Space, Some(space))?;
                thread.bind(Binding::Space, None)?;
            }
            let helper = context.spawn(Role::EAGER, &[], |number| {
                crew::note(number).end(Ok(1));
            })?;
            ensure!(helper.ended() == Some(Ok(1)));
            Ok(())
        },
    ),
    success(
        CallNumber::Call,
        "between threads of another core",
        |context| {
            let role = far(context)?;
            let endpoint = context.endpoint_on(role.core)?;
            context.spawn(role, &[endpoint.bits()], crew::echo)?;
            let caller = context.spawn(role, &[endpoint.bits()], crew::call)?;
            ensure!(context.end_of(&caller)? == Ok(caller.number + 1));
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "a thread that runs on another core",
        |context| {
            for _ in 0..20 {
                let helper = context.spawn(far(context)?, &[], crew::spin)?;
                context.until("the helper counts", || helper.count() > 0)?;
                helper.thread.capability().delete()?;
                let count = helper.count();
                is_empty(helper.thread.capability())?;
                context.pause(200)?;
                ensure_equal!(helper.count(), count);
                crew::dismiss();
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "the budget of a thread on another core",
        |context| {
            let helper = context.spawn(far(context)?, &[], crew::spin)?;
            context.until("the helper counts", || helper.count() > 0)?;
            helper.budget.capability().delete()?;
            let count = helper.count();
            context.pause(1_000)?;
            ensure_equal!(helper.count(), count);
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "an endpoint of another core with callers",
        |context| {
            let role = far(context)?;
            let endpoint = context.endpoint_on(role.core)?;
            let caller = context.spawn(role, &[endpoint.bits()], crew::call)?;
            context.pause(1_000)?;
            endpoint.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    success(
        CallNumber::Delete,
        "a notification of another core with a waiter",
        |context| {
            let role = far(context)?;
            let notification = context.notification_on(role.core)?;
            let waiter = context.spawn(role, &[notification.bits()], crew::wait)?;
            context.pause(1_000)?;
            notification.capability().delete()?;
            ensure!(context.end_of(&waiter)?.is_err());
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "a server of another core that owes a reply",
        |context| {
            let role = far(context)?;
            let endpoint = context.endpoint_on(role.core)?;
            let server = context.spawn(role, &[endpoint.bits()], |number| {
                let received = Endpoint::at(crew::note(number).slot(0)).receive(FOREVER);
                crew::note(number).value.store(
                    1 + u64::from(received.is_err()),
                    core::sync::atomic::Ordering::SeqCst,
                );
                crew::spin_quietly();
            })?;
            let caller = context.spawn(role, &[endpoint.bits()], crew::call)?;
            context.until("the call arrives", || server.count() == 1)?;
            server.thread.capability().delete()?;
            expect_error(context.end_of(&caller)?, Error::ServerGone)
        },
    ),
    success(
        CallNumber::Unmap,
        "what another core uses is gone when the call returns",
        |context| {
            let role = far(context)?;
            let frame = context.frame(12)?;
            let window = context.window(frame)?;
            window.clear();
            let helper = context.spawn(role, &[], crew::spin)?;
            context.until("the helper counts", || helper.count() > 0)?;
            frame.unmap()?;
            let other = context.frame(12)?;
            other.map(
                context.own_space().capability(),
                window.address(),
                read_write(),
            )?;
            window.store(0, 9);
            ensure_equal!(window.load(0), 9);
            Ok(())
        },
    ),
    success(
        CallNumber::Inject,
        "wakes a guest that sleeps on another core",
        |context| {
            let role = far(context)?;
            let machine = &machine::current().guest;
            let guest = context.guest_on(role.core, machine.wait)?;
            guest.vcpu.write(machine.enable.0, machine.enable.1)?;
            let server = context.spawn(role, &[guest.exits.bits()], crew::receive)?;
            guest.vcpu.resume()?;
            context.pause(2_000)?;
            ensure!(server.ended().is_none());
            guest.vcpu.inject(machine.line, 0)?;
            // Where lines are requests, it leaves before the hypercall.
            let instructions = if machine.has_windows { 1 } else { 2 };
            let behind = machine.memory + instructions * machine.instruction_size;
            ensure!(context.end_of(&server)? == Ok(behind));
            Ok(())
        },
    ),
    success(
        CallNumber::Fence,
        "of a guest that runs on another core",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest_on(context.other_core()?, machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            guest.vcpu.resume()?;
            context.until("the guest counts", || guest.memory.load(0x200) > 0)?;
            for _ in 0..100 {
                guest.vcpu.fence(1, 0)?;
            }
            let count = guest.memory.load(0x200);
            context.until("the guest counts on", || guest.memory.load(0x200) > count)
        },
    ),
    success(
        CallNumber::VcpuStop,
        "a guest that runs on another core",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest_on(context.other_core()?, machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            for _ in 0..20 {
                let before = guest.memory.load(0x200);
                guest.vcpu.resume()?;
                context.until("the guest counts", || guest.memory.load(0x200) > before)?;
                guest.vcpu.stop()?;
                let count = guest.memory.load(0x200);
                context.pause(200)?;
                ensure_equal!(guest.memory.load(0x200), count);
            }
            Ok(())
        },
    ),
    success(
        CallNumber::Delete,
        "a guest that runs on another core",
        |context| {
            let machine = &machine::current().guest;
            let guest = context.guest_on(context.other_core()?, machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            guest.vcpu.resume()?;
            context.until("the guest counts", || guest.memory.load(0x200) > 0)?;
            guest.vcpu.capability().delete()?;
            let count = guest.memory.load(0x200);
            context.pause(1_000)?;
            ensure_equal!(guest.memory.load(0x200), count);
            Ok(())
        },
    ),
    success(
        CallNumber::Unmap,
        "the memory of a guest on another core",
        |context| {
            let role = far(context)?;
            let machine = &machine::current().guest;
            let guest = context.guest_on(role.core, machine.count)?;
            guest.set_register(0, machine.memory + 0x1000);
            let server = context.spawn(role, &[guest.exits.bits()], crew::receive)?;
            guest.vcpu.resume()?;
            context.until("the guest counts", || guest.memory.load(0x200) > 0)?;
            guest.memory_frame.unmap()?;
            let count = guest.memory.load(0x200);
            context.end_of(&server)??;
            ensure_equal!(guest.memory.load(0x200), count);
            Ok(())
        },
    ),
];
