//! A guest of a few instructions.

use crate::case::{Outcome, Stop};
use crate::context::{Context, LOW, read_write};
use crate::ensure_equal;
use crate::machine;
use abi::call::Binding;
use abi::exit::{ExitClass, ExitReply, RouteKey};
use abi::{DeliveryKind, ObjectKind, Rights};
use rt::guest::Route;
use rt::memory::fund;
use rt::window::Window;
use rt::{Budget, Endpoint, Frame, GuestSpace, Incoming, Vcpu};

/// Badge of exits: this plus the class.
pub const EXIT_BADGE: u64 = 0x100;
/// Badge of accesses to the device.
pub const DEVICE_BADGE: u64 = 0x200;
/// Index of the device's route.
pub const DEVICE_ROUTE: u64 = 0;
/// Index of the memory's route.
pub const MEMORY_ROUTE: u64 = 1;
/// Base-two logarithm of the guest's memory that is mapped.
pub const MEMORY_ORDER: u64 = 16;

/// A guest with one vCPU and 64 KiB of mapped memory.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Its virtual processor.
    pub vcpu: Vcpu,
    /// Its space.
    pub space: GuestSpace,
    /// Its budget.
    pub budget: Budget,
    /// Where all exits and accesses arrive, told apart by badge.
    pub exits: Endpoint,
    /// The register page.
    pub registers: Window,
    /// The frame of the register page.
    pub register_frame: Frame,
    /// Its memory, as the suite sees it.
    pub memory: Window,
    /// Its memory, as it is mapped in its space.
    pub memory_frame: Frame,
}

impl Context {
    /// Makes a stopped guest on this core that will run `code`.
    ///
    /// # Errors
    ///
    /// A failure, or a skip where the machine has no guests.
    #[track_caller]
    pub fn guest(&self, code: &[u8]) -> Outcome<Guest> {
        self.guest_on(0, code)
    }

    /// Makes a stopped guest on a core that will run `code`.
    ///
    /// # Errors
    ///
    /// A failure, or a skip where the machine has no guests.
    #[track_caller]
    pub fn guest_on(&self, core: u64, code: &[u8]) -> Outcome<Guest> {
        let space = GuestSpace::at(self.make(ObjectKind::GuestSpace, 0)?.slot());
        fund(space.capability(), self.untyped(18)?)?;
        let vcpu = Vcpu::at(self.make(ObjectKind::Vcpu, core)?.slot());
        let budget = self.budget_on(core)?;
        let exits = self.endpoint_on(core)?;
        let (memory, memory_frame) = self.guest_memory(space, code)?;
        let register_frame = self.frame(12)?;
        let registers = self.window(Frame::at(self.copy(register_frame.capability())?.slot()))?;
        registers.clear();
        let guest = Guest {
            vcpu,
            space,
            budget,
            exits,
            registers,
            register_frame,
            memory,
            memory_frame,
        };
        self.connect(&guest)?;
        Ok(guest)
    }

    /// Makes, fills and maps the guest's memory.
    fn guest_memory(&self, space: GuestSpace, code: &[u8]) -> Outcome<(Window, Frame)> {
        let base = machine::current().guest.memory;
        let frame = self.frame(MEMORY_ORDER)?;
        let memory = self.window(Frame::at(self.copy(frame.capability())?.slot()))?;
        memory.clear();
        memory.write_code(code);
        let route = Route {
            key: RouteKey::Memory,
            base,
            length: 1 << 21,
        };
        space.add_route(MEMORY_ROUTE, route)?;
        let rights = Rights::new()
            .with_read(true)
            .with_write(true)
            .with_execute(true);
        frame.map(space.capability(), base, rights)?;
        Ok((memory, frame))
    }

