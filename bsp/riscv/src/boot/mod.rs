//! From the first instruction of the boot hart to the first process.
//!
//! The linker script puts all of this, and the kernel's part of it, into pages of their own: they
//! are given to the first process as memory. Nothing outside refers to it (`cargo xtask check sizes`
//! looks at every relocation).

mod tree;

use crate::cores::{self, KERNEL, READY};
use crate::entry::{_start_secondary, DIRECT_MAP, STACK_BYTES};
use crate::machine::{self, Riscv};
use crate::percore::{self, PerCore};
use crate::{csr, guest, irq, paging, sbi, timer, trap};
use arena::{Arena, Seat};
use core::fmt::Write;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, Ordering};
use kernel::Kernel;
use kernel::boot::{BootPlan, Range};
use kernel::core_state::CoreState;
use kernel::ranges::{Ranges, whole_pages};
use riscv_regs::csr as number;
use riscv_regs::isa::{self, Extension};
use tree::Host;

/// What the kernel knows of each core.
static CORES: [CoreState; abi::MAX_CORES] = [const { CoreState::new() }; abi::MAX_CORES];
/// Their seats in the arena.
static SEATS: [Seat; abi::MAX_CORES] = [const { Seat::new() }; abi::MAX_CORES];

/// Bytes that are kept free of the firmware's and the kernel's image.
const BELOW: u64 = 0x20_0000;

/// Prints why the machine cannot be used, and stops it.
fn refuse(reason: core::fmt::Arguments<'_>) -> ! {
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(sbi::Console, "skerry: cannot start: {reason}");
    sbi::shut_down(true)
}

/// Begins on the boot hart, with translation on and a stack.
pub extern "C" fn boot_hart(hart: u64, device_tree: u64) -> ! {
    let core = set_current(0, hart);
    csr::write!(number::STVEC, crate::entry::_trap_entry as *const () as u64);
    csr::write!(number::SSCRATCH, core::ptr::from_ref(core) as u64);
    let bytes = tree_bytes(device_tree);
    let host = match Host::read(bytes, hart) {
        Ok(host) => host,
        Err(reason) => refuse(format_args!("{reason}")),
    };
    let mut free = host.memory.clone();
    keep_out(
        &mut free,
        &host,
        Range {
            base: device_tree,
            length: bytes.len() as u64,
        },
    );
    timer::set_has_sstc(host.extensions.contains(Extension::Sstc));
    guest::set_has_state_enable(host.extensions.contains(Extension::Smstateen));
    start_interrupts(&host);
    let arena = make_arena(&host, &mut free);
    let kernel = KERNEL.call_once(|| Kernel::new(Riscv, arena, &CORES));
    start_harts(&host, &mut free);
    cores::start_hart_state();
    paging::protect_kernel();
    announce(&host, &free);
    kernel.core_online(0);
    for index in 1..host.harts.len() {
        if READY.load(Ordering::Acquire) >> index & 1 == 1 {
            kernel.core_online(index);
        }
    }
    boot_first(
        kernel,
        core,
        &host,
        (&free, device_tree, bytes.len() as u64),
    )
}

/// Makes the first process and runs it.
fn boot_first(
    kernel: &'static Kernel<Riscv>,
    hart: &PerCore,
    host: &Host<'_>,
    (free, device_tree, tree_length): (&Ranges, u64, u64),
) -> ! {
    let Some(bundle) = host.bundle else {
        refuse(format_args!(
            "no boot bundle: the loader passed no initial ramdisk"
        ))
    };
    let bytes = physical_bytes(bundle.base, bundle.length);
    let mut memory = free.clone();
    memory.add(paging::boot_code());
    let plan = BootPlan {
        memory: memory.as_slice(),
        devices: host.devices.as_slice(),
        bundle: whole_pages(bundle),
        bytes,
        ticks_per_second: host.ticks_per_second,
        device_tree: Range {
            base: device_tree,
            length: tree_length,
        },
        features: isa::features(host.extensions, guest::environment(), host.blocks),
        seed: host.seed,
        nodes: host.nodes.words(),
    };
    let visit = trap::enter(kernel, hart);
    if let Err(error) = visit.boot(&plan) {
        refuse(format_args!("no first process: {}", error.reason()));
    }
    cores::run_first(hart, visit)
}

/// Makes `hart` core `core` and puts its address into tp.
fn set_current(core: usize, hart: u64) -> &'static PerCore {
    let Some(state) = percore::get(core) else {
        refuse(format_args!("too many harts"))
    };
    state.core.set(core as u64);
    state.hart.set(hart);
    state
        .stack
        .set(&raw const crate::entry::_boot_stack_end as u64);
    // SAFETY: tp is the kernel's own register; the kernel's code expects a `PerCore` in it.
    unsafe { core::arch::asm!("mv tp, {}", in(reg) core::ptr::from_ref(state)) };
    state
}

