//! Traps: what happened, and what the CPU does next.

use crate::boot::KERNEL;
use crate::console::{Console, stop_machine};
use crate::control::{self, order};
use crate::entry::{_return_to, _wait, kind};
use crate::guest::S390Guest;
use crate::machine::S390;
use crate::percore::{self, PerCore};
use crate::sie::Left;
use crate::{irq, paging, sclp};
use abi::fault::FaultKind;
use arena::Handle;
use core::fmt::Write;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use kernel::arch::Trap;
use kernel::object::thread::Thread;
use kernel::{Kernel, Next, Visit};
use s390_regs::lowcore::{self, external};
use s390_regs::{Identification, ProgramException, PswMask};

/// What a thread's PSW has beside its own condition code and program mask.
const USER: u64 = PswMask::BITS_64
    .with_translation(true)
    .with_input_output(true)
    .with_external(true)
    .with_machine_check(true)
    .with_problem(true)
    .into_bits();
/// The mask of an idle CPU's PSW.
const IDLE: u64 = PswMask::BITS_64
    .with_input_output(true)
    .with_external(true)
    .with_wait(true)
    .into_bits();
/// Bytes of the SVC instruction.
const CALL_BYTES: u64 = 2;

/// Handles a trap out of a thread, whose registers were saved.
pub extern "C" fn trap(what: u64) -> ! {
    let cpu = percore::current();
    let kernel = kernel();
    let mut visit = enter(kernel, cpu);
    let thread = Handle::<Thread<S390>>::from_address(cpu.object.get());
    let thread = visit.entry.get(thread.expect("a thread trapped"));
    let trap = match what {
        kind::CALL => call(thread),
        kind::PROGRAM => fault(thread),
        _ => interrupt(what),
    };
    visit.handle(trap);
    leave(kernel, cpu, visit)
}

/// Returns the kernel.
fn kernel() -> &'static Kernel<S390> {
    KERNEL
        .get()
        .expect("traps come only after the kernel was made")
}

/// Begins a kernel entry of this CPU.
pub fn enter<'a>(kernel: &'a Kernel<S390>, cpu: &PerCore) -> Visit<'a, S390> {
    let core = usize::try_from(cpu.core.get()).unwrap_or(usize::MAX);
    kernel
        .enter(core)
        .expect("a CPU enters the kernel once at a time")
}

/// Returns a supervisor call as a trap: the program counter goes back to it, so that it can be made
/// again. One that EXECUTE ran is no call: its address cannot be told from its length.
fn call(thread: &Thread<S390>) -> Trap {
    let length = percore::stored(lowcore::CODES) >> 48;
    thread.frame.retreat(length);
    if length == CALL_BYTES {
        return Trap::Call;
    }
    Trap::Fault {
        kind: FaultKind::IllegalInstruction,
        address: 0,
        cause: 0,
    }
}

/// Returns a program interruption as a trap; the program counter goes to the instruction.
fn fault(thread: &Thread<S390>) -> Trap {
    let codes = percore::stored(lowcore::CODES);
    let (length, code) = (codes >> 16 & 6, codes as u16 & !0x80);
    let exception = ProgramException::of(code);
    if exception.is_behind() {
        thread.frame.retreat(length);
    }
    let identification = Identification(percore::stored(lowcore::TRANSLATION_EXCEPTION));
    let (kind, address) = match exception {
        ProgramException::Operation => (kind_of_operation(thread.frame.program_counter()), 0),
        ProgramException::Specification => (FaultKind::Misaligned, 0),
        ProgramException::Addressing => (FaultKind::Load, 0),
        ProgramException::Protection if identification.is_protected_fetch() => {
            (FaultKind::Fetch, thread.frame.program_counter())
        }
        ProgramException::Protection => (FaultKind::Store, identification.page()),
        ProgramException::Translation => (
            kind_of_access((thread.frame.program_counter(), length), identification),
            identification.page(),
        ),
    };
    let cause = u64::from(code);
    Trap::Fault {
        kind,
        address,
        cause,
    }
}

/// Returns what an instruction that cannot be executed was: the machine has none for breakpoints,
/// and debuggers use this one.
fn kind_of_operation(address: u64) -> FaultKind {
    const BREAKPOINT: u16 = 0x0001;
    if paging::instruction_at(address) == Some(BREAKPOINT) {
        FaultKind::Breakpoint
    } else {
        FaultKind::IllegalInstruction
    }
}

