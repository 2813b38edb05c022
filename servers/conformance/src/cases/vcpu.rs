//! Refusals of the calls on guests, and what a guest has for itself.

use super::prelude::*;
use crate::machine;
use abi::exit::{ExitClass, MAX_ROUTES, RouteKey};
use rt::guest::Route;
use rt::{GuestSpace, Vcpu};

/// Makes a vCPU with nothing bound.
#[track_caller]
fn bare(context: &Context) -> Outcome<Vcpu> {
    Ok(Vcpu::at(context.make(ObjectKind::Vcpu, 0)?.slot()))
}

/// Makes a guest space with nothing in it.
#[track_caller]
fn bare_space(context: &Context) -> Outcome<GuestSpace> {
    Ok(GuestSpace::at(
        context.make(ObjectKind::GuestSpace, 0)?.slot(),
    ))
}

/// Makes a guest that spins for ever.
#[track_caller]
fn spinning(context: &Context) -> Outcome<Vcpu> {
    let guest = context.guest(machine::current().spin)?;
    guest.vcpu.resume()?;
    context.pause(1_000)?;
    Ok(guest.vcpu)
}

/// Returns a device route.
const fn route(base: u64, length: u64) -> Route {
    Route {
        key: RouteKey::Device,
        base,
        length,
    }
}

