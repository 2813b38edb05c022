//! A guest: its space, its vCPUs, and the routes from them to its servers.

use crate::bundle::{Files, INITRD, KERNEL};
use crate::grants::Given;
use crate::pool::Pool;
use crate::process::{Process, close_window, open_window, read_write};
use crate::system::Failure;
use crate::tables;
use abi::call::Binding;
use abi::exit::{ExitClass, RouteKey};
use abi::{Error, ObjectKind, Rights};
use alloc::format;
use alloc::vec::Vec;
use manifest::compiled::{self, AddressSpace};
use rt::capability::Capability;
use rt::guest::Route;
use rt::sys::Machine;
use rt::window::Window;
use rt::{Budget, Endpoint, Frame, GuestSpace, Vcpu};
use vcpu_api::description::{PLIC_BASE, PLIC_BYTES};
use vcpu_api::{Description, Device};

/// The least table memory of a guest space: controllers and some devices may need three tables each.
const LEAST_TABLES: u64 = 512 << 10;
/// Priority of vCPUs: below every server.
const VCPU_PRIORITY: u64 = 10;
/// Device route of the first interrupt controller; devices follow the last.
const FIRST_CONTROLLER_ROUTE: u8 = 1;

/// Returns where the guests of this machine have their interrupt controllers; the checks of
/// manifests have the same table (`manifest::Machine`).
fn controllers() -> &'static [Route] {
    const fn route(key: RouteKey, base: u64, length: u64) -> Route {
        Route { key, base, length }
    }
    const RISCV: [Route; 1] = [route(RouteKey::Device, PLIC_BASE, PLIC_BYTES)];
    const X86: [Route; 5] = [
        route(RouteKey::Device, 0xfee0_0000, 0x1000),
        route(RouteKey::Device, 0xfec0_0000, 0x1000),
        route(RouteKey::Port, 0x20, 2),
        route(RouteKey::Port, 0xa0, 2),
        route(RouteKey::Port, 0x4d0, 2),
    ];
    match rt::sys::MACHINE {
        Machine::Riscv => &RISCV,
        Machine::X86 => &X86,
        Machine::S390 => &[],
    }
}

/// Returns whether an irq server picks what its vCPUs take: then windows are its exits, and it
/// writes their registers.
pub fn irq_delivers() -> bool {
    rt::sys::MACHINE == Machine::X86
}
/// Badge bit of exits and accesses.
const EXIT_BADGE: u64 = 1 << 32;

/// A guest in the making, and what init keeps of it.
pub struct Guest {
    /// Its space.
    pub space: GuestSpace,
    /// Its vCPUs and their cores.
    pub vcpus: Vec<(u64, Vcpu)>,
    /// The page in which its vcpu server reports its end.
    pub report: Frame,
}

/// Returns a capability to give with these rights.
const fn given(capability: Capability, kind: ObjectKind, rights: Rights) -> Given {
    Given {
        capability,
        kind,
        rights,
        badge: 0,
    }
}

impl Guest {
    /// Makes space and vCPUs of a guest, and declares its devices. vCPUs that share a core take
    /// turns of `turn` ticks.
    pub fn new(pool: &mut Pool, plan: &compiled::Guest, turn: u64) -> Result<Self, Failure> {
        let space = match pool.make(ObjectKind::GuestSpace, 0) {
            Err(Failure::Kernel(Error::Unsupported)) => return Err(Failure::NoGuests),
            made => made?,
        };
        let fund = pool.make(
            ObjectKind::Untyped,
            tables::order(plan.memory, LEAST_TABLES),
        )?;
        rt::memory::fund(space, rt::Untyped::at(fund.slot()))?;
        let space = GuestSpace::at(space.slot());
        let memory = Route {
            key: RouteKey::Memory,
            base: plan.memory_base,
            length: plan.memory,
        };
        space.add_route(0, memory)?;
        for (route, index) in controllers().iter().zip(FIRST_CONTROLLER_ROUTE..) {
            space.add_route(u64::from(index), *route)?;
        }
        for (index, device) in plan.devices.iter().enumerate() {
            let route = Route {
                key: match device.space {
                    // There are no device registers in the memory of s390x.
                    AddressSpace::Memory if rt::sys::MACHINE == Machine::S390 => {
                        RouteKey::Subchannel
                    }
                    AddressSpace::Memory => RouteKey::Device,
                    AddressSpace::Ports => RouteKey::Port,
                },
                base: device.base,
                length: device.size,
            };
            space.add_route(u64::from(route_of(index)), route)?;
        }
        let mut vcpus = Vec::new();
        for core in &plan.cores {
            let vcpu = pool.make_on(ObjectKind::Vcpu, u64::from(*core))?;
            let budget = pool.make_on(ObjectKind::Budget, u64::from(*core))?;
            Budget::at(budget.slot()).take_turns(turn)?;
            let vcpu = Vcpu::at(vcpu.slot());
            vcpu.bind(Binding::GuestSpace, Some(space.capability()))?;
            vcpu.bind(Binding::Budget, Some(budget))?;
            vcpu.set_priority(VCPU_PRIORITY)?;
            vcpus.push((u64::from(*core), vcpu));
        }
        let report = pool.frame(abi::PAGE_SIZE)?;
        let window = open_window(pool, report)?;
        window.clear();
        close_window(window)?;
        Ok(Self {
            space,
            vcpus,
            report,
        })
    }

