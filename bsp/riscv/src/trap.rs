//! Traps: what happened, and what the hart does next.

use crate::cores::KERNEL;
use crate::entry::{_resume, _resume_with, _return_to, DIRECT_MAP};
use crate::guest::{self, FS};
use crate::machine::Riscv;
use crate::percore::{self, GUEST, PerCore, THREAD};
use crate::{csr, sbi};
use abi::fault::FaultKind;
use core::arch::asm;
use core::fmt::Write;
use core::mem::ManuallyDrop;
use kernel::arch::Trap;
use kernel::fast::{Fast, Message, Resume};
use kernel::object::vcpu::Vcpu;
use kernel::{Kernel, Next, Visit};
use riscv_regs::csr as number;

/// sstatus.SPP: the trap came from supervisor mode.
const SPP: u64 = 1 << 8;
/// sstatus.SPIE: interrupts are on after the return.
const SPIE: u64 = 1 << 5;
/// The bit of scause that tells interrupts.
const INTERRUPT: u64 = 1 << 63;
/// Interrupts that the kernel takes: software, timer, external.
pub const INTERRUPTS: u64 = 1 << 1 | 1 << 5 | 1 << 9;

/// Handles a trap out of a thread that is no system call, whose registers were saved.
pub extern "C" fn trap() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(hart));
    let what = thread_trap(&visit, csr::read!(number::SCAUSE));
    if let Trap::Fault {
        kind,
        address,
        cause,
    } = what
        && let Some(fast) = visit.fast_fault(kind, address, cause)
    {
        go_on(hart, &fast);
    }
    general(hart, what)
}

/// Handles a trap out of a guest, whose registers were saved.
pub extern "C" fn exit() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(hart));
    let what = guest_trap(&visit, csr::read!(number::SCAUSE));
    if let Trap::Exit(exit) = &what
        && let Some(fast) = visit.fast_exit(exit)
    {
        hart.mode.set(THREAD);
        leave_guest_mode();
        go_on(hart, &fast);
    }
    general(hart, what)
}

/// Makes a system call of a thread of which arguments, stack, global and thread pointer and program
/// counter were saved.
pub extern "C" fn call() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(hart));
    match visit.fast_call() {
        Some(Fast::Behind(resume)) => resume_thread(hart, &resume),
        _ => rare_call(),
    }
}

/// Makes a system call that is not one of the most frequent.
extern "C" fn rare_call() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(hart));
    match visit.fast_rare_call() {
        Some(fast) => go_on(hart, &fast),
        None => general(hart, Trap::Call),
    }
}

/// Leaves the kernel as a fast path says.
#[inline(always)]
fn go_on(hart: &PerCore, fast: &Fast<'_, Riscv>) -> ! {
    match fast {
        Fast::Behind(resume) => resume_thread(hart, resume),
        Fast::Message(message) => resume_with(hart, message),
        Fast::Thread(thread) => {
            return_to_thread(hart, &raw const thread.frame as u64, thread.frame.pc.get())
        }
        Fast::Guest(vcpu, page) => enter_guest(hart, DIRECT_MAP + page, guest_entry(vcpu)),
    }
}

/// Returns to a thread behind its system call.
#[inline(always)]
fn resume_thread(hart: &PerCore, resume: &Resume<'_, Riscv>) -> ! {
    let registers = &raw const resume.to.frame as u64;
    hart.frame.set(registers);
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this hart has
    // been in the kernel again; a thread made a call, so that sstatus sends this hart to user mode.
    unsafe {
        asm!(
            "j {resume}",
            resume = sym _resume,
            in("a0") registers,
            in("a7") resume.info,
            in("t0") resume.badge,
            in("t1") resume.count,
            in("t2") &raw const resume.from.frame,
            options(noreturn),
        )
    }
}

