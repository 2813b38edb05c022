//! Exits of a guest that are answered by a server in another space.
//!
//! The servers are loops of a few instructions, so the rows say what the kernel's part is; the rows
//! with the servers that guests really have are measured by a guest of those.

use crate::machine::{self, Program};
use crate::partner::{MANY, OTHER, Partner, SHARED, WAITS_AT};
use crate::samples::{ROUNDS, Samples};
use crate::stage::{LOW, Stage, read_write};
use abi::call::{Binding, FOREVER};
use abi::exit::{ExitClass, RouteKey};
use abi::{Error, ObjectKind};
use rt::guest::Route;
use rt::log;
use rt::memory::fund;
use rt::window::Window;
use rt::{Endpoint, Frame, GuestSpace, Vcpu};

/// Distance from a guest's memory to the pages that it touches and that are not there.
const MISSING: u64 = 1 << 24;
/// Index of the device's route.
const DEVICE_ROUTE: u64 = 0;
/// Order of the guest's memory that is there.
const MEMORY_ORDER: u64 = 16;
/// Where the guest writes what it counted, in its memory.
const SAMPLES: u64 = 0x1000;

/// A guest.
struct Guest {
    vcpu: Vcpu,
    space: GuestSpace,
    registers: Window,
    memory: Window,
    done: Endpoint,
    /// What counting nothing gives.
    cost: u64,
}

/// Measures a hypercall, accesses to a device and a page that is missing, where there are guests.
pub fn exits(stage: &Stage) -> Result<(), Error> {
    let mut guest = match Guest::new(stage) {
        Err(Error::Unsupported) => {
            log!("benchmark: no rows of guests: this machine runs none");
            return Ok(());
        }
        guest => guest?,
    };
    let machine = machine::current();
    let programs = &machine.guest;
    guest.calibrate(&(programs.nothing)())?;
    let hypercall = Partner::new(stage, 0, &(machine.answer)(0), 64)?;
    serve(stage, &guest, &hypercall, ExitClass::Hypercall)?;
    hypercall.start(0)?;
    guest.measure(&(programs.hypercall)(), 0, "exit_to_bench_server")?;
    let device = Partner::new(stage, 0, &(machine.answer)(1), 64)?;
    let endpoint = stage.endpoint()?;
    device.give(WAITS_AT, endpoint.capability())?;
    guest
        .vcpu
        .route_device(DEVICE_ROUTE, Some(endpoint.capability()))?;
    device.start(0)?;
    let (_, at) = programs.device;
    guest.measure(&(programs.load)(), at, "device_load_bench_server")?;
    guest.measure(&(programs.store)(), at, "device_store_bench_server")?;
    let pager = Partner::new(stage, 0, &(programs.pager)(), 4096)?;
    serve(stage, &guest, &pager, ExitClass::Memory)?;
    pager.give(OTHER, guest.space.capability())?;
    stage.frames(pager.table, MANY, ROUNDS as u64)?;
    let missing = programs.memory + MISSING;
    pager.shared.store(0, missing);
    pager.shared.store(1, u64::from(MANY));
    pager.start(SHARED)?;
    guest.measure(&(programs.touch)(), missing, "stage_2_fault_bench_server")
}

/// Lets a partner answer exits of a class.
fn serve(stage: &Stage, guest: &Guest, partner: &Partner, class: ExitClass) -> Result<(), Error> {
    let endpoint = stage.endpoint()?;
    partner.give(WAITS_AT, endpoint.capability())?;
    guest.vcpu.route_exit(class, Some(endpoint.capability()))
}

impl Guest {
    /// Makes a guest that does not run.
    fn new(stage: &Stage) -> Result<Self, Error> {
        let machine = &machine::current().guest;
        let space = GuestSpace::at(stage.make(ObjectKind::GuestSpace, 0)?);
        fund(space.capability(), stage.untyped(18)?)?;
        let frame = stage.frame(MEMORY_ORDER)?;
        let memory = stage.window(frame, MEMORY_ORDER)?;
        let memory_route = Route {
            key: RouteKey::Memory,
            base: machine.memory,
            length: 1 << 25,
        };
        let (key, base) = machine.device;
        let device_route = Route {
            key,
            base,
            length: 0x1000,
        };
        space.add_route(DEVICE_ROUTE, device_route)?;
        space.add_route(DEVICE_ROUTE + 1, memory_route)?;
        let rights = read_write().with_execute(true);
        frame.map(space.capability(), machine.memory, rights)?;
        let page = stage.frame(12)?;
        let registers = stage.window(page, 12)?;
        let vcpu = Vcpu::at(stage.make(ObjectKind::Vcpu, 0)?);
        vcpu.bind(Binding::GuestSpace, Some(space.capability()))?;
        vcpu.bind(Binding::MessagePage, Some(Frame::capability(page)))?;
        vcpu.bind(Binding::Budget, Some(stage.budget_on(0)?.capability()))?;
        let done = stage.endpoint()?;
        vcpu.route_exit(ExitClass::Unclaimed, Some(done.capability()))?;
        vcpu.set_priority(LOW)?;
        for &(id, value) in machine.prepare {
            vcpu.write(id, value)?;
        }
        Ok(Self {
            vcpu,
            space,
            registers,
            memory,
            done,
            cost: 0,
        })
    }

    /// Finds out what counting costs: the code counts one instruction, which does nothing.
    #[inline(never)]
    fn calibrate(&mut self, code: &Program) -> Result<(), Error> {
        let mut samples = Samples::new(0);
        self.run(code, 0, &mut samples)?;
        let [least, median, most] = samples.spread();
        if median == 0 || least != median || most != median {
            log!("benchmark: counting in a guest is not exact: {least} to {most}");
            return Err(Error::WrongState);
        }
        self.cost = median - 1;
        Ok(())
    }

    /// Lets the guest run `code`, which counts by itself, and prints what it counted. Samples are
    /// large: they are on the stack once.
    #[inline(never)]
    fn measure(&self, code: &Program, address: u64, name: &str) -> Result<(), Error> {
        let mut samples = Samples::new(self.cost);
        self.run(code, address, &mut samples)?;
        samples.print(name);
        Ok(())
    }

    /// Lets the guest run `code` and adds what it counted.
    fn run(&self, code: &Program, address: u64, samples: &mut Samples) -> Result<(), Error> {
        let machine = &machine::current().guest;
        self.memory.write_code(code);
        let start = (machine.start)(address, machine.memory + SAMPLES, ROUNDS as u64);
        for (register, value) in start {
            self.registers.store(register, value);
        }
        self.vcpu.write(machine.program_counter, machine.memory)?;
        self.vcpu.resume()?;
        let message = self.done.receive(FOREVER)?;
        // The guest has stored to address 0, where nothing is.
        if message.words[1] != 0 {
            return Err(Error::WrongState);
        }
        rt::synchronization::reply(&rt::Outgoing::new(abi::exit::ExitReply::Stop as u16))?;
        for index in 0..ROUNDS {
            samples.add_instructions(self.memory.load(SAMPLES as usize / 8 + index));
        }
        Ok(())
    }
}
