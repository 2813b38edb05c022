//! Traps: what happened, and what the core does next.

use crate::boot::KERNEL;
use crate::entry::{_return_from_call, _return_to, SYSTEM_CALL};
use crate::frame::{X86Frame, offset};
use crate::guest::X86Guest;
use crate::machine::X86;
use crate::percore::{self, PerCore, pending};
use crate::{apic, console, cpu, paging, power, timer};
use abi::fault::FaultKind;
use core::fmt::Write;
use core::sync::atomic::AtomicU64;
use kernel::arch::Trap;
use kernel::{Kernel, Next, Visit};

/// First vector of interrupts; those below are exceptions.
const FIRST_INTERRUPT: u64 = 32;
/// Vector of a page fault.
const PAGE_FAULT: u64 = 14;
/// Page-fault error code: the access was a store.
const STORE: u64 = 1 << 1;
/// Page-fault error code: the access was a fetch.
const FETCH: u64 = 1 << 4;

/// Non-maskable interrupts since the start.
pub static NMI_COUNT: AtomicU64 = AtomicU64::new(0);

/// Handles a trap out of a thread, whose registers were saved.
pub extern "C" fn trap() -> ! {
    let core = percore::current();
    let kernel = kernel();
    // SAFETY: `frame` is that of the thread that ran, whose object the kernel keeps until this core
    // has been in the kernel again.
    let frame = unsafe { &*(core.frame.get() as *const X86Frame) };
    let what = thread_trap(core, frame);
    let mut visit = enter(kernel, core);
    visit.handle(what);
    leave(kernel, core, visit)
}

/// Returns the kernel.
fn kernel() -> &'static Kernel<X86> {
    KERNEL
        .get()
        .expect("traps come only after the kernel was made")
}

/// Begins a kernel entry of this core.
pub fn enter<'a>(kernel: &'a Kernel<X86>, core: &PerCore) -> Visit<'a, X86> {
    let core = usize::try_from(core.core.get()).unwrap_or(usize::MAX);
    kernel
        .enter(core)
        .expect("a core enters the kernel once at a time")
}

/// Returns what a trap out of a thread was.
fn thread_trap(core: &PerCore, frame: &X86Frame) -> Trap {
    let (vector, error) = (frame.vector.get(), frame.error.get());
    if vector == SYSTEM_CALL {
        return Trap::Call;
    }
    if vector >= FIRST_INTERRUPT {
        return reason(note(core, vector));
    }
    let fault = |kind, address| Trap::Fault {
        kind,
        address,
        cause: error << 8 | vector,
    };
    match vector {
        PAGE_FAULT => {
            let address = cpu::fault_address();
            match (error & FETCH != 0, error & STORE != 0) {
                (true, _) => fault(FaultKind::Fetch, address),
                (false, true) => fault(FaultKind::Store, address),
                (false, false) => fault(FaultKind::Load, address),
            }
        }
        1 => fault(FaultKind::Breakpoint, frame.rip.get()),
        3 => {
            // It is a trap: the frame says where it would go on.
            frame.rip.set(frame.rip.get().wrapping_sub(1));
            fault(FaultKind::Breakpoint, frame.rip.get())
        }
        17 => fault(FaultKind::Misaligned, 0),
        _ => fault(FaultKind::IllegalInstruction, 0),
    }
}

/// Notes an interrupt; those of this kernel's own are ended at the APIC.
fn note(core: &PerCore, vector: u64) -> u64 {
    match vector {
        apic::TIMER => {
            apic::end_of_interrupt();
            if timer::has_passed(core) {
                pending::TIMER
            } else {
                pending::IPI
            }
        }
        apic::IPI => {
            apic::end_of_interrupt();
            pending::IPI
        }
        _ => pending::EXTERNAL,
    }
}

/// Returns why the kernel is entered for one of the bits of [`pending`].
const fn reason(bits: u64) -> Trap {
    match bits {
        pending::TIMER => Trap::Timer,
        pending::EXTERNAL => Trap::External,
        _ => Trap::Ipi,
    }
}