/// Returns to a thread behind its system call, with results of the kernel's.
#[inline(always)]
fn resume_with(hart: &PerCore, message: &Message<'_, Riscv>) -> ! {
    let registers = &raw const message.to.frame as u64;
    hart.frame.set(registers);
    let [first, second, third, fourth, fifth, sixth] = message.words;
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this hart has
    // been in the kernel again; sstatus sends this hart to user mode, for this is behind a trap of
    // a thread, or behind `leave_guest_mode`.
    unsafe {
        asm!(
            "j {resume}",
            resume = sym _resume_with,
            in("a0") registers,
            in("a1") first,
            in("a2") second,
            in("a3") third,
            in("a4") fourth,
            in("a5") fifth,
            in("a6") sixth,
            in("a7") message.info,
            in("t0") message.badge,
            in("t1") message.sequence,
            options(noreturn),
        )
    }
}

/// Handles a trap on the general path.
#[cold]
#[inline(never)]
fn general(hart: &PerCore, what: Trap) -> ! {
    let mut visit = enter_from_user(hart);
    visit.handle(what);
    drop(visit);
    leave(hart)
}

/// Returns the kernel.
#[inline(always)]
fn kernel() -> &'static Kernel<Riscv> {
    debug_assert!(KERNEL.is_completed());
    // SAFETY: traps come only after the kernel was made.
    unsafe { KERNEL.get_unchecked() }
}

/// Begins a kernel entry of this hart, which entered before.
#[inline(always)]
fn enter_from_user(hart: &PerCore) -> Visit<'static, Riscv> {
    let core = usize::try_from(hart.core.get()).unwrap_or(usize::MAX);
    // SAFETY: this hart entered at boot, before it ran a thread or a guest or waited (1); traps are
    // off in the kernel, which leaves no entry behind that is used again (2).
    kernel().visit(unsafe { kernel().arena().enter_alone(core) })
}

/// Begins a kernel entry of this hart.
pub fn enter<'a>(kernel: &'a Kernel<Riscv>, hart: &PerCore) -> Visit<'a, Riscv> {
    let core = usize::try_from(hart.core.get()).unwrap_or(usize::MAX);
    kernel
        .enter(core)
        .expect("a hart enters the kernel once at a time")
}

/// Returns what a trap out of a thread was.
fn thread_trap(visit: &Visit<'_, Riscv>, cause: u64) -> Trap {
    if let Some(thread) = visit.current_thread() {
        thread.frame.pc.set(csr::read!(number::SEPC));
    }
    let address = csr::read!(number::STVAL);
    let fault = |kind| Trap::Fault {
        kind,
        address,
        cause,
    };
    match cause {
        8 => Trap::Call,
        1 | 12 => fault(FaultKind::Fetch),
        2 => fault(FaultKind::IllegalInstruction),
        3 => fault(FaultKind::Breakpoint),
        0 | 4 | 6 => fault(FaultKind::Misaligned),
        5 | 13 => fault(FaultKind::Load),
        7 | 15 => fault(FaultKind::Store),
        _ if cause & INTERRUPT != 0 => interrupt(cause & !INTERRUPT),
        _ => fault(FaultKind::IllegalInstruction),
    }
}

/// Returns what a trap out of a guest was.
#[inline(always)]
fn guest_trap(visit: &Visit<'_, Riscv>, cause: u64) -> Trap {
    let Some(vcpu) = visit.current_vcpu() else {
        return Trap::Ipi;
    };
    let status = csr::read!(number::SSTATUS);
    vcpu.guest.pc.set(csr::read!(number::SEPC));
    vcpu.guest.supervisor.set(u64::from(status & SPP != 0));
    vcpu.guest.float_state.set(status & FS);
    if cause & INTERRUPT != 0 {
        return interrupt(cause & !INTERRUPT);
    }
    let registers = || visit.registers(vcpu).unwrap_or(&[]);
    Trap::Exit(guest::exit(&vcpu.guest, cause, registers))
}

/// Returns what an interrupt was.
fn interrupt(code: u64) -> Trap {
    match code {
        1 => {
            csr::clear!(number::SIP, 1 << 1);
            Trap::Ipi
        }
        5 => Trap::Timer,
        _ => Trap::External,
    }
}