    /// Binds and routes a guest's vCPU.
    fn connect(&self, guest: &Guest) -> Outcome {
        let Guest { vcpu, space, .. } = guest;
        let route = Route {
            key: machine::current().guest.device_key,
            base: machine::current().guest.device,
            length: 0x1000,
        };
        space.add_route(DEVICE_ROUTE, route)?;
        vcpu.bind(Binding::GuestSpace, Some(space.capability()))?;
        vcpu.bind(
            Binding::MessagePage,
            Some(guest.register_frame.capability()),
        )?;
        vcpu.bind(Binding::Budget, Some(guest.budget.capability()))?;
        for class in ExitClass::ALL {
            let badge = EXIT_BADGE + class.number();
            let badged = self.mint(guest.exits.capability(), Rights::ALL, badge)?;
            vcpu.route_exit(*class, Some(badged))?;
        }
        let device = self.mint(guest.exits.capability(), Rights::ALL, DEVICE_BADGE)?;
        vcpu.route_device(DEVICE_ROUTE, Some(device))?;
        vcpu.set_priority(LOW)?;
        for (register, value) in machine::current().guest.prepare {
            vcpu.write(*register, *value)?;
        }
        Ok(vcpu.write(
            machine::current().guest.program_counter,
            machine::current().guest.memory,
        )?)
    }
}

impl Guest {
    /// Sets one of the machine's named general registers: 0, 1 the arguments, 2 the result.
    pub fn set_register(&self, index: usize, value: u64) {
        self.registers
            .store(machine::current().guest.registers[index], value);
    }

    /// Returns one of the machine's named general registers.
    #[must_use]
    pub fn register(&self, index: usize) -> u64 {
        self.registers
            .load(machine::current().guest.registers[index])
    }

    /// Waits for the next exit and checks its class and badge.
    ///
    /// # Errors
    ///
    /// A failure where something else comes, or nothing.
    #[track_caller]
    pub fn next_exit(&self, context: &Context, class: ExitClass) -> Outcome<Incoming> {
        let message = self.exits.receive(context.soon())?;
        check_exit(&message, class)?;
        Ok(message)
    }

    /// Waits for the hypercall of a guest that `line` woke; where lines are requests, the guest leaves
    /// to take it first, and the line is lowered. Line 0 is that of a timer that the machine delivers.
    ///
    /// # Errors
    ///
    /// A failure where something else comes, or nothing.
    #[track_caller]
    pub fn woken(&self, context: &Context, line: u64) -> Outcome {
        let machine = &machine::current().guest;
        if machine.has_windows && line != 0 {
            let message = self.next_exit(context, ExitClass::Window)?;
            ensure_equal!(message.words[1], line);
            self.vcpu.inject(0, line)?;
            if let Some((register, value)) = machine.end_of_wait {
                self.vcpu.write(register, value)?;
            }
            rt::synchronization::reply(&rt::Outgoing::new(ExitReply::Resume as u16))?;
        }
        self.next_exit(context, ExitClass::Hypercall).map(drop)
    }

    /// Waits for the next access to the device.
    ///
    /// # Errors
    ///
    /// A failure where something else comes, or nothing.
    #[track_caller]
    pub fn next_access(&self, context: &Context) -> Outcome<Incoming> {
        let message = self.exits.receive(context.soon())?;
        if message.kind() == Some(DeliveryKind::Access) && message.badge == DEVICE_BADGE {
            return Ok(message);
        }
        Err(Stop::differ(
            "an access arrives (kind, badge)",
            message.info.kind().into(),
            message.badge,
        ))
    }
}

/// Checks class and badge of an exit.
///
/// # Errors
///
/// A failure where it is another.
#[track_caller]
pub fn check_exit(message: &Incoming, class: ExitClass) -> Outcome {
    let right = message.kind() == Some(DeliveryKind::Exit)
        && u64::from(message.label()) == class.number()
        && message.badge == EXIT_BADGE + class.number();
    if right {
        return Ok(());
    }
    let text = "the exit is of this class and route (expected, label)";
    Err(Stop::differ(text, class.number(), message.label().into()))
}

/// Returns the rights of guest memory.
#[must_use]
pub const fn guest_rights() -> Rights {
    read_write().with_execute(true)
}
