//! From the first instruction of the boot core to the first process.
//!
//! The linker script puts all of this, and the kernel's part of it, into pages of their own: they
//! are given to the first process as memory. Nothing outside refers to it (`cargo xtask check sizes`
//! looks at every relocation).

mod acpi;
mod loader;
mod multiboot;
mod pvh;
mod start;
mod trampoline;

use crate::console::{self, Console};
use crate::cores::{KERNEL, READY};
use crate::machine::X86;
use crate::paging::{Features, SecondStage};
use crate::percore::{self, PerCore};
use crate::timer::{self, Clock};
use crate::{apic, cores, cpu, descriptor, entry, guest, irq, paging, power, svm, trap, vmx};
use acpi::Machine;
use arena::{Arena, Seat};
use core::fmt::Write;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, Ordering};
use kernel::Kernel;
use kernel::boot::{BootPlan, Range};
use kernel::core_state::CoreState;
use kernel::ranges::{Ranges, whole_pages};
use loader::Loaded;
use trampoline::Trampoline;

/// What the kernel knows of each core.
static CORES: [CoreState; abi::MAX_CORES] = [const { CoreState::new() }; abi::MAX_CORES];
/// Their seats in the arena.
static SEATS: [Seat; abi::MAX_CORES] = [const { Seat::new() }; abi::MAX_CORES];

/// Bytes of the kernel stack of every core but the boot core.
const STACK_BYTES: u64 = 16 * 1024;
/// Bytes of the stack that the boot core starts on: the kernel is built there before it is moved to
/// its place.
pub const BOOT_STACK_BYTES: u64 = 2 * STACK_BYTES;
/// Memory below this is the firmware's.
const FIRMWARE_END: u64 = 1 << 20;
/// The page below it that other cores start in.
const TRAMPOLINE: u64 = 0x8000;

/// Prints why the machine cannot be used, and stops it.
fn refuse(reason: core::fmt::Arguments<'_>) -> ! {
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(Console, "skerry: cannot start: {reason}");
    power::off(true)
}

/// Says what is left out.
fn warn(text: core::fmt::Arguments<'_>) {
    // A console that does not take it is no reason to stop.
    let _ = writeln!(Console, "skerry: {text}");
}

/// What is known of the machine.
struct Host {
    loaded: Loaded,
    machine: Machine,
    features: Features,
    clock: Clock,
    is_extended: bool,
}

/// Begins on the boot core, in long mode and with a stack.
pub extern "C" fn boot_core(start: u64, magic: u64) -> ! {
    console::initialise();
    if let Some(what) = trampoline::missing() {
        refuse(format_args!("the processor lacks {what}"));
    }
    let Some(core) = percore::get(0) else {
        refuse(format_args!("no core"))
    };
    core.stack.set(&raw const entry::_boot_stack_end as u64);
    descriptor::make_interrupt_table();
    cores::initialise(core);
    let host = find_host(start, magic);
    core.apic.set(u64::from(apic::own_number()));
    let mut free = free_memory(&host);
    let arena = make_arena(&host, &mut free);
    let second_stage = find_guests();
    core.host.set(host_pages(&arena, &mut free));
    let kernel = KERNEL.call_once(|| Kernel::new(X86 { second_stage }, arena, &CORES));
    start_cores(&host, &mut free);
    paging::protect_kernel();
    cores::finish();
    timer::start_core();
    cores::start_guests(core);
    announce(&host, &free);
    for index in 0..abi::MAX_CORES {
        if index == 0 || READY.load(Ordering::Acquire) >> index & 1 == 1 {
            kernel.core_online(index);
        }
    }
    boot_first(kernel, core, &host, &free)
}

/// Finds out what the machine has.
fn find_host(start: u64, magic: u64) -> Host {
    let mut loaded = match Loaded::read(start, magic) {
        Ok(loaded) => loaded,
        Err(reason) => refuse(format_args!("{reason}")),
    };
    let machine = Machine::read(loaded.acpi);
    if let Some((port, value)) = machine.soft_off {
        power::set_soft_off(port, value);
    }
    let features = Features::find();
    let end = paging::extend_direct_map(features);
    let (_, memory_end) = loaded.memory.span();
    if memory_end > end {
        warn(format_args!("memory above {} GiB is not used", end >> 30));
        loaded.memory.remove(Range {
            base: end,
            length: memory_end - end,
        });
    }
    silence_old_controllers();
    let is_extended = apic::find();
    apic::start_core();
    let clock = timer::calibrate();
    start_interrupts(&machine);
    Host {
        loaded,
        machine,
        features,
        clock,
        is_extended,
    }
}