/// Returns bytes of physical memory through the direct map.
fn physical_bytes(base: u64, length: u64) -> &'static [u8] {
    let pointer = paging::virtual_of(base) as *const u8;
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: the caller names memory that firmware or the loader filled and that nobody writes;
    // the direct map shows it for ever.
    unsafe { slice::from_raw_parts(pointer, length) }
}

/// Returns the device tree that firmware passed.
fn tree_bytes(physical: u64) -> &'static [u8] {
    let header = physical_bytes(physical, 8);
    let length = header
        .get(4..8)
        .and_then(|length| length.try_into().ok())
        .map(u32::from_be_bytes);
    physical_bytes(physical, u64::from(length.unwrap_or(8)))
}

/// Takes what is in use out of the free memory.
fn keep_out(free: &mut Ranges, host: &Host<'_>, tree: Range) {
    let start = &raw const crate::entry::_image_start as u64;
    let end = &raw const crate::entry::_image_end as u64;
    let image = start - crate::entry::LOAD_OFFSET;
    free.remove(Range {
        base: image - BELOW,
        length: BELOW + (end - start),
    });
    free.remove(tree);
    if let Some(bundle) = host.bundle {
        free.remove(whole_pages(bundle));
    }
    for range in host.reserved.as_slice() {
        free.remove(*range);
    }
}

/// Makes the arena over all of memory; its kind bytes come out of the free memory.
fn make_arena(host: &Host<'_>, free: &mut Ranges) -> Arena {
    let (base, end) = host.memory.span();
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
    if let Some(bundle) = host.bundle {
        mark(&whole_pages(bundle));
    }
    let Some(pointer) = NonNull::new(paging::virtual_of(base) as *mut u8) else {
        refuse(format_args!("memory at address zero"))
    };
    // SAFETY: (1) the direct map shows all of memory for ever; (2) raw pages are those that
    // firmware, image and device tree leave free, and only the arena is told of them; stacks taken
    // afterwards are marked as reserved again; and the boot code's, which nobody carves before the
    // first process runs, when no hart executes it any more; (3) ranges are whole pages;
    // (4) this is the only arena.
    unsafe { Arena::new(pointer, (base, end - base), kinds, &SEATS) }
}

/// Starts all other harts and waits until those that the firmware started are ready.
fn start_harts(host: &Host<'_>, free: &mut Ranges) {
    guest::probe();
    machine::probe_asid();
    if host.too_many > 0 {
        let (more, most) = (host.too_many, abi::MAX_CORES);
        // A console that does not take it is no reason to stop.
        let _ = writeln!(
            sbi::Console,
            "skerry: {more} harts above {most} are not used"
        );
    }
    if let Some(warning) = host.nodes.warning() {
        let _ = writeln!(sbi::Console, "skerry: {warning}");
    }
    let mut expected = 0_u64;
    for (index, hart) in host.harts.iter().enumerate().skip(1) {
        let (Some(state), Some(stack)) = (percore::get(index), free.take(STACK_BYTES)) else {
            continue;
        };
        KERNEL
            .get()
            .expect("the kernel was made before")
            .arena()
            .reserve(stack, STACK_BYTES);
        state.core.set(index as u64);
        state.hart.set(*hart);
        state.stack.set(DIRECT_MAP + stack + STACK_BYTES);
        let address = _start_secondary as *const () as u64 - crate::entry::LOAD_OFFSET;
        if sbi::start_hart(*hart, address, paging::physical_of(state)) {
            expected |= 1 << index;
        }
    }
    let limit = csr::time() + host.ticks_per_second * 10;
    while READY.load(Ordering::Acquire) != expected && csr::time() < limit {
        core::hint::spin_loop();
    }
}

/// Tells the interrupt controller's driver where things are.
fn start_interrupts(host: &Host<'_>) {
    irq::plic::set_base(host.plic.map_or(0, |plic| plic.base));
    irq::aia::set_base(host.aplic.map_or(0, |aplic| aplic.base));
    for (core, context) in host.contexts.iter().enumerate() {
        irq::plic::set_context(core, *context);
        irq::aia::set_file(core, *context);
    }
}

/// Prints the banner.
fn announce(host: &Host<'_>, free: &Ranges) {
    let memory: u64 = free.as_slice().iter().map(|range| range.length).sum();
    let ready = READY.load(Ordering::Acquire).count_ones() + 1;
    let guests = if guest::is_supported() {
        "H extension"
    } else {
        "no H extension: no guests"
    };
    let sstc = if timer::has_sstc() {
        "Sstc"
    } else {
        "timer by firmware"
    };
    let printed = writeln!(
        sbi::Console,
        "skerry: {} on RISC-V, {ready} of {} harts, {} MiB free, {guests}, {sstc}",
        env!("CARGO_PKG_VERSION"),
        host.harts.len(),
        memory >> 20,
    );
    debug_assert!(printed.is_ok());
}