/// Does what the kernel decided: returns to a thread, enters a guest, or waits for an interrupt.
pub fn leave(hart: &PerCore) -> ! {
    loop {
        let visit = enter_from_user(hart);
        match visit.next() {
            Next::Thread(thread) => {
                let registers = &raw const thread.frame as u64;
                let pc = thread.frame.pc.get();
                drop(visit);
                return_to_thread(hart, registers, pc);
            }
            Next::Guest(vcpu, page) => {
                let entry = guest_entry(vcpu);
                drop(visit);
                enter_guest(hart, DIRECT_MAP + page, entry);
            }
            Next::Idle => {
                drop(visit);
                let what = wait_for_interrupt();
                enter_from_user(hart).handle(what);
            }
        }
    }
}

/// Waits for an interrupt, with interrupts off, and returns which one it was.
fn wait_for_interrupt() -> Trap {
    loop {
        let pending = csr::read!(number::SIP) & csr::read!(number::SIE) & INTERRUPTS;
        if pending != 0 {
            let code = u64::from(pending.trailing_zeros());
            if code == 5 {
                // The timer stays pending until it is set again.
                crate::timer::set(u64::MAX);
            }
            return interrupt(code);
        }
        csr::wait_for_interrupt();
    }
}

/// Makes the next return from a trap one to a thread.
#[inline(always)]
fn leave_guest_mode() {
    csr::write!(number::HSTATUS, guest::hstatus() & !(1 << 7));
    csr::clear!(number::SSTATUS, SPP | FS);
}

/// Returns to a thread.
fn return_to_thread(hart: &PerCore, registers: u64, pc: u64) -> ! {
    hart.frame.set(registers);
    hart.mode.set(THREAD);
    csr::write!(number::SEPC, pc);
    leave_guest_mode();
    csr::set!(number::SSTATUS, SPIE);
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this hart has
    // been in the kernel again; sepc and sstatus send the hart to user mode.
    unsafe { _return_to(registers) }
}

/// Returns program counter and status bits for entering a guest.
fn guest_entry(vcpu: &Vcpu<Riscv>) -> (u64, u64) {
    let mode = if vcpu.guest.supervisor.get() != 0 {
        SPP
    } else {
        0
    };
    (
        vcpu.guest.pc.get(),
        mode | vcpu.guest.float_state.get() & FS,
    )
}

/// Enters a guest.
fn enter_guest(hart: &PerCore, registers: u64, (pc, status): (u64, u64)) -> ! {
    const SPVP: u64 = 1 << 8;
    hart.frame.set(registers);
    hart.mode.set(GUEST);
    csr::write!(number::SEPC, pc);
    let privilege = if status & SPP != 0 { SPVP } else { 0 };
    csr::write!(number::HSTATUS, guest::hstatus() | privilege);
    csr::clear!(number::SSTATUS, SPP | FS);
    csr::set!(number::SSTATUS, SPIE | status);
    // SAFETY: `registers` is the vCPU's register page, which the kernel keeps until this hart has
    // been in the kernel again; hstatus sends the hart to the guest.
    unsafe { _return_to(registers) }
}

/// Reports a trap inside the kernel, which is a bug.
pub extern "C" fn kernel_trap() -> ! {
    panic!(
        "trap in the kernel: cause {:#x}, pc {:#x}, value {:#x}",
        csr::read!(number::SCAUSE),
        csr::read!(number::SEPC),
        csr::read!(number::STVAL)
    )
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let core = percore::current();
    // Nobody is left to hear of a console that does not take it.
    let (file, line) = info
        .location()
        .map_or(("?", 0), |place| (place.file(), u64::from(place.line())));
    let _ = writeln!(
        sbi::Console,
        "\nskerry: panic on core {}: {file}:{line}: {}",
        core.core.get(),
        info.message(),
    );
    sbi::shut_down(true)
}