    /// Sends one class of every vCPU's exits to a process.
    fn route_exits(
        &self,
        pool: &mut Pool,
        class: ExitClass,
        server: &Process,
        base: u64,
    ) -> Result<(), Failure> {
        for (index, (core, vcpu)) in self.vcpus.iter().enumerate() {
            let endpoint = badged(pool, server, *core, EXIT_BADGE | base | index as u64)?;
            vcpu.route_exit(class, Some(endpoint))?;
        }
        Ok(())
    }

    /// Sends accesses to one device route of every vCPU to a process.
    fn route_device(&self, pool: &mut Pool, route: u8, server: &Process) -> Result<(), Failure> {
        for (index, (core, vcpu)) in self.vcpus.iter().enumerate() {
            let endpoint = badged(pool, server, *core, EXIT_BADGE | index as u64)?;
            vcpu.route_device(u64::from(route), Some(endpoint))?;
        }
        Ok(())
    }

    /// Connects the guest's vCPUs with its servers.
    pub fn connect(
        &self,
        pool: &mut Pool,
        (index, plan): (u16, &compiled::Guest),
        processes: &[Process],
        mem: Option<&Process>,
    ) -> Result<(), Failure> {
        let server = |index: compiled::ProcessIndex| {
            processes
                .get(usize::from(index.0))
                .ok_or(Failure::BadManifest)
        };
        let vcpu = server(plan.vcpu)?;
        for class in ExitClass::ALL {
            match (class, mem) {
                (ExitClass::Memory, Some(mem)) => {
                    self.route_exits(pool, *class, mem, u64::from(index) << 8)?;
                }
                (ExitClass::Window, _) if irq_delivers() => {
                    self.route_exits(pool, *class, server(plan.irq)?, 0)?;
                }
                _ => self.route_exits(pool, *class, vcpu, 0)?,
            }
        }
        for (_, index) in controllers().iter().zip(FIRST_CONTROLLER_ROUTE..) {
            self.route_device(pool, index, server(plan.irq)?)?;
        }
        for (position, device) in plan.devices.iter().enumerate() {
            self.route_device(pool, route_of(position), server(device.process)?)?;
        }
        Ok(())
    }

    /// Grants the vcpu server what is its own.
    pub fn grant_vcpu(
        &self,
        pool: &mut Pool,
        plan: &compiled::Guest,
        (server, files): (&mut Process, &Files),
    ) -> Result<(), Failure> {
        let rights = Rights::new().with_control(true).with_inject(true);
        for (index, (core, vcpu)) in self.vcpus.iter().enumerate() {
            let capability = given(vcpu.capability(), ObjectKind::Vcpu, rights);
            server
                .grants
                .capability(&format!("vcpu.{index}"), capability, *core)?;
            let page = pool.frame(abi::PAGE_SIZE)?;
            let window = open_window(pool, page)?;
            window.clear();
            close_window(window)?;
            vcpu.bind(Binding::MessagePage, Some(page.capability()))?;
            let address = server.map(page, read_write())?;
            server
                .grants
                .value(&format!("registers.{index}"), address)?;
        }
        let report = server.map(self.report, read_write())?;
        server.grants.value("report", report)?;
        let (kernel, bytes) = files.map(pool, (server.space, KERNEL), &plan.kernel.image)?;
        for (name, value) in [
            ("kernel", kernel),
            ("kernel-bytes", bytes),
            ("kernel-load", plan.kernel.load),
            ("kernel-entry", plan.kernel.entry_point),
            ("kernel-memory", plan.kernel.memory_size),
        ] {
            server.grants.value(name, value)?;
        }
        if let Some(initrd) = &plan.initrd {
            let (address, bytes) = files.map(pool, (server.space, INITRD), initrd)?;
            server.grants.value("initrd", address)?;
            server.grants.value("initrd-bytes", bytes)?;
        }
        Ok(())
    }