/// The cases.
pub const CASES: &[Case] = &[
    success(
        CallNumber::VcpuResume,
        "a guest has all bits of its control registers, those that are the host's too",
        |context| {
            let control = machine::current().guest.control;
            let (code, value) = control.ok_or(Stop::Skipped("all bits are the guest's"))?;
            let guest = context.guest(code)?;
            guest.vcpu.resume()?;
            guest.next_exit(context, ExitClass::Hypercall)?;
            ensure_equal!(guest.register(2), value);
            Ok(())
        },
    ),
    success(CallNumber::VcpuBind, "every binding, and back", |context| {
        let vcpu = bare(context)?;
        let bindings = [
            (Binding::GuestSpace, bare_space(context)?.capability()),
            (Binding::MessagePage, context.frame(12)?.capability()),
            (Binding::Budget, context.budget_on(0)?.capability()),
        ];
        for (binding, what) in bindings {
            vcpu.bind(binding, Some(what))?;
            vcpu.bind(binding, None)?;
        }
        Ok(())
    }),
    refusal(
        CallNumber::VcpuBind,
        Error::WrongState,
        "a vCPU that runs",
        |context| {
            let vcpu = spinning(context)?;
            let budget = context.budget_on(0)?.capability();
            context.refuses(Error::WrongState, || {
                vcpu.bind(Binding::Budget, Some(budget))
            })
        },
    ),
    refusal(
        CallNumber::VcpuBind,
        Error::WrongCore,
        "a budget of another core",
        |context| {
            let budget = context.budget_on(context.other_core()?)?.capability();
            let vcpu = bare(context)?;
            context.refuses(Error::WrongCore, || {
                vcpu.bind(Binding::Budget, Some(budget))
            })
        },
    ),
    refusal(
        CallNumber::VcpuBind,
        Error::BadArgument,
        "bindings that a vCPU has not",
        |context| {
            let (vcpu, space) = (bare(context)?, context.own_space().capability());
            context.refuses(Error::BadArgument, || {
                vcpu.bind(Binding::Space, Some(space))
            })?;
            let arguments = [vcpu.bits(), 99, space.bits()];
            context.refuses(Error::BadArgument, || {
                rt::sys::call(CallNumber::VcpuBind, arguments)
            })
        },
    ),
    success(
        CallNumber::VcpuExitRoute,
        "set, set anew, and cleared",
        |context| {
            let vcpu = bare(context)?;
            for class in ExitClass::ALL {
                vcpu.route_exit(*class, Some(context.endpoint()?.capability()))?;
                vcpu.route_exit(*class, None)?;
                vcpu.route_exit(*class, Some(context.endpoint()?.capability()))?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuExitRoute,
        Error::OutOfRange,
        "a class that there is not",
        |context| {
            let (vcpu, endpoint) = (bare(context)?.bits(), context.endpoint()?.bits());
            let class = abi::exit::EXIT_CLASSES as u64;
            context.refuses(Error::OutOfRange, || {
                rt::sys::call(CallNumber::VcpuExitRoute, [vcpu, class, endpoint])
            })
        },
    ),
    refusal(
        CallNumber::VcpuExitRoute,
        Error::WrongCore,
        "an endpoint of another core",
        |context| {
            let endpoint = context.endpoint_on(context.other_core()?)?.capability();
            let vcpu = bare(context)?;
            context.refuses(Error::WrongCore, || {
                vcpu.route_exit(ExitClass::Other, Some(endpoint))
            })
        },
    ),
    success(
        CallNumber::VcpuDeviceRoute,
        "set, cleared, and set anew",
        |context| {
            let vcpu = bare(context)?;
            for index in [0, 1, MAX_ROUTES as u64 - 1] {
                vcpu.route_device(index, Some(context.endpoint()?.capability()))?;
                vcpu.route_device(index, None)?;
                vcpu.route_device(index, Some(context.endpoint()?.capability()))?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuDeviceRoute,
        Error::OutOfRange,
        "an index that there is not",
        |context| {
            let (vcpu, endpoint) = (bare(context)?, context.endpoint()?.capability());
            let index = MAX_ROUTES as u64;
            context.refuses(Error::OutOfRange, || {
                vcpu.route_device(index, Some(endpoint))
            })?;
            context.refuses(Error::OutOfRange, || {
                vcpu.route_device(u64::MAX, Some(endpoint))
            })
        },
    ),
    refusal(
        CallNumber::VcpuDeviceRoute,
        Error::WrongCore,
        "an endpoint of another core",
        |context| {
            let endpoint = context.endpoint_on(context.other_core()?)?.capability();
            let vcpu = bare(context)?;
            context.refuses(Error::WrongCore, || vcpu.route_device(0, Some(endpoint)))
        },
    ),
    success(
        CallNumber::VcpuRead,
        "the program counter, as it was set",
        |context| {
            let guest = context.guest(machine::current().spin)?;
            let machine = &machine::current().guest;
            ensure_equal!(guest.vcpu.read(machine.program_counter)?, machine.memory);
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuRead,
        Error::WrongState,
        "a vCPU that runs",
        |context| {
            let vcpu = spinning(context)?;
            let register = machine::current().guest.program_counter;
            context.refuses(Error::WrongState, || vcpu.read(register))
        },
    ),
    refusal(
        CallNumber::VcpuRead,
        Error::NoSuchRegister,
        "an id without a register",
        |context| {
            let vcpu = bare(context)?;
            let register = machine::current().guest.no_register;
            context.refuses(Error::NoSuchRegister, || vcpu.read(register))?;
            context.refuses(Error::NoSuchRegister, || vcpu.read(0))?;
            context.refuses(Error::NoSuchRegister, || vcpu.read(u64::MAX))
        },
    ),
    success(
        CallNumber::VcpuWrite,
        "registers keep what was written",
        |context| {
            let vcpu = bare(context)?;
            let machine = &machine::current().guest;
            vcpu.write(machine.program_counter, 0x8012_3450)?;
            vcpu.write(machine.enable.0, machine.enable.1)?;
            ensure_equal!(vcpu.read(machine.program_counter)?, 0x8012_3450_u64);
            ensure_equal!(vcpu.read(machine.enable.0)?, machine.enable.1);
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuWrite,
        Error::WrongState,
        "a vCPU that runs",
        |context| {
            let vcpu = spinning(context)?;
            let register = machine::current().guest.program_counter;
            context.refuses(Error::WrongState, || vcpu.write(register, 0))
        },
    ),
    refusal(
        CallNumber::VcpuWrite,
        Error::NoSuchRegister,
        "an id without a register",
        |context| {
            let vcpu = bare(context)?;
            let register = machine::current().guest.no_register;
            context.refuses(Error::NoSuchRegister, || vcpu.write(register, 0))
        },
    ),
    refusal(
        CallNumber::VcpuWrite,
        Error::BadRegisterValue,
        "a value that it does not take",
        |context| {
            let vcpu = bare(context)?;
            let (register, value) = machine::current().guest.bad_value;
            let before = vcpu.read(register)?;
            context.refuses(Error::BadRegisterValue, || vcpu.write(register, value))?;
            ensure_equal!(vcpu.read(register)?, before);
            Ok(())
        },
    ),
    refusal(
        CallNumber::VcpuResume,
        Error::WrongState,
        "a vCPU that runs",
        |context| {
            let vcpu = spinning(context)?;
            context.refuses(Error::WrongState, || vcpu.resume())
        },
    ),
    refusal(
        CallNumber::VcpuResume,
        Error::NotConfigured,
        "no space, no page or no budget",
        |context| {
            let vcpu = bare(context)?;
            context.refuses(Error::NotConfigured, || vcpu.resume())?;
            vcpu.bind(Binding::GuestSpace, Some(bare_space(context)?.capability()))?;
            context.refuses(Error::NotConfigured, || vcpu.resume())?;
            vcpu.bind(Binding::Budget, Some(context.budget_on(0)?.capability()))?;
            context.refuses(Error::NotConfigured, || vcpu.resume())
        },
    ),
    success(CallNumber::VcpuPriority, "every priority", |context| {
        let vcpu = bare(context)?;
        for priority in 0..abi::PRIORITIES as u64 {
            vcpu.set_priority(priority)?;
        }
        Ok(())
    }),
    refusal(
        CallNumber::VcpuPriority,
        Error::OutOfRange,
        "a priority that there is not",
        |context| {
            let vcpu = bare(context)?;
            context.refuses(Error::OutOfRange, || {
                vcpu.set_priority(abi::PRIORITIES as u64)
            })
        },
    ),
    success(
        CallNumber::Inject,
        "newly raised is told from pending",
        |context| {
            let vcpu = bare(context)?;
            let machine = &machine::current().guest;
            ensure_equal!(vcpu.inject(machine.line, 0)?, machine.line);
            ensure_equal!(vcpu.inject(machine.line, 0)?, 0);
            ensure_equal!(
                vcpu.inject(machine.line | machine.other_line, 0)?,
                machine.other_line
            );
            ensure_equal!(vcpu.inject(0, machine.line)?, 0);
            ensure_equal!(vcpu.inject(machine.line, machine.other_line)?, machine.line);
            ensure_equal!(vcpu.inject(machine.other_line, 0)?, machine.other_line);
            Ok(())
        },
    ),
    refusal(
        CallNumber::Inject,
        Error::BadArgument,
        "no such line, or raised and lowered at once",
        |context| {
            let vcpu = bare(context)?;
            let machine = &machine::current().guest;
            context.refuses(Error::BadArgument, || vcpu.inject(machine.no_line, 0))?;
            context.refuses(Error::BadArgument, || vcpu.inject(0, machine.no_line))?;
            context.refuses(Error::BadArgument, || {
                vcpu.inject(machine.line, machine.line)
            })?;
            ensure_equal!(vcpu.inject(machine.line, 0)?, machine.line);
            Ok(())
        },
    ),
    success(
        CallNumber::Fence,
        "of stopped and of running vCPUs",
        |context| {
            let stopped = bare(context)?;
            stopped.fence(1, 0)?;
            spinning(context)?.fence(1, 0)?;
            Ok(())
        },
    ),
    success(
        CallNumber::Fence,
        "of several vCPUs in a row of slots",
        |context| {
            let first = context.slots(8);
            context
                .memory()
                .retype(ObjectKind::Vcpu, 0, 1, first)
                .or(Err(Stop::Skipped("no guests")))?;
            for index in 1..8 {
                let place = SlotAddress::own(first.index + index);
                context.memory().retype(ObjectKind::Vcpu, 0, 1, place)?;
            }
            Vcpu::at(first).fence(0xff, 0)?;
            Ok(Vcpu::at(first).fence(0xa5, 0)?)
        },
    ),
    refusal(
        CallNumber::Fence,
        Error::BadArgument,
        "an empty set, or a kind that there is not",
        |context| {
            let vcpu = bare(context)?;
            context.refuses(Error::BadArgument, || vcpu.fence(0, 0))?;
            context.refuses(Error::BadArgument, || vcpu.fence(1, u64::MAX))
        },
    ),
    success(
        CallNumber::AddRoute,
        "as many as a space holds, side by side",
        |context| {
            let space = bare_space(context)?;
            for index in 0..MAX_ROUTES as u64 {
                space.add_route(index, route(0x1000 * index, 0x1000))?;
            }
            Ok(())
        },
    ),
    refusal(
        CallNumber::AddRoute,
        Error::OutOfRange,
        "an index too large, or a range that wraps",
        |context| {
            let space = bare_space(context)?;
            let index = MAX_ROUTES as u64;
            context.refuses(Error::OutOfRange, || space.add_route(index, route(0, 1)))?;
            context.refuses(Error::OutOfRange, || space.add_route(0, route(u64::MAX, 2)))
        },
    ),
    refusal(
        CallNumber::AddRoute,
        Error::SlotOccupied,
        "an index in use",
        |context| {
            let space = bare_space(context)?;
            space.add_route(4, route(0x1000, 0x1000))?;
            context.refuses(Error::SlotOccupied, || {
                space.add_route(4, route(0x8000, 0x1000))
            })
        },
    ),
    refusal(
        CallNumber::AddRoute,
        Error::AlreadyMapped,
        "ranges that overlap",
        |context| {
            let space = bare_space(context)?;
            space.add_route(0, route(0x2000, 0x2000))?;
            context.refuses(Error::AlreadyMapped, || {
                space.add_route(1, route(0x3fff, 1))
            })?;
            context.refuses(Error::AlreadyMapped, || {
                space.add_route(1, route(0x1000, 0x1001))
            })?;
            Ok(space.add_route(1, route(0x4000, 0x1000))?)
        },
    ),
    refusal(
        CallNumber::AddRoute,
        Error::BadArgument,
        "no length, or no such key",
        |context| {
            let space = bare_space(context)?;
            context.refuses(Error::BadArgument, || space.add_route(0, route(0x1000, 0)))?;
            let arguments = [space.bits(), 0, 99, 0x1000, 0x1000];
            context.refuses(Error::BadArgument, || {
                rt::sys::call(CallNumber::AddRoute, arguments)
            })
        },
    ),
];
