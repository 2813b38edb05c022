//! Building the whole system.

use crate::audit;
use crate::bundle::Files;
use crate::grants::Given;
use crate::guest::{self, Guest};
use crate::pool::Pool;
use crate::process::{Process, read_write};
use crate::supervise::{self, Supervisor, Watch};
use crate::tables;
use abi::boot::{SLOT_FIRMWARE, SLOT_INTERRUPT_CONTROL, SLOT_IO_PORTS};
use abi::{Error, ObjectKind, PortRange, Rights};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use manifest::compiled::{self, AddressSpace, System};
use rt::capability::Capability;
use rt::seed::Seed;
use rt::{Frame, InterruptControl, Notification};

/// Badge of a physical interrupt at its driver.
const INTERRUPT_BADGE: u64 = 1 << 63;

/// Why the system cannot be built.
#[derive(Debug)]
pub enum Failure {
    /// The kernel refused a call.
    Kernel(Error),
    /// The bundle is no good.
    Bundle(abi::bundle::BundleError),
    /// The bundle lacks a file.
    NoFile(String),
    /// A file in the bundle is damaged, or no executable.
    BadFile(String),
    /// The manifest in the bundle is no good.
    BadManifest,
    /// There is too little memory.
    OutOfMemory,
    /// Init's table is full.
    OutOfSlots,
    /// A process has more grants than its page holds.
    TooManyGrants,
    /// A process is to be called on a core on which it has no thread.
    NoEndpoint(u16, u64),
    /// The processor has nothing to run guests with.
    NoGuests,
    /// A driver's device is not among the machine's.
    NoDevice(u64),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel(error) => write!(formatter, "the kernel refused a call: {error:?}"),
            Self::Bundle(error) => write!(formatter, "the boot bundle is no good: {error:?}"),
            Self::NoFile(name) => write!(formatter, "the boot bundle has no file {name}"),
            Self::BadFile(name) => write!(formatter, "the file {name} is damaged"),
            Self::BadManifest => write!(formatter, "the manifest is no good"),
            Self::OutOfMemory => write!(formatter, "too little memory"),
            Self::OutOfSlots => write!(formatter, "too many capabilities"),
            Self::TooManyGrants => write!(formatter, "a process has too many grants"),
            Self::NoEndpoint(process, core) => {
                write!(formatter, "process {process} serves nobody on core {core}")
            }
            Self::NoGuests => write!(formatter, "this machine cannot run guests"),
            Self::NoDevice(base) => write!(formatter, "the machine has no device at {base:#x}"),
        }
    }
}

/// Builds the system and watches it until its last guest has ended.
pub fn run() -> Result<(), Failure> {
    let info = rt::boot::info().ok_or(Failure::BadManifest)?;
    let mut pool = Pool::new(info);
    let files = Files::open(&mut pool)?;
    let bytes = files.read(compiled::ENTRY_NAME)?;
    let system = System::decode(bytes).map_err(|_| Failure::BadManifest)?;
    rt::event::set_level(system.log as u8);
    rt::log!(
        "skerry: init: {} processes, {} guests, {} cores",
        system.processes.len(),
        system.guests.len(),
        info.cores
    );
    let mut builder = Builder {
        pool,
        files,
        system: &system,
        processes: Vec::new(),
    };
    let watch = Watch::new(&mut builder.pool, &system, info.cores)?;
    builder.make_processes(&watch)?;
    let guests = builder.make_guests()?;
    builder.grant_all(info, &guests, &watch)?;
    if builder.files.has(audit::ENTRY) {
        audit::print(&system, &builder.processes)?;
    }
    builder.start_all()?;
    let mut supervisor = Supervisor {
        pool: &mut builder.pool,
        system: &system,
        guests: &guests,
        processes: &builder.processes,
    };
    supervisor.run(&watch)
}

/// The system in the making.
struct Builder<'a> {
    pool: Pool,
    files: Files,
    system: &'a System,
    processes: Vec<Process>,
}

