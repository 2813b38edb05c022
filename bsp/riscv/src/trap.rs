//! Traps: what happened, and what the hart does next.

use crate::cores::KERNEL;
use crate::entry::{_resume, _return_behind, _return_to, _save_arguments, DIRECT_MAP, SPP};
use crate::frame::RiscvFrame;
use crate::guest::{self, FS};
use crate::machine::Riscv;
use crate::percore::{self, GUEST, PerCore, THREAD};
use crate::{csr, sbi};
use abi::CallNumber;
use abi::fault::FaultKind;
use abi::message::REGISTER_WORDS;
use arena::Seat;
use core::arch::asm;
use core::mem::{ManuallyDrop, offset_of};
use kernel::arch::{Trap, UserFrame};
use kernel::core_state::CoreState;
use kernel::fast::{Fast, Message, Resume, is_long};
use kernel::object::thread::Thread;
use kernel::object::vcpu::Vcpu;
use kernel::{Kernel, Next, Visit};
use report::Part;
use riscv_regs::csr as number;

/// sstatus.SPIE: interrupts are on after the return.
const SPIE: u64 = 1 << 5;
/// The bit of scause that tells interrupts.
const INTERRUPT: u64 = 1 << 63;
/// Interrupts that the kernel takes: software, timer, external.
pub const INTERRUPTS: u64 = 1 << 1 | 1 << 5 | 1 << 9;

/// Handles a trap out of a thread that is no system call, whose registers were saved.
pub extern "C" fn trap() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let what = thread_trap(thread, csr::read!(number::SCAUSE));
    if let Some(fast) = visit.fast_fault(thread, what) {
        go_on(hart, &fast);
    }
    general(hart, what)
}

/// Handles a trap out of a guest, whose registers were saved.
pub extern "C" fn exit() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let Some(vcpu) = visit.current_vcpu() else {
        general(hart, Trap::Ipi)
    };
    let cause = csr::read!(number::SCAUSE);
    note_exit(vcpu);
    if cause & INTERRUPT != 0 {
        general(hart, interrupt(cause & !INTERRUPT));
    }
    let exit = guest::exit(&vcpu.guest, cause);
    if let Some(fast) = visit.fast_exit(vcpu, &exit) {
        hart.mode.set(THREAD);
        leave_guest_mode();
        go_on(hart, &fast);
    }
    general(hart, Trap::Exit(exit))
}

/// Goes on elsewhere with a system call whose arguments are not saved yet.
macro_rules! jump_with_arguments {
    ($to:path, $target:expr, $words:expr, $word:expr) => {{
        let [first, second, third, fourth, fifth, sixth] = $words;
        asm!(
            "j {to}",
            to = sym $to,
            in("a0") $target,
            in("a1") first,
            in("a2") second,
            in("a3") third,
            in("a4") fourth,
            in("a5") fifth,
            in("a6") sixth,
            in("a7") $word,
            options(noreturn),
        )
    }};
}

