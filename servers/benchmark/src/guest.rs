//! Exits of a guest that are answered by a server in another space.
//!
//! The servers are loops of a few instructions, so the rows say what the kernel's part is; the rows
//! with the servers that guests really have are measured by a guest of those.

use crate::machine::{self, GUEST_MEMORY};
use crate::partner::{MANY, OTHER, Partner, SHARED, WAITS_AT};
use crate::samples::ROUNDS;
use crate::stage::{LOW, Stage, read_write};
use abi::call::{Binding, FOREVER};
use abi::exit::{ExitClass, RouteKey};
use abi::{Error, ObjectKind};
use rt::guest::Route;
use rt::memory::fund;
use rt::window::Window;
use rt::{Endpoint, Frame, GuestSpace, Vcpu};

/// Where the guest's device lies.
const DEVICE: u64 = 0x1000_0000;
/// Where the pages begin that the guest touches and that are not there.
const MISSING: u64 = GUEST_MEMORY + (1 << 24);
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
}

/// Measures a hypercall, accesses to a device and a page that is missing.
pub fn exits(stage: &Stage) -> Result<(), Error> {
    let guest = Guest::new(stage)?;
    let hypercall = Partner::new(stage, &machine::answer(0), 64)?;
    serve(stage, &guest, &hypercall, ExitClass::Hypercall)?;
    hypercall.start(0)?;
    guest.measure(stage, &machine::hypercall(), 0, "exit_to_bench_server")?;
    let device = Partner::new(stage, &machine::answer(1), 64)?;
    let endpoint = stage.endpoint()?;
    device.give(WAITS_AT, endpoint.capability())?;
    guest
        .vcpu
        .route_device(DEVICE_ROUTE, Some(endpoint.capability()))?;
    device.start(0)?;
    guest.measure(stage, &machine::load(), DEVICE, "device_load_bench_server")?;
    guest.measure(
        stage,
        &machine::store(),
        DEVICE,
        "device_store_bench_server",
    )?;
    let pager = Partner::new(stage, &machine::pager(), 4096)?;
    serve(stage, &guest, &pager, ExitClass::Memory)?;
    pager.give(OTHER, guest.space.capability())?;
    stage.frames(pager.table, MANY, ROUNDS as u64)?;
    pager.shared.store(0, MISSING);
    pager.shared.store(1, u64::from(MANY));
    pager.start(SHARED)?;
    guest.measure(
        stage,
        &machine::touch(),
        MISSING,
        "stage_2_fault_bench_server",
    )
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
        let space = GuestSpace::at(stage.make(ObjectKind::GuestSpace, 0)?);
        fund(space.capability(), stage.untyped(18)?)?;
        let frame = stage.frame(MEMORY_ORDER)?;
        let memory = stage.window(frame, MEMORY_ORDER)?;
        let memory_route = Route {
            key: RouteKey::Memory,
            base: GUEST_MEMORY,
            length: 1 << 25,
        };
        let device_route = Route {
            key: RouteKey::Device,
            base: DEVICE,
            length: 0x1000,
        };
        space.add_route(DEVICE_ROUTE, device_route)?;
        space.add_route(DEVICE_ROUTE + 1, memory_route)?;
        let rights = read_write().with_execute(true);
        frame.map(space.capability(), GUEST_MEMORY, rights)?;
        let page = stage.frame(12)?;
        let registers = stage.window(page, 12)?;
        let vcpu = Vcpu::at(stage.make(ObjectKind::Vcpu, 0)?);
        vcpu.bind(Binding::GuestSpace, Some(space.capability()))?;
        vcpu.bind(Binding::MessagePage, Some(Frame::capability(page)))?;
        vcpu.bind(Binding::Budget, Some(stage.budget()?.capability()))?;
        let done = stage.endpoint()?;
        vcpu.route_exit(ExitClass::Unclaimed, Some(done.capability()))?;
        vcpu.set_priority(LOW)?;
        Ok(Self {
            vcpu,
            space,
            registers,
            memory,
            done,
        })
    }

    /// Lets the guest run `code`, which counts by itself, and prints what it counted.
    fn measure(&self, stage: &Stage, code: &[u8], address: u64, name: &str) -> Result<(), Error> {
        self.memory.write_code(code);
        let start = machine::guest_start(address, GUEST_MEMORY + SAMPLES, ROUNDS as u64);
        for (register, value) in start {
            self.registers.store(register, value);
        }
        self.vcpu.write(machine::GUEST_COUNTER, GUEST_MEMORY)?;
        self.vcpu.resume()?;
        let message = self.done.receive(FOREVER)?;
        // The guest has stored to address 0, where nothing is.
        if message.words[1] != 0 {
            return Err(Error::WrongState);
        }
        rt::synchronization::reply(&rt::Outgoing::new(abi::exit::ExitReply::Stop as u16))?;
        let mut samples = stage.samples();
        for index in 0..ROUNDS {
            samples.add(0, self.memory.load(SAMPLES as usize / 8 + index));
        }
        samples.print(name);
        Ok(())
    }
}