impl Builder<'_> {
    /// Makes the objects of all processes; their faults go to init.
    fn make_processes(&mut self, watch: &Watch) -> Result<(), Failure> {
        for (index, plan) in self.system.indexed_processes() {
            let memory = tables::guest_memory(self.system, plan);
            let process = Process::new(&mut self.pool, (index.0, plan), memory)?;
            for (core, thread) in &process.threads {
                watch.hear_faults(&mut self.pool, *thread, *core, u64::from(index.0) + 1)?;
            }
            rt::debug!(
                "process {=str}: priority {=u8}, {=u64} bytes of stack on each of {} cores",
                plan.name.as_str(),
                plan.priority,
                plan.stack,
                plan.cores.len()
            );
            self.processes.push(process);
        }
        Ok(())
    }

    /// Makes all guests and connects them with their servers.
    fn make_guests(&mut self) -> Result<Vec<Guest>, Failure> {
        let mut guests = Vec::new();
        let ticks = rt::boot::info().map_or(0, |info| info.ticks_per_second);
        let turn = (ticks / TURNS_PER_SECOND).max(1);
        for (index, plan) in self.system.guests.iter().enumerate() {
            let guest = Guest::new(&mut self.pool, plan, turn)?;
            let index = u16::try_from(index).unwrap_or(0);
            let mem = self
                .position_of("mem")
                .and_then(|mem| self.processes.get(mem));
            guest.connect(&mut self.pool, (index, plan), &self.processes, mem)?;
            rt::debug!(
                "guest {=str}: {} vCPUs, {=u64} MiB from {=u64:#x} on",
                plan.name.as_str(),
                plan.cores.len(),
                plan.memory >> 20,
                plan.memory_base
            );
            guests.push(guest);
        }
        Ok(guests)
    }

    /// Returns the first process that runs an image of this package.
    fn position_of(&self, image: &str) -> Option<usize> {
        self.system
            .processes
            .iter()
            .position(|process| process.image == image)
    }

    /// Grants every process what `docs/processes.md` lists.
    fn grant_all(
        &mut self,
        info: &abi::boot::BootInfo,
        guests: &[Guest],
        watch: &Watch,
    ) -> Result<(), Failure> {
        for (index, plan) in self.system.indexed_processes() {
            let index = usize::from(index.0);
            self.grant_value(index, "ticks", info.ticks_per_second)?;
            for (place, word) in info.features.into_iter().enumerate() {
                self.grant_value(index, &format!("features.{place}"), word)?;
            }
            self.grant_value(index, "log-level", self.system.log as u64)?;
            self.grant_peers(index, plan)?;
            self.grant_arguments(index, plan)?;
            if let Some(device) = &plan.device {
                self.grant_device(index, device)?;
            }
            if plan.grants.contains(&compiled::Grant::Firmware) {
                self.grant_firmware(index)?;
            }
        }
        self.grant_guests(guests, watch)?;
        self.grant_seeds(info.seed)?;
        self.grant_memory(guests)?;
        self.grant_rings(watch)
    }

    /// Grants each guest's vCPU server random bits of its own, where the firmware gave some.
    fn grant_seeds(&mut self, words: [u64; 4]) -> Result<(), Failure> {
        let Some(seed) = Seed::new(words) else {
            return Ok(());
        };
        for (index, guest) in self.system.guests.iter().enumerate() {
            let words = seed.child("guest", index as u64).words();
            for (place, word) in words.into_iter().enumerate() {
                let vcpu = usize::from(guest.vcpu.0);
                self.grant_value(vcpu, &format!("seed.{place}"), word)?;
            }
        }
        Ok(())
    }

    /// Returns process `index`.
    fn process(&mut self, index: usize) -> Result<&mut Process, Failure> {
        self.processes.get_mut(index).ok_or(Failure::BadManifest)
    }

    /// Grants a number to process `index`.
    fn grant_value(&mut self, index: usize, name: &str, value: u64) -> Result<(), Failure> {
        self.process(index)?.grants.value(name, value)
    }

    /// Grants process `index` a way to call another, on every core that both have.
    fn grant_calls(&mut self, index: usize, name: &str, peer: usize) -> Result<(), Failure> {
        let badge = index as u64 + 1;
        let cores: Vec<u64> = self
            .process(index)?
            .endpoints
            .iter()
            .map(|(core, _)| *core)
            .collect();
        for core in cores {
            let server = self.processes.get(peer).ok_or(Failure::BadManifest)?;
            let Some(endpoint) = server.endpoint(core) else {
                continue;
            };
            let given = Given {
                capability: endpoint.capability(),
                kind: ObjectKind::Endpoint,
                rights: Rights::new().with_call(true),
                badge,
            };
            self.process(index)?
                .grants
                .capability(&format!("{name}.{core}"), given, 0)?;
        }
        Ok(())
    }

    /// Grants process `index` a way to ring another.
    fn grant_ring(&mut self, index: usize, name: &str, peer: usize) -> Result<(), Failure> {
        let given = Given {
            capability: self.process(peer)?.notification.capability(),
            kind: ObjectKind::Notification,
            rights: Rights::new().with_signal(true),
            badge: 1,
        };
        self.process(index)?.grants.capability(name, given, 0)
    }

    /// Grants process `index` the text that its manifest entry has for it.
    fn grant_arguments(&mut self, index: usize, plan: &compiled::Process) -> Result<(), Failure> {
        if plan.arguments.is_empty() {
            return Ok(());
        }
        let process = self.processes.get_mut(index).ok_or(Failure::BadManifest)?;
        let address = process.map_bytes(&mut self.pool, plan.arguments.as_bytes())?;
        self.grant_value(index, "arguments", address)?;
        self.grant_value(index, "arguments-bytes", plan.arguments.len() as u64)
    }

    /// Grants process `index` the peers that its manifest entry names, and the log.
    fn grant_peers(&mut self, index: usize, plan: &compiled::Process) -> Result<(), Failure> {
        for peer in &plan.uses {
            self.grant_calls(index, &peer.name, usize::from(peer.peer.0))?;
        }
        let Some(console) = self.system.console.map(|console| usize::from(console.0)) else {
            return Ok(());
        };
        if index == console || plan.device.is_some() {
            return Ok(());
        }
        self.grant_calls(index, "log", console)?;
        let core = plan.cores.first().copied().map_or(0, u64::from);
        let server = self.processes.get(console).ok_or(Failure::BadManifest)?;
        if let Some(endpoint) = server.endpoint(core) {
            let given = Given {
                capability: endpoint.capability(),
                kind: ObjectKind::Endpoint,
                rights: Rights::new().with_call(true),
                badge: index as u64 + 1,
            };
            self.process(index)?
                .grants
                .place(rt::start::SLOT_LOG, given)?;
        }
        Ok(())
    }

    /// Grants process `index` the authority to call the firmware.
    fn grant_firmware(&mut self, index: usize) -> Result<(), Failure> {
        let given = Given {
            capability: Capability::own(SLOT_FIRMWARE),
            kind: ObjectKind::Firmware,
            rights: Rights::new().with_control(true),
            badge: 0,
        };
        let grants = &mut self.process(index)?.grants;
        grants.capability("firmware", given, 0)
    }

    /// Grants a driver its device's registers and interrupt, as far as it has them.
    fn grant_device(&mut self, index: usize, device: &compiled::HostDevice) -> Result<(), Failure> {
        match device.space {
            _ if device.size == 0 => {}
            AddressSpace::Memory => self.grant_registers(index, device)?,
            AddressSpace::Ports => self.grant_ports(index, device)?,
        }
        device
            .irq
            .map_or(Ok(()), |line| self.grant_interrupt(index, line))
    }

    /// Grants a driver its device's registers.
    fn grant_registers(
        &mut self,
        index: usize,
        device: &compiled::HostDevice,
    ) -> Result<(), Failure> {
        let block = self
            .pool
            .devices
            .iter()
            .find(|block| device.base.wrapping_sub(block.base) < 1 << block.order);
        let block = *block.ok_or(Failure::NoDevice(device.base))?;
        let slot = self.pool.slot()?;
        block
            .untyped
            .retype(ObjectKind::Frame, u64::from(block.order), 1, slot)?;
        let address = self.process(index)?.map(Frame::at(slot), read_write())?;
        self.grant_value(index, "device", address + (device.base - block.base))
    }

    /// Grants a driver an interrupt.
    fn grant_interrupt(&mut self, index: usize, line: u32) -> Result<(), Failure> {
        let to = self.pool.slot()?;
        let interrupt = InterruptControl::own(SLOT_INTERRUPT_CONTROL).take(u64::from(line), to)?;
        let notification = self.process(index)?.notification;
        let slot = self.pool.slot()?;
        let signal = Rights::new().with_signal(true).with_grant(true);
        let badged = notification
            .capability()
            .mint(slot, signal, INTERRUPT_BADGE)?;
        interrupt.bind(Some(Notification::at(badged.slot())))?;
        self.process(index)?
            .grants
            .moved("interrupt", interrupt.capability(), u64::from(line))
    }

    /// Grants a driver its device's ports, and no others.
    fn grant_ports(&mut self, index: usize, device: &compiled::HostDevice) -> Result<(), Failure> {
        let first = u16::try_from(device.base).map_err(|_| Failure::NoDevice(device.base))?;
        let range = PortRange::new().with_first(first).with_count(device.size);
        let ports = Given {
            capability: Capability::own(SLOT_IO_PORTS),
            kind: ObjectKind::IoPorts,
            rights: read_write(),
            badge: range.into_bits(),
        };
        let grants = &mut self.process(index)?.grants;
        grants.capability("ports", ports, device.base)
    }

    /// Grants the servers of all guests what is theirs.
    fn grant_guests(&mut self, guests: &[Guest], watch: &Watch) -> Result<(), Failure> {
        let system = self.system;
        for (index, (plan, guest)) in system.guests.iter().zip(guests).enumerate() {
            let position = u16::try_from(index).unwrap_or(0);
            let description = guest::describe(position, plan, system);
            let vcpu = usize::from(plan.vcpu.0);
            let irq = usize::from(plan.irq.0);
            let devices = plan
                .devices
                .iter()
                .map(|device| usize::from(device.process.0));
            for server in devices.chain([vcpu, irq]) {
                let process = self.processes.get_mut(server).ok_or(Failure::BadManifest)?;
                guest::grant_description(&mut self.pool, process, &description)?;
            }
            let process = self.processes.get_mut(vcpu).ok_or(Failure::BadManifest)?;
            guest.grant_vcpu(&mut self.pool, plan, (process, &self.files))?;
            let ended = Given {
                capability: watch.notification.capability(),
                kind: ObjectKind::Notification,
                rights: Rights::new().with_signal(true),
                badge: 1 << index,
            };
            self.process(vcpu)?.grants.capability("ended", ended, 0)?;
            guest.grant_irq(self.process(irq)?)?;
            if guest::irq_delivers() {
                self.grant_ring(irq, "vcpu", vcpu)?;
            }
            for (position, device) in plan.devices.iter().enumerate() {
                let device = usize::from(device.process.0);
                self.grant_calls(vcpu, &format!("device.{position}"), device)?;
                self.grant_ring(device, "vcpu", vcpu)?;
            }
        }
        Ok(())
    }

    /// Grants the memory server guest memory, guests' spaces, and who its clients are.
    fn grant_memory(&mut self, guests: &[Guest]) -> Result<(), Failure> {
        let Some(mem) = self.position_of("mem") else {
            return Ok(());
        };
        let control = Rights::new().with_control(true);
        let system = self.system;
        for (index, (plan, guest)) in system.guests.iter().zip(guests).enumerate() {
            let given = Given {
                capability: guest.space.capability(),
                kind: ObjectKind::GuestSpace,
                rights: control,
                badge: 0,
            };
            let grants = &mut self.process(mem)?.grants;
            grants.capability(&format!("guest.{index}"), given, plan.memory_base)?;
            grants.value(&format!("client.{}", plan.vcpu.0), index as u64)?;
            grants.value(&format!("quota.{}", plan.vcpu.0), plan.quota)?;
            if plan.population == compiled::Population::Lazy {
                grants.value(&format!("lazy.{}", plan.vcpu.0), 1)?;
            }
        }
        self.grant_quotas(mem)?;
        let blocks = core::mem::take(&mut self.pool.guests);
        for (index, block) in blocks.iter().enumerate() {
            let untyped = block.untyped.capability();
            let order = u64::from(block.order);
            self.process(mem)?
                .grants
                .moved(&format!("memory.{index}"), untyped, order)?;
            self.grant_value(mem, &format!("memory-base.{index}"), block.base)?;
            self.grant_value(mem, &format!("memory-node.{index}"), block.node)?;
        }
        Ok(())
    }

    /// Grants the memory server what processes may take for themselves, the areas for contiguous
    /// requests, and places for callers that have to wait.
    fn grant_quotas(&mut self, mem: usize) -> Result<(), Failure> {
        let system = self.system;
        for (index, plan) in system.indexed_processes() {
            if plan.quota > 0 {
                self.grant_value(mem, &format!("quota.{}", index.0), plan.quota)?;
            }
            if plan.pins > 0 {
                self.grant_value(mem, &format!("pins.{}", index.0), plan.pins)?;
            }
        }
        for (index, area) in system.areas.iter().enumerate() {
            let base = area.base.unwrap_or(u64::MAX);
            self.grant_value(mem, &format!("area.{index}"), area.bytes)?;
            self.grant_value(mem, &format!("area-base.{index}"), base)?;
        }
        let cores = system.processes.get(mem).map(|plan| plan.cores.clone());
        for core in cores.unwrap_or_default() {
            let row = self
                .pool
                .row_on(ObjectKind::Reply, u64::from(core), WAITING_CALLERS)?;
            let grants = &mut self.process(mem)?.grants;
            grants.moved_row(&format!("replies.{core}"), row, WAITING_CALLERS)?;
        }
        Ok(())
    }

    /// Connects the console with its driver and with the guests' consoles.
    fn grant_rings(&mut self, watch: &Watch) -> Result<(), Failure> {
        let Some(console) = self.system.console.map(|console| usize::from(console.0)) else {
            return Ok(());
        };
        let driver = self
            .system
            .processes
            .iter()
            .position(|process| process.device.is_some());
        let system = self.system;
        let guests = system
            .guests
            .iter()
            .filter_map(|guest| guest.devices.first());
        let peers = driver
            .into_iter()
            .chain(guests.map(|device| usize::from(device.process.0)));
        for (ring, peer) in peers.collect::<Vec<_>>().into_iter().enumerate() {
            self.connect_ring(console, peer, ring as u64)?;
        }
        self.grant_value(console, "guests", system.guests.len() as u64)?;
        if let Some(mem) = self.position_of("mem") {
            self.grant_ring(console, "mem", mem)?;
        }
        let mut names: Vec<String> = alloc::vec![String::from("log")];
        names.extend(system.guests.iter().map(|guest| guest.name.clone()));
        let bytes = postcard::to_allocvec(&names).map_err(|_| Failure::BadManifest)?;
        let process = self
            .processes
            .get_mut(console)
            .ok_or(Failure::BadManifest)?;
        let address = process.map_bytes(&mut self.pool, &bytes)?;
        self.grant_value(console, "names", address)?;
        self.grant_value(console, "names-bytes", bytes.len() as u64)?;
        let quit = Given {
            capability: watch.notification.capability(),
            kind: ObjectKind::Notification,
            rights: Rights::new().with_signal(true),
            badge: supervise::QUIT,
        };
        self.process(console)?.grants.capability("quit", quit, 0)
    }

    /// Shares a ring page between the console and a peer, and gives each the other's bell.
    fn connect_ring(&mut self, console: usize, peer: usize, ring: u64) -> Result<(), Failure> {
        let page = self.pool.frame(abi::PAGE_SIZE)?;
        let window = crate::process::open_window(&mut self.pool, page)?;
        window.clear();
        crate::process::close_window(window)?;
        let bells = [
            self.process(console)?.notification,
            self.process(peer)?.notification,
        ];
        for (own, other, at, bell, badge) in
            [(console, 1, ring, 1 << ring, 1), (peer, 0, 0, 1, 1 << ring)]
        {
            let copy = page.capability().copy(self.pool.slot()?)?;
            let address = self
                .process(own)?
                .map(Frame::at(copy.slot()), read_write())?;
            self.grant_value(own, &format!("ring.{at}"), address)?;
            let given = Given {
                capability: bells[other].capability(),
                kind: ObjectKind::Notification,
                rights: Rights::new().with_signal(true),
                badge,
            };
            self.process(own)?
                .grants
                .capability(&format!("bell.{at}"), given, bell)?;
        }
        Ok(())
    }

    /// Starts all processes, those of higher priority first.
    fn start_all(&mut self) -> Result<(), Failure> {
        let system = self.system;
        for (index, plan) in system.indexed_processes() {
            let bytes = self.files.read(&plan.image)?;
            let process = self.processes.get_mut(usize::from(index.0));
            let process = process.ok_or(Failure::BadManifest)?;
            process.start(&mut self.pool, plan, bytes)?;
            rt::log!("skerry: started {}", plan.name);
        }
        self.log_to_console()
    }
}

impl Builder<'_> {
    /// Sends init's own log to the console from now on: the firmware would write into its lines.
    fn log_to_console(&mut self) -> Result<(), Failure> {
        let Some(console) = self.system.console.map(|console| usize::from(console.0)) else {
            return Ok(());
        };
        let console = self.processes.get(console).ok_or(Failure::BadManifest)?;
        let Some(endpoint) = console.endpoint(0) else {
            return Ok(());
        };
        let rights = Rights::new().with_call(true);
        let slot = self.pool.slot()?;
        let log = endpoint.capability().mint(slot, rights, LOG_BADGE)?;
        rt::log::send_to(rt::Endpoint::at(log.slot()));
        Ok(())
    }
}

/// Callers of one core that can wait at the memory server.
const WAITING_CALLERS: u32 = 8;

/// Badge of init's own lines at the console; those of processes are their index + 1.
const LOG_BADGE: u64 = 0xffff;

/// Parts of a second that a vCPU runs in a row while another of its core could run.
const TURNS_PER_SECOND: u64 = 1000;