    /// Grants the irq server the vCPUs, to inject only, unless it delivers by itself.
    pub fn grant_irq(&self, server: &mut Process) -> Result<(), Failure> {
        let rights = Rights::new().with_inject(true).with_control(irq_delivers());
        for (index, (core, vcpu)) in self.vcpus.iter().enumerate() {
            let capability = given(vcpu.capability(), ObjectKind::Vcpu, rights);
            server
                .grants
                .capability(&format!("vcpu.{index}"), capability, *core)?;
        }
        Ok(())
    }

    /// Stops all vCPUs.
    pub fn stop(&self) {
        for (_, vcpu) in &self.vcpus {
            if let Err(error) = vcpu.stop() {
                rt::log!("skerry: a vCPU did not stop: {error:?}");
            }
        }
    }

    /// Opens the report page, for as long as init lives.
    pub fn open_report(&self, pool: &mut Pool, at: u64) -> Result<Window, Failure> {
        let copy = self.report.capability().copy(pool.slot()?)?;
        let space = rt::Space::own(abi::boot::SLOT_SPACE);
        Ok(Window::map(
            Frame::at(copy.slot()),
            space,
            at,
            read_write(),
        )?)
    }
}

/// Returns the device route of the device at `index` in the manifest.
fn route_of(index: usize) -> u8 {
    let index = usize::from(FIRST_CONTROLLER_ROUTE) + controllers().len() + index;
    u8::try_from(index).unwrap_or(u8::MAX)
}

/// Returns a capability to a process's endpoint on a core, with a badge.
pub fn badged(
    pool: &mut Pool,
    server: &Process,
    core: u64,
    badge: u64,
) -> Result<Capability, Failure> {
    let endpoint: Endpoint = server
        .endpoint(core)
        .ok_or(Failure::NoEndpoint(server.index, core))?;
    let rights = Rights::new().with_call(true).with_grant(true);
    Ok(endpoint.capability().mint(pool.slot()?, rights, badge)?)
}

/// Returns the description of a guest for its servers.
pub fn describe(index: u16, plan: &compiled::Guest, system: &compiled::System) -> Description {
    let devices = plan
        .devices
        .iter()
        .enumerate()
        .map(|(position, device)| Device {
            name: device.name.clone(),
            model: device.model.clone(),
            base: device.base,
            size: device.size,
            source: device.irq,
            process: device.process.0,
            route: route_of(position),
            ports: device.space == AddressSpace::Ports,
        });
    let vcpu = system.process(plan.vcpu);
    let (panic, touch) = (vcpu.panic_on_sbi, vcpu.touch_on_sbi);
    Description {
        name: plan.name.clone(),
        index,
        memory_base: plan.memory_base,
        memory_bytes: plan.memory,
        cores: plan.cores.clone(),
        append: plan.append.clone(),
        devices: devices.collect(),
        panic_on_sbi: panic.map(|call| (call.extension, call.function)),
        vcpu: plan.vcpu.0,
        touch_on_sbi: touch.map(|touch| (touch.call.extension, touch.call.function, touch.address)),
        reboots: plan.reboots,
    }
}

/// Grants a server of a guest the guest's description.
pub fn grant_description(
    pool: &mut Pool,
    server: &mut Process,
    description: &Description,
) -> Result<(), Failure> {
    let bytes = postcard::to_allocvec(description).map_err(|_| Failure::BadManifest)?;
    let address = server.map_bytes(pool, &bytes)?;
    server.grants.value("description", address)?;
    server.grants.value("description-bytes", bytes.len() as u64)
}