/// Silences the old interrupt controllers (8259): vectors from 0xf0 on, where nothing of ours is, then
/// all lines masked. Before the APIC's line from them is: a request of the firmware's timer that was
/// on its way would be left over, and QEMU takes it as an interrupt without a vector.
fn silence_old_controllers() {
    for (command, first) in [(0x20, 0xf0), (0xa0, 0xf0)] {
        cpu::write_port(command, 0x11);
        cpu::write_port(command + 1, first);
        cpu::write_port(command + 1, if command == 0x20 { 4 } else { 2 });
        cpu::write_port(command + 1, 1);
        cpu::write_port(command + 1, 0xff);
    }
}

/// Tells the driver of interrupt controllers where they are.
fn start_interrupts(machine: &Machine) {
    for (physical, first) in &machine.controllers {
        irq::add_controller(*physical, *first);
    }
    for signal in &machine.overrides {
        irq::set_signal(signal.line, signal.level, signal.active_low);
    }
}

/// Returns the memory that nobody uses.
fn free_memory(host: &Host) -> Ranges {
    let mut free = host.loaded.memory.clone();
    let image = paging::physical_of(&raw const entry::_image_start);
    let end = paging::physical_of(&raw const entry::_image_end);
    free.remove(Range {
        base: 0,
        length: FIRMWARE_END,
    });
    free.remove(Range {
        base: image,
        length: end - image,
    });
    if let Some(bundle) = host.loaded.bundle {
        free.remove(bundle);
    }
    free
}

/// Makes the arena over all of memory; its kind bytes come out of the free memory.
fn make_arena(host: &Host, free: &mut Ranges) -> Arena {
    let (_, end) = host.loaded.memory.span();
    let (base, _) = free.span();
    let pages = (end - base) / abi::PAGE_SIZE;
    let Some(kinds_at) = free.take(pages.next_multiple_of(abi::PAGE_SIZE)) else {
        refuse(format_args!("too little memory"))
    };
    let pointer = paging::virtual_of(kinds_at) as *const AtomicU8;
    // SAFETY: the range was just taken out of the free memory, so that nobody else uses it; an
    // atomic byte has no invalid value.
    let kinds = unsafe { slice::from_raw_parts(pointer, usize::try_from(pages).unwrap_or(0)) };
    for kind in kinds {
        kind.store(arena::RESERVED, Ordering::Relaxed);
    }
    let mark = |range: &Range| {
        let first = usize::try_from((range.base - base) / abi::PAGE_SIZE).unwrap_or(0);
        let count = usize::try_from(range.length / abi::PAGE_SIZE).unwrap_or(0);
        for kind in kinds.iter().skip(first).take(count) {
            kind.store(arena::RAW, Ordering::Relaxed);
        }
    };
    free.as_slice().iter().for_each(mark);
    mark(&paging::boot_code());
    if let Some(bundle) = host.loaded.bundle {
        mark(&whole_pages(bundle));
    }
    let Some(pointer) = NonNull::new(paging::virtual_of(base) as *mut u8) else {
        refuse(format_args!("memory at address zero"))
    };
    // SAFETY: (1) the direct map shows all of memory for ever; (2) raw pages are those that
    // firmware, image and loader leave free, and only the arena is told of them; stacks taken
    // afterwards are marked as reserved again; and the boot code's, which nobody carves before the
    // first process runs, when no core executes it any more; (3) ranges are whole pages;
    // (4) this is the only arena.
    unsafe { Arena::new(pointer, (base, end - base), kinds, &SEATS) }
}

/// Finds out how guests are run.
fn find_guests() -> Option<SecondStage> {
    if svm::find() {
        Some(SecondStage::Nested)
    } else {
        vmx::find().then_some(SecondStage::Extended)
    }
}

/// Returns memory for what the processor needs on one core for guests; 0 where there are none.
fn host_pages(arena: &Arena, free: &mut Ranges) -> u64 {
    if guest::hardware().is_none() {
        return 0;
    }
    let Some(pages) = free.take(guest::HOST_BYTES) else {
        refuse(format_args!("too little memory"))
    };
    arena.reserve(pages, guest::HOST_BYTES);
    pages
}