/// What the stubs leave on the stack for a trap in the kernel.
#[repr(C)]
pub struct KernelTrap {
    vector: u64,
    error: u64,
    rip: u64,
}

/// Notes an interrupt that came while the kernel let it; anything else is a bug.
pub extern "C" fn kernel_trap(trap: &KernelTrap) {
    if trap.vector >= FIRST_INTERRUPT {
        let core = percore::current();
        core.pending
            .set(core.pending.get() | note(core, trap.vector));
        return;
    }
    panic!(
        "trap in the kernel: vector {}, error {:#x}, at {:#x}, address {:#x}",
        trap.vector,
        trap.error,
        trap.rip,
        cpu::fault_address()
    )
}

/// Reports a double fault or a machine check; `words` is what the processor saved.
pub extern "C" fn fatal_trap(words: &[u64; 4]) -> ! {
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(
        console::Console,
        "\nskerry: panic: double fault or machine check, at {:#x}, {:#x}, {:#x}",
        words[0],
        words[1],
        words[2]
    );
    power::off(true)
}

/// Does what the kernel decided: returns to a thread, or waits for an interrupt.
pub fn leave(kernel: &'static Kernel<X86>, core: &PerCore, first: Visit<'_, X86>) -> ! {
    let mut visit = first;
    loop {
        let what = match visit.next() {
            Next::Thread(thread) if thread.frame.can_return() => {
                let frame = &raw const thread.frame as u64;
                let from_call = thread.frame.prepare();
                drop(visit);
                return_to_thread(core, frame, from_call);
            }
            Next::Thread(thread) => Trap::Fault {
                kind: FaultKind::Fetch,
                address: thread.frame.rip.get(),
                cause: PAGE_FAULT,
            },
            Next::Guest(vcpu, page) => {
                let (guest, object) = (&raw const vcpu.guest, page);
                drop(visit);
                let what = run_guest(core, guest, object);
                visit = enter(kernel, core);
                what
            }
            Next::Idle => {
                drop(visit);
                let what = wait_for_interrupt(core);
                visit = enter(kernel, core);
                what
            }
        };
        visit.handle(what);
    }
}

/// Runs a guest until it leaves, and returns why; `page` has its general registers.
fn run_guest(core: &PerCore, guest: *const X86Guest, page: u64) -> Trap {
    // SAFETY: the guest is that of the current vCPU, which the kernel keeps until this core has been
    // in the kernel again; it is made of atomics.
    let guest = unsafe { &*guest };
    let registers = paging::virtual_of(page) as *const [AtomicU64; 16];
    // SAFETY: so is the page; a server that shares it writes whole words.
    let registers = unsafe { &*registers };
    match guest.run(core, registers) {
        Some(exit) => Trap::Exit(exit),
        None => {
            cpu::take_interrupts();
            take_pending(core).unwrap_or(Trap::Ipi)
        }
    }
}

/// Returns one of the interrupts that were noted.
fn take_pending(core: &PerCore) -> Option<Trap> {
    let bits = core.pending.get();
    let lowest = bits & bits.wrapping_neg();
    core.pending.set(bits & !lowest);
    (bits != 0).then(|| reason(lowest))
}

/// Waits for an interrupt and returns which one it was.
fn wait_for_interrupt(core: &PerCore) -> Trap {
    loop {
        if let Some(what) = take_pending(core) {
            return what;
        }
        cpu::wait_for_interrupt();
    }
}

/// Returns to a thread.
fn return_to_thread(core: &PerCore, frame: u64, from_call: bool) -> ! {
    core.frame.set(frame);
    core.descriptors.set_frame_end(frame + offset::END as u64);
    if from_call {
        // SAFETY: `frame` is that of a thread, whose object the kernel keeps until this core has
        // been in the kernel again; it can return, and a system call filled it.
        unsafe { _return_from_call(frame) }
    }
    // SAFETY: as above; its segments are those of user mode.
    unsafe { _return_to(frame) }
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(
        console::Console,
        "\nskerry: panic on core {}: {info}",
        apic::own_number()
    );
    power::off(true)
}