/// Declares functions that make system calls of a thread of which argument 7, stack, global and
/// thread pointer and program counter were saved; the other arguments are in the registers that they
/// came in. Entry code knows the call's number. What
/// the first attempt does not make goes to the last function, or to that of an answer to a guest.
macro_rules! system_calls {
    ($(
        $(#[$meta:meta])*
        $name:ident: $number:expr, $first:ident if $when:expr, $then:ident
        $(, $answer:ident if $answers:ident)?;
    )+) => {$(
        $(#[$meta])*
        pub extern "C" fn $name(
            target: u64,
            first: u64,
            second: u64,
            third: u64,
            fourth: u64,
            fifth: u64,
            sixth: u64,
            word: u64,
        ) -> ! {
            let words = [first, second, third, fourth, fifth, sixth];
            if $when(word >> 32) {
                // SAFETY: the registers are what it takes.
                unsafe { jump_with_arguments!($first, target, words, word) }
            }
            let visit = ManuallyDrop::new(enter_from_user());
            let known = word & !0xff | const { $number as u64 };
            match visit.fast_call::<false, false>(current_thread(), [target, known]) {
                Some(Fast::Behind(resume)) => resume_thread(&resume, words),
                Some(Fast::Message(message)) => resume_with(&message),
                $(
                    _ if visit.$answers(current_thread()).is_some() => {
                        // SAFETY: they are what it takes.
                        unsafe { jump_with_arguments!($answer, target, words, word) }
                    }
                )?
                // SAFETY: they are what it takes; `_save_arguments` fills the frame of the thread that
                // made the call.
                _ => unsafe { jump_with_arguments!($then, target, words, word) },
            }
        }
    )+};
}

system_calls! {
    /// Makes a call of an endpoint.
    call: CallNumber::Call, long_call if is_long, _save_arguments;
    /// Makes a reply and receive.
    reply_receive: CallNumber::ReplyReceive, long_call if is_long, _save_arguments,
        answer if answered_guest;
    /// Makes a signal.
    signal: CallNumber::Signal, wake if never, wake;
    /// Says which version and core this is.
    identify: CallNumber::Identify, _save_arguments if never, _save_arguments;
}

/// Does what [`call`] does for a long message: it puts registers aside for that.
pub extern "C" fn long_call(
    target: u64,
    first: u64,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
    sixth: u64,
    word: u64,
) -> ! {
    let visit = ManuallyDrop::new(enter_from_user());
    let words = [first, second, third, fourth, fifth, sixth];
    match visit.fast_call::<false, true>(current_thread(), [target, word]) {
        Some(Fast::Behind(resume)) => resume_thread(&resume, words),
        // SAFETY: as in `call`.
        _ => unsafe { jump_with_arguments!(_save_arguments, target, words, word) },
    }
}

/// Does what [`signal`] does where somebody waits: it puts registers aside for that.
pub extern "C" fn wake(
    target: u64,
    first: u64,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
    sixth: u64,
    word: u64,
) -> ! {
    let visit = ManuallyDrop::new(enter_from_user());
    let words = [first, second, third, fourth, fifth, sixth];
    match visit.fast_wake(current_thread(), target) {
        Some(Fast::Message(message)) => resume_with(&message),
        // SAFETY: as in `call`.
        _ => unsafe { jump_with_arguments!(_save_arguments, target, words, word) },
    }
}

/// Does what [`reply_receive`] does where a guest goes on: it puts registers aside for that.
pub extern "C" fn answer(
    target: u64,
    first: u64,
    second: u64,
    third: u64,
    fourth: u64,
    fifth: u64,
    sixth: u64,
    word: u64,
) -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let words = [first, second, third, fourth, fifth, sixth];
    let at = |index: usize| words.get(index).copied().unwrap_or(0);
    match visit.fast_answer(current_thread(), [target, word >> 32], at) {
        Some(Fast::Guest(vcpu, page)) => enter_guest(hart, DIRECT_MAP + page, guest_entry(vcpu)),
        Some(Fast::Message(message)) => resume_with(&message),
        // It is no other: an answer lets a guest go on, or a server serve it.
        // SAFETY: as in `call`.
        _ => unsafe { jump_with_arguments!(_save_arguments, target, words, word) },
    }
}

/// The calls that have a first attempt whatever their information word.
const fn never(_: u64) -> bool {
    false
}

/// Returns the thread that made a system call.
#[inline(always)]
fn current_thread() -> &'static Thread<Riscv> {
    let frame = percore::frame() as usize;
    let thread = (frame - offset_of!(Thread<Riscv>, frame)) as *const Thread<Riscv>;
    // SAFETY: what this hart runs is a thread, and `frame` that thread's, whose object the kernel
    // keeps until this hart has been in the kernel again.
    unsafe { &*thread }
}

/// Makes a system call that is not one of the most frequent.
pub extern "C" fn rare_call() -> ! {
    let hart = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let frame = &thread.frame;
    match visit.fast_call::<true, true>(thread, [frame.argument(0), frame.call_word()]) {
        Some(fast) => go_on(hart, &fast),
        None => general(hart, Trap::Call),
    }
}

/// Leaves the kernel as a fast path says.
#[inline(always)]
fn go_on(hart: &PerCore, fast: &Fast<'_, Riscv>) -> ! {
    match fast {
        Fast::Behind(resume) => {
            let words = core::array::from_fn(|index| resume.from.frame.argument(index + 1));
            resume_thread(resume, words)
        }
        Fast::Message(message) => resume_with(message),
        Fast::Thread(thread) => return_to_thread(hart, &thread.frame),
        Fast::Guest(vcpu, page) => enter_guest(hart, DIRECT_MAP + page, guest_entry(vcpu)),
    }
}

/// Returns to a thread behind its system call, with words of the caller's.
#[inline(always)]
fn resume_thread(resume: &Resume<'_, Riscv>, words: [u64; REGISTER_WORDS]) -> ! {
    resume_with(&Message {
        to: resume.to,
        words,
        info: resume.info,
        badge: resume.badge,
        sequence: 0,
    })
}