/// Returns what an access of the instruction at `at` was, which has no translation. The page that an
/// instruction lies in cannot be missing but for its own fetch.
fn kind_of_access((at, length): (u64, u64), identification: Identification) -> FaultKind {
    let page_of = |address: u64| address & !(abi::PAGE_SIZE - 1);
    let last = at.wrapping_add(length.saturating_sub(1));
    if [page_of(at), page_of(last)].contains(&identification.page()) {
        FaultKind::Fetch
    } else if identification.is_store() {
        FaultKind::Store
    } else {
        FaultKind::Load
    }
}

/// Returns what an interruption was.
fn interrupt(what: u64) -> Trap {
    if what == kind::INPUT_OUTPUT {
        irq::note_input_output();
        return Trap::External;
    }
    match sclp::external_code() {
        external::CLOCK_COMPARATOR => return Trap::Timer,
        external::SERVICE_SIGNAL => {
            sclp::note_events();
            irq::note_service_signal();
        }
        _ => {}
    }
    if irq::is_pending() {
        Trap::External
    } else {
        Trap::Ipi
    }
}

/// Does what the kernel decided: returns to a thread, or waits for an interruption.
pub fn leave(kernel: &'static Kernel<S390>, cpu: &PerCore, first: Visit<'_, S390>) -> ! {
    let mut visit = first;
    loop {
        match visit.next() {
            Next::Thread(thread) => {
                let object = &raw const *thread as u64;
                let psw = thread.frame.psw();
                drop(visit);
                return_to_thread(cpu, object, psw);
            }
            Next::Guest(vcpu, page) => {
                let guest = &raw const vcpu.guest;
                drop(visit);
                let what = run_guest(cpu, guest, page);
                visit = enter(kernel, cpu);
                visit.handle(what);
            }
            Next::Idle => {
                drop(visit);
                // SAFETY: the mask is the kernel's own (1), and the interruption is handled (2).
                let what = unsafe { _wait(IDLE) };
                let what = interrupt(what.unsigned_abs());
                visit = enter(kernel, cpu);
                visit.handle(what);
            }
        }
    }
}

/// Runs a guest until it leaves, and returns why; `page` has its general registers.
fn run_guest(cpu: &PerCore, guest: *const S390Guest, page: u64) -> Trap {
    // SAFETY: the guest is that of the current vCPU, which the kernel keeps until this CPU has been
    // in the kernel again; it is made of atomics.
    let guest = unsafe { &*guest };
    // SAFETY: so is the page, at its real address; a server that shares it writes whole words.
    let registers = unsafe { &*(page as *const [AtomicU64; 16]) };
    match guest.run(cpu, registers) {
        Left::Program => Trap::Exit(guest.missing_memory()),
        Left::Intercepted => guest.exit().map_or(Trap::Ipi, Trap::Exit),
        Left::Interrupted(kind) => {
            let interruption = interrupt(kind);
            let Some(exit) = guest.exit() else {
                return interruption;
            };
            // It came when the guest had left already, and is noted; the exit goes first.
            control::signal(
                u64::from(control::own_address()),
                order::EMERGENCY_SIGNAL,
                0,
            );
            Trap::Exit(exit)
        }
    }
}

/// Returns to a thread.
fn return_to_thread(cpu: &PerCore, object: u64, (mask, address): (u64, u64)) -> ! {
    let registers = object + offset_of!(Thread<S390>, frame) as u64;
    cpu.frame.set(registers);
    cpu.object.set(object);
    let [mask_word, address_word] = &cpu.return_psw;
    mask_word.set(USER | mask);
    address_word.set(address);
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this CPU has
    // been in the kernel again (1); the PSW is a thread's: problem state, with DAT (2).
    unsafe { _return_to(registers) }
}

/// Reports a program interruption inside the kernel, which is a bug.
pub extern "C" fn kernel_trap() -> ! {
    panic!(
        "trap in the kernel: codes {:#x}, psw {:#x} {:#x}, address {:#x}",
        percore::stored(lowcore::CODES),
        percore::stored(lowcore::PROGRAM_OLD),
        percore::stored(lowcore::PROGRAM_OLD + 8),
        percore::stored(lowcore::TRANSLATION_EXCEPTION)
    )
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let core = percore::current().core.get();
    // Nobody is left to hear of a console that does not take it.
    let _ = writeln!(Console, "\nskerry: panic on core {core}: {info}");
    stop_machine(true)
}