/// Starts all other cores, one after the other.
fn start_cores(host: &Host, free: &mut Ranges) {
    let own = apic::own_number();
    if !host.machine.has_processors {
        warn(format_args!("ACPI has no table of processors: one is used"));
    }
    if host.machine.too_many > 0 {
        let (more, most) = (host.machine.too_many, abi::MAX_CORES as u64);
        warn(format_args!("{more} processors above {most} are not used"));
    }
    if let Some(warning) = host.machine.nodes.warning() {
        warn(format_args!("{warning}"));
    }
    let trampoline = Trampoline::new(TRAMPOLINE);
    let others = host.machine.processors.iter().filter(|apic| **apic != own);
    for (index, number) in (1..).zip(others) {
        let (Some(core), Some(stack)) = (percore::get(index), free.take(STACK_BYTES)) else {
            return warn(format_args!("too little memory for more processors"));
        };
        let kernel = KERNEL.get().expect("the kernel was made before");
        kernel.arena().reserve(stack, STACK_BYTES);
        core.core.set(index as u64);
        core.apic.set(u64::from(*number));
        core.stack.set(paging::virtual_of(stack) + STACK_BYTES);
        core.host.set(host_pages(kernel.arena(), free));
        let is_ready = || READY.load(Ordering::Acquire) >> index & 1 == 1;
        if !trampoline.start(core, host.clock, is_ready) {
            // It may still come up and use the trampoline: no other can be started.
            let number = core.apic.get();
            warn(format_args!("processor {number} does not start"));
            return;
        }
    }
}

/// Makes the first process and runs it.
fn boot_first(
    kernel: &'static Kernel<X86>,
    core: &'static PerCore,
    host: &Host,
    free: &Ranges,
) -> ! {
    let Some(bundle) = host.loaded.bundle else {
        refuse(format_args!("no boot bundle: the loader passed no module"))
    };
    let mut devices = Ranges::default();
    if let Some(base) = host.machine.timer {
        devices.add(whole_pages(Range { base, length: 1 }));
    }
    let mut memory = free.clone();
    memory.add(paging::boot_code());
    let plan = BootPlan {
        memory: memory.as_slice(),
        devices: devices.as_slice(),
        bundle: whole_pages(bundle),
        bytes: physical_bytes(bundle.base, bundle.length),
        ticks_per_second: host.clock.ticks_per_second,
        device_tree: Range { base: 0, length: 0 },
        features: [guest::features(), 0, 0, 0],
        // Guests have RDRAND where there is one.
        seed: [0; 4],
        nodes: host.machine.nodes.words(),
    };
    let visit = trap::enter(kernel, core);
    if let Err(error) = visit.boot(&plan) {
        refuse(format_args!("no first process: {}", error.reason()));
    }
    cores::run_first(core, visit)
}

/// Returns bytes of physical memory through the direct map.
fn physical_bytes(base: u64, length: u64) -> &'static [u8] {
    let pointer = paging::virtual_of(base) as *const u8;
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the callers name memory that firmware or the loader filled and that nobody writes;
    // the direct map shows it for ever.
    unsafe { slice::from_raw_parts(pointer, length) }
}

/// Returns a little-endian number of `N` bytes, 0 behind the end.
fn number<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    read_number(bytes, offset, N)
}

/// Returns a little-endian number of `length` bytes; out of line, for there are many.
#[inline(never)]
fn read_number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    let field = bytes.get(offset..offset + length).unwrap_or(&[]);
    field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Prints the banner.
fn announce(host: &Host, free: &Ranges) {
    let memory: u64 = free.as_slice().iter().map(|range| range.length).sum();
    let bits = READY.load(Ordering::Acquire);
    let ready = (1..64).map(|core| bits >> core & 1).sum::<u64>() + 1;
    let all = host.machine.processors.len().max(1) as u64;
    let apic = if host.is_extended { "x2APIC" } else { "xAPIC" };
    let timer = if host.clock.by_deadline {
        "TSC deadlines"
    } else {
        "APIC timer"
    };
    let guests = if svm::is_supported() {
        "SVM"
    } else if vmx::is_supported() {
        "VMX"
    } else {
        "no SVM and no VMX: no guests"
    };
    let tags = if host.features.tags { ", PCID" } else { "" };
    warn(format_args!(
        "{} on x86-64, {ready} of {all} cores, {} MiB free, {guests}, {apic}, {timer}{tags}, TSC {} MHz",
        env!("CARGO_PKG_VERSION"),
        memory >> 20,
        host.clock.ticks_per_second / 1_000_000,
    ));
}
