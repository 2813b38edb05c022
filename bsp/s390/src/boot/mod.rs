//! From the first instruction of the boot CPU to the first process.
//!
//! The linker script puts all of this, and the kernel's part of it, into pages of their own: they
//! are given to the first process as memory. Nothing outside refers to it (`cargo xtask check sizes`
//! looks at every relocation).

mod information;

use crate::console::{self, Console, stop_machine};
use crate::control::{self, order};
use crate::cores::{self, KERNEL, NO_EXECUTE, READY};
use crate::entry::{
    _boot_end, _boot_stack_end, _image_end, _image_start, _start_secondary, FRAME_BYTES,
    STACK_BYTES,
};
use crate::machine::S390;
use crate::percore::{self, PerCore};
use crate::{sie, timer, trap};
use arena::{Arena, Seat};
use core::fmt::Write;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use information::Host;
use kernel::Kernel;
use kernel::boot::{BootPlan, Range};
use kernel::core_state::CoreState;
use kernel::ranges::{Ranges, whole_pages};
use s390_regs::{PswMask, feature, lowcore};

/// What the kernel knows of each core.
static CORES: [CoreState; abi::MAX_CORES] = [const { CoreState::new() }; abi::MAX_CORES];
/// Their seats in the arena.
static SEATS: [Seat; abi::MAX_CORES] = [const { Seat::new() }; abi::MAX_CORES];

/// Prints why the machine cannot be used, and stops it.
fn refuse(reason: core::fmt::Arguments<'_>) -> ! {
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(Console, "skerry: cannot start: {reason}");
    stop_machine(true)
}

/// Begins on the boot CPU, with a stack.
pub extern "C" fn boot_cpu() -> ! {
    let cpu = percore::current();
    cpu.core.set(0);
    cpu.stack
        .set(&raw const _boot_stack_end as u64 - FRAME_BYTES);
    cpu.control6.set(0);
    cpu.subclasses.set(0);
    cpu.in_guest.set(0);
    let own = control::own_address();
    percore::set_cpu_address(0, own);
    cores::start_cpu_state(cpu);
    console::initialise();
    let host = match Host::read(own) {
        Ok(host) => host,
        Err(reason) => refuse(format_args!("{reason}")),
    };
    let has_guests = host.has_sie && sie::probe();
    let (mut free, all) = memory_of(&host);
    let arena = make_arena(&host, all, &mut free);
    let kernel = KERNEL.call_once(|| Kernel::new(S390, arena, &CORES));
    start_cpus(&host, &mut free);
    announce(&host, &free, has_guests);
    kernel.core_online(0);
    for index in 1..host.cpus.len() {
        if READY.load(Ordering::Acquire) >> index & 1 == 1 {
            kernel.core_online(index);
        }
    }
    boot_first(kernel, cpu, &host, &free)
}

/// Makes the first process and runs it.
fn boot_first(kernel: &'static Kernel<S390>, cpu: &PerCore, host: &Host, free: &Ranges) -> ! {
    let Some(bundle) = host.bundle else {
        refuse(format_args!(
            "no boot bundle: the loader passed no initial ramdisk"
        ))
    };
    let [control0, _] = &cpu.control;
    let features = if control0.get() & NO_EXECUTE != 0 {
        feature::NO_EXECUTE
    } else {
        0
    };
    let mut memory = free.clone();
    memory.add(boot_code());
    let plan = BootPlan {
        memory: memory.as_slice(),
        devices: &[],
        bundle: whole_pages(bundle),
        bytes: physical_bytes(bundle),
        ticks_per_second: timer::TICKS_PER_SECOND,
        device_tree: Range { base: 0, length: 0 },
        features: [features, 0, 0, 0],
        // The architecture's firmware hands over none.
        seed: [0; 4],
        // Its memory is all of one kind: it tells of no nodes.
        nodes: &[],
    };
    let visit = trap::enter(kernel, cpu);
    if let Err(error) = visit.boot(&plan) {
        refuse(format_args!("no first process: {}", error.reason()));
    }
    cores::run_first(cpu, visit)
}

/// Returns bytes of physical memory.
fn physical_bytes(range: Range) -> &'static [u8] {
    let length = usize::try_from(range.length).unwrap_or(0);
    // SAFETY: the caller names memory that the loader filled and that nobody writes; with DAT off
    // it is there for ever.
    unsafe { slice::from_raw_parts(range.base as *const u8, length) }
}

/// Returns the pages of the code that only runs before the first process: the image's first.
fn boot_code() -> Range {
    let base = &raw const _image_start as u64;
    Range {
        base,
        length: &raw const _boot_end as u64 - base,
    }
}

/// Returns the memory that nobody uses yet, and all that lies behind the entry.
fn memory_of(host: &Host) -> (Ranges, Range) {
    let base = &raw const _image_start as u64;
    let all = Range {
        base,
        length: host.memory.saturating_sub(base),
    };
    let mut free = Ranges::default();
    free.add(all);
    free.remove(Range {
        base,
        length: &raw const _image_end as u64 - base,
    });
    if let Some(bundle) = host.bundle {
        free.remove(whole_pages(bundle));
    }
    (free, all)
}