/// Returns to a thread behind its system call, with these results.
#[inline(always)]
fn resume_with(message: &Message<'_, Riscv>) -> ! {
    let registers = &raw const message.to.frame as u64;
    let [first, second, third, fourth, fifth, sixth] = message.words;
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this hart has
    // been in the kernel again; sstatus sends this hart to user mode, for this is behind a trap of
    // a thread, or behind `leave_guest_mode`.
    unsafe {
        asm!(
            "j {resume}",
            resume = sym _resume,
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
    let mut visit = enter_from_user();
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
fn enter_from_user() -> Visit<'static, Riscv> {
    // SAFETY: `enter` put this hart's seat there, before the hart ran a thread or a guest or waited.
    let seat = unsafe { &*(percore::seat() as *const Seat) };
    // SAFETY: and its state, another static.
    let state = unsafe { &*(percore::state() as *const CoreState) };
    // SAFETY: this hart entered at boot (1); traps are off in the kernel, which leaves no entry
    // behind that is used again (2).
    let entry = unsafe { kernel().arena().enter_alone(seat) };
    kernel().visit(entry, state)
}

/// Begins a kernel entry of this hart, which may be its first.
pub fn enter(kernel: &'static Kernel<Riscv>, hart: &PerCore) -> Visit<'static, Riscv> {
    let core = usize::try_from(hart.core.get()).unwrap_or(usize::MAX);
    if let Some((seat, state)) = kernel.place_of(core) {
        hart.seat.set(core::ptr::from_ref(seat) as u64);
        hart.state.set(core::ptr::from_ref(state) as u64);
    }
    kernel
        .enter(core)
        .expect("a hart enters the kernel once at a time")
}

/// Returns what a trap out of a thread was.
fn thread_trap(thread: &Thread<Riscv>, cause: u64) -> Trap {
    thread.frame.set_all(csr::read!(number::SEPC));
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

/// Notes where a guest left, and in which mode.
#[inline(always)]
fn note_exit(vcpu: &Vcpu<Riscv>) {
    let status = csr::read!(number::SSTATUS);
    vcpu.guest.pc.set(csr::read!(number::SEPC));
    vcpu.guest.supervisor.set(u64::from(status & SPP != 0));
    vcpu.guest.float_state.set(status & FS);
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
        let visit = enter_from_user();
        match visit.next() {
            Next::Thread(thread) => {
                let frame = &raw const thread.frame;
                drop(visit);
                // SAFETY: the kernel keeps the thread until this hart has been in the kernel again.
                return_to_thread(hart, unsafe { &*frame });
            }
            Next::Guest(vcpu, page) => {
                let entry = guest_entry(vcpu);
                drop(visit);
                enter_guest(hart, DIRECT_MAP + page, entry);
            }
            Next::Idle => {
                drop(visit);
                let what = wait_for_interrupt();
                enter_from_user().handle(what);
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
    csr::write!(number::HSTATUS, const { guest::hstatus() & !(1 << 7) });
    csr::clear!(number::SSTATUS, SPP | FS);
}

/// Returns to a thread.
fn return_to_thread(hart: &PerCore, frame: &RiscvFrame) -> ! {
    let registers = &raw const *frame as u64;
    hart.frame.set(registers);
    hart.mode.set(THREAD);
    csr::write!(number::SEPC, frame.pc.get());
    leave_guest_mode();
    csr::set!(number::SSTATUS, SPIE);
    if frame.is_behind_call() {
        // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this hart
        // has been in the kernel again; sepc and sstatus send the hart to user mode.
        unsafe { _return_behind(registers) }
    }
    // SAFETY: the same.
    unsafe { _return_to(registers) }
}

/// Returns program counter and status bits for entering a guest.
#[inline(always)]
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
    csr::write!(number::HSTATUS, const { guest::hstatus() } | privilege);
    csr::clear!(number::SSTATUS, SPP | FS);
    csr::set!(number::SSTATUS, SPIE | status);
    // SAFETY: `registers` is the vCPU's register page, which the kernel keeps until this hart has
    // been in the kernel again; hstatus sends the hart to the guest.
    unsafe { _return_to(registers) }
}

/// Reports a trap inside the kernel, which is a bug.
pub extern "C" fn kernel_trap() -> ! {
    let parts = [
        Part::Text("trap in the kernel: cause "),
        Part::Hexadecimal(csr::read!(number::SCAUSE)),
        Part::Text(", pc "),
        Part::Hexadecimal(csr::read!(number::SEPC)),
        Part::Text(", value "),
        Part::Hexadecimal(csr::read!(number::STVAL)),
    ];
    report::bug(sbi::write, percore::current().core.get(), &parts);
    sbi::shut_down(true)
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report::panic(sbi::write, percore::current().core.get(), info);
    sbi::shut_down(true)
}