/// Makes the arena over all of memory behind the entry; its kind bytes come out of the free memory.
fn make_arena(host: &Host, all: Range, free: &mut Ranges) -> Arena {
    let pages = all.length / abi::PAGE_SIZE;
    let Some(kinds_at) = free.take(pages.next_multiple_of(abi::PAGE_SIZE)) else {
        refuse(format_args!("too little memory"))
    };
    let pointer = kinds_at as *const AtomicU8;
    // SAFETY: the range was just taken out of the free memory, so that nobody else uses it; an
    // atomic byte has no invalid value.
    let kinds = unsafe { slice::from_raw_parts(pointer, usize::try_from(pages).unwrap_or(0)) };
    for kind in kinds {
        kind.store(arena::RESERVED, Ordering::Relaxed);
    }
    let mark = |range: &Range| {
        let first = usize::try_from((range.base - all.base) / abi::PAGE_SIZE).unwrap_or(0);
        let count = usize::try_from(range.length / abi::PAGE_SIZE).unwrap_or(0);
        for kind in kinds.iter().skip(first).take(count) {
            kind.store(arena::RAW, Ordering::Relaxed);
        }
    };
    free.as_slice().iter().for_each(mark);
    mark(&boot_code());
    if let Some(bundle) = host.bundle {
        mark(&whole_pages(bundle));
    }
    let Some(pointer) = NonNull::new(all.base as *mut u8) else {
        refuse(format_args!("memory at address zero"))
    };
    // SAFETY: (1) with DAT off all of memory is there for ever; (2) raw pages are those that image
    // and loader leave free, and only the arena is told of them; prefix areas and stacks taken
    // afterwards are marked as reserved again; and the boot code's, which nobody carves before the
    // first process runs, when no CPU executes it any more; (3) ranges are whole pages;
    // (4) this is the only arena.
    unsafe { Arena::new(pointer, (all.base, all.length), kinds, &SEATS) }
}

/// Takes memory that is used for ever, whose address is a multiple of `align`.
fn take_for_ever(free: &mut Ranges, bytes: u64, align: u64) -> Option<u64> {
    let taken = bytes + align - abi::PAGE_SIZE;
    let base = free.take(taken)?;
    let arena = KERNEL.get().expect("the kernel was made before").arena();
    arena.reserve(base, taken);
    Some(base.next_multiple_of(align))
}

/// Starts all other CPUs and waits until those that were started are ready.
fn start_cpus(host: &Host, free: &mut Ranges) {
    if host.too_many > 0 {
        let (more, most) = (host.too_many, abi::MAX_CORES);
        // A console that does not take it is no reason to stop.
        let _ = writeln!(Console, "skerry: {more} CPUs above {most} are not used");
    }
    let mut expected = 0_u64;
    for (core, address) in host.cpus.iter().enumerate().skip(1) {
        let prefix = take_for_ever(free, lowcore::BYTES, lowcore::BYTES);
        let stack = take_for_ever(free, STACK_BYTES, abi::PAGE_SIZE);
        let (Some(prefix), Some(stack)) = (prefix, stack) else {
            continue;
        };
        prepare_prefix(prefix, core, stack + STACK_BYTES - FRAME_BYTES);
        percore::set_cpu_address(core, *address);
        let cpu = u64::from(*address);
        if control::signal(cpu, order::SET_PREFIX, prefix)
            && control::signal(cpu, order::RESTART, 0)
        {
            expected |= 1 << core;
        }
    }
    let limit = timer::now() + 10 * timer::TICKS_PER_SECOND;
    while READY.load(Ordering::Acquire) != expected && timer::now() < limit {
        core::hint::spin_loop();
    }
}

/// Fills the prefix area of a CPU that has not started: new PSWs as this CPU's, but for the restart
/// PSW, and where its stack is.
fn prepare_prefix(prefix: u64, core: usize, stack: u64) {
    let words = usize::try_from(lowcore::BYTES / 8).unwrap_or(0);
    // SAFETY: the memory was taken for this, 8 KiB; atomics have no invalid value.
    let area = unsafe { slice::from_raw_parts(prefix as *const AtomicU64, words) };
    area.iter()
        .for_each(|word| word.store(0, Ordering::Relaxed));
    let new = usize::try_from(lowcore::NEW / 8).unwrap_or(0);
    for (index, word) in area.iter().enumerate().skip(new).take(12) {
        word.store(percore::stored(index as u64 * 8), Ordering::Relaxed);
    }
    let restart = [
        PswMask::BITS_64.into_bits(),
        _start_secondary as *const () as u64,
    ];
    for (word, value) in area.iter().skip(new).zip(restart) {
        word.store(value, Ordering::Relaxed);
    }
    let cpu = percore::of_stopped(prefix);
    cpu.core.set(core as u64);
    cpu.stack.set(stack);
}

/// Prints the banner.
fn announce(host: &Host, free: &Ranges, has_guests: bool) {
    let memory: u64 = free.as_slice().iter().map(|range| range.length).sum();
    let ready = READY.load(Ordering::Acquire).count_ones() + 1;
    let guests = if has_guests {
        "guests by SIE"
    } else {
        "no SIE: no guests"
    };
    let printed = writeln!(
        Console,
        "skerry: {} on s390x, {ready} of {} CPUs, {} MiB free, {guests}",
        env!("CARGO_PKG_VERSION"),
        host.cpus.len(),
        memory >> 20,
    );
    debug_assert!(printed.is_ok());
}
