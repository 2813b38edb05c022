//! Traps: what happened, and what the core does next.

use crate::cores::KERNEL;
use crate::entry::{_resume, _return_to};
use crate::frame::{X86Frame, offset};
use crate::guest::X86Guest;
use crate::machine::X86;
use crate::percore::{self, PerCore, pending};
use crate::{apic, console, cpu, paging, power, timer};
use abi::CallNumber;
use abi::fault::FaultKind;
use arena::Seat;
use core::arch::asm;
use core::mem::{ManuallyDrop, offset_of};
use core::sync::atomic::AtomicU64;
use kernel::arch::{Exit, Trap, UserFrame};
use kernel::core_state::CoreState;
use kernel::fast::{Fast, Message, Resume, is_long};
use kernel::object::thread::Thread;
use kernel::{Kernel, Next, Visit};
use report::Part;

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

/// Handles a trap out of a thread that is no system call, whose registers were saved.
pub extern "C" fn trap() -> ! {
    let core = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let what = thread_trap(core, &thread.frame);
    if let Some(fast) = visit.fast_fault(thread, what) {
        go_on(core, &fast);
    }
    general(core, what)
}

/// Returns the thread that trapped.
#[inline(always)]
fn current_thread() -> &'static Thread<X86> {
    let frame = percore::frame_end() as usize - offset::END;
    let thread = (frame - offset_of!(Thread<X86>, frame)) as *const Thread<X86>;
    // SAFETY: the frame that a trap out of user mode fills is that of the thread that ran, whose
    // object the kernel keeps until this core has been in the kernel again.
    unsafe { &*thread }
}

/// Declares functions that make system calls of a thread, `caller`, of which arguments, stack and
/// thread pointer and program counter were saved. Entry code knows the call's number. What
/// the first attempt does not make goes to the last function, or to that of an answer to a guest.
macro_rules! system_calls {
    ($(
        $(#[$meta:meta])*
        $name:ident: $number:expr, $first:ident if $when:expr, $then:ident
        $(, $answer:ident if $answers:ident)?;
    )+) => {$(
        $(#[$meta])*
        pub extern "C" fn $name(target: u64, word: u64, caller: *const Thread<X86>) -> ! {
            if $when(word >> 32) {
                $first()
            }
            let visit = ManuallyDrop::new(enter_from_user());
            // SAFETY: what this core runs is a thread, and this is it, whose object the kernel keeps
            // until this core has been in the kernel again.
            let thread = unsafe { &*caller };
            let known = word & !0xff | const { $number as u64 };
            match visit.fast_call::<false, false>(thread, [target, known]) {
                Some(Fast::Behind(resume)) => resume_thread(&resume),
                Some(Fast::Message(message)) => resume_with(&message),
                $(_ if visit.$answers(thread).is_some() => $answer(),)?
                _ => $then(),
            }
        }
    )+};
}

system_calls! {
    /// Makes a call of an endpoint.
    call: CallNumber::Call, long_call if is_long, rare_call;
    /// Makes a reply and receive.
    reply_receive: CallNumber::ReplyReceive, long_call if is_long, rare_call,
        answer if answered_guest;
    /// Makes a signal.
    signal: CallNumber::Signal, wake if never, wake;
    /// Says which version and core this is.
    identify: CallNumber::Identify, rare_call if never, rare_call;
}

/// Makes a call or reply whose message may be long.
#[inline(never)]
fn long_call() -> ! {
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let frame = &thread.frame;
    match visit.fast_call::<false, true>(thread, [frame.argument(0), frame.call_word()]) {
        Some(Fast::Behind(resume)) => resume_thread(&resume),
        _ => rare_call(),
    }
}

/// Makes a signal that somebody waits for.
#[inline(never)]
fn wake() -> ! {
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    match visit.fast_wake(thread, thread.frame.argument(0)) {
        Some(Fast::Message(message)) => resume_with(&message),
        _ => rare_call(),
    }
}

/// Makes a reply that lets a guest go on.
#[inline(never)]
fn answer() -> ! {
    let core = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let frame = &thread.frame;
    let word = |index| frame.argument(index + 1);
    match &visit.fast_answer(thread, [frame.argument(0), frame.call_word() >> 32], word) {
        // As in `go_on`, whose call is longer than this.
        Some(Fast::Guest(vcpu, page)) => {
            leave(core, run_guests(core, &raw const vcpu.guest, *page))
        }
        Some(fast) => go_on(core, fast),
        None => rare_call(),
    }
}

/// The calls that have a first attempt whatever their information word.
const fn never(_: u64) -> bool {
    false
}

/// Makes a system call that is not one of the most frequent.
#[inline(never)]
pub extern "C" fn rare_call() -> ! {
    let core = percore::current();
    let visit = ManuallyDrop::new(enter_from_user());
    let thread = current_thread();
    let frame = &thread.frame;
    match visit.fast_call::<true, true>(thread, [frame.argument(0), frame.call_word()]) {
        Some(fast) => go_on(core, &fast),
        None => general(core, Trap::Call),
    }
}

/// Leaves the kernel as a fast path says.
#[inline(never)]
fn go_on(core: &PerCore, fast: &Fast<'_, X86>) -> ! {
    match fast {
        Fast::Behind(resume) => resume_thread(resume),
        Fast::Message(message) => resume_with(message),
        Fast::Thread(thread) if thread.frame.can_return() => return_to_thread(&thread.frame),
        Fast::Thread(thread) => general(core, astray(&thread.frame)),
        Fast::Guest(vcpu, page) => leave(core, run_guests(core, &raw const vcpu.guest, *page)),
    }
}

/// Returns to a thread behind its system call, with words of the caller's.
#[inline(always)]
fn resume_thread(resume: &Resume<'_, X86>) -> ! {
    // Written out, for the compiler calls `from_fn`.
    let word = |index: usize| resume.from.frame.argument(index);
    resume_with(&Message {
        to: resume.to,
        words: [word(1), word(2), word(3), word(4), word(5), word(6)],
        info: resume.info,
        badge: resume.badge,
        sequence: 0,
    })
}

/// Returns to a thread behind its system call, with these results.
#[inline(always)]
fn resume_with(message: &Message<'_, X86>) -> ! {
    let [first, second, third, fourth, fifth, sixth] = message.words;
    // SAFETY: the frame is that of a thread, whose object the kernel keeps until this core has been
    // in the kernel again; the thread made a call.
    unsafe {
        asm!(
            "jmp {resume}",
            resume = sym _resume,
            in("rdi") &raw const message.to.frame,
            in("rax") message.info,
            in("rsi") first,
            in("rdx") second,
            in("r10") third,
            in("r8") fourth,
            in("r9") fifth,
            in("r12") sixth,
            in("r13") message.badge,
            in("r14") message.sequence,
            options(noreturn),
        )
    }
}

/// Handles a trap on the general path.
#[cold]
#[inline(never)]
fn general(core: &PerCore, what: Trap) -> ! {
    let mut visit = enter_from_user();
    visit.handle(what);
    leave(core, visit)
}

/// Returns the kernel.
#[inline(always)]
fn kernel() -> &'static Kernel<X86> {
    debug_assert!(KERNEL.is_completed());
    // SAFETY: traps come only after the kernel was made.
    unsafe { KERNEL.get_unchecked() }
}

/// Begins a kernel entry of this core, which entered before: out of a thread, a guest or a wait.
#[inline(always)]
pub fn enter_from_user() -> Visit<'static, X86> {
    // SAFETY: `enter` put this core's seat there, before the core ran a thread or a guest or waited.
    let seat = unsafe { &*(percore::seat() as *const Seat) };
    // SAFETY: and its state, another static.
    let state = unsafe { &*(percore::state() as *const CoreState) };
    // SAFETY: this core entered at boot (1); in the kernel interrupts are off, or only note
    // themselves, and it leaves no entry behind that is used again (2).
    let entry = unsafe { kernel().arena().enter_alone(seat) };
    kernel().visit(entry, state)
}

/// Begins a kernel entry of this core, which may be its first.
pub fn enter(kernel: &'static Kernel<X86>, core: &PerCore) -> Visit<'static, X86> {
    let number = usize::try_from(core.core.get()).unwrap_or(usize::MAX);
    if let Some((seat, state)) = kernel.place_of(number) {
        core.seat.set(core::ptr::from_ref(seat) as u64);
        core.state.set(core::ptr::from_ref(state) as u64);
    }
    kernel
        .enter(number)
        .expect("a core enters the kernel once at a time")
}

/// Returns what a trap out of a thread was.
fn thread_trap(core: &PerCore, frame: &X86Frame) -> Trap {
    let (vector, error) = (frame.vector.get(), frame.error.get());
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
    stop(&[
        Part::Text("trap in the kernel: vector "),
        Part::Decimal(trap.vector),
        Part::Text(", error "),
        Part::Hexadecimal(trap.error),
        Part::Text(", at "),
        Part::Hexadecimal(trap.rip),
        Part::Text(", address "),
        Part::Hexadecimal(cpu::fault_address()),
    ])
}

/// Reports a double fault or a machine check; `words` is what the processor saved.
pub extern "C" fn fatal_trap(words: &[u64; 4]) -> ! {
    stop(&[
        Part::Text("double fault or machine check, at "),
        Part::Hexadecimal(words[0]),
        Part::Text(", "),
        Part::Hexadecimal(words[1]),
        Part::Text(", "),
        Part::Hexadecimal(words[2]),
    ])
}

/// Reports a bug and switches the machine off.
fn stop(parts: &[Part<'_>]) -> ! {
    report::bug(console::write, u64::from(apic::own_number()), parts);
    power::off(true)
}

/// Does what the kernel decided: returns to a thread, or waits for an interrupt.
pub fn leave(core: &PerCore, first: Visit<'_, X86>) -> ! {
    let mut visit = first;
    loop {
        // Several interrupts may have been noted at once, and none of them comes again.
        if let Some(what) = take_pending(core) {
            visit.handle(what);
            continue;
        }
        let what = match visit.next() {
            Next::Thread(thread) if thread.frame.can_return() => {
                let frame = &raw const thread.frame;
                drop(visit);
                return_to_thread(frame)
            }
            Next::Thread(thread) => astray(&thread.frame),
            Next::Guest(vcpu, page) => {
                let guest = &raw const vcpu.guest;
                drop(visit);
                visit = run_guests(core, guest, page);
                continue;
            }
            Next::Idle => {
                drop(visit);
                let what = wait_for_interrupt(core);
                visit = enter_from_user();
                what
            }
        };
        visit.handle(what);
    }
}

/// Returns to a thread that can go on where its frame says.
fn return_to_thread(frame: *const X86Frame) -> ! {
    // SAFETY: the frame is that of a thread, whose object the kernel keeps until this core has been
    // in the kernel again.
    let registers = unsafe { &*frame };
    registers.prepare();
    // SAFETY: it can return, and its segments are those of user mode.
    unsafe { _return_to(frame as u64) }
}

/// Returns the fault of a thread at an address where user mode cannot go on.
fn astray(frame: &X86Frame) -> Trap {
    Trap::Fault {
        kind: FaultKind::Fetch,
        address: frame.rip.get(),
        cause: PAGE_FAULT,
    }
}

/// Runs a guest, and those that exits lead to without a decision of the kernel; returns where one
/// was needed. An exit that a thread waits for does not return.
fn run_guests(core: &PerCore, first: *const X86Guest, page: u64) -> Visit<'static, X86> {
    let (mut guest, mut page) = (first, page);
    loop {
        // By reference throughout: exits and what follows them are not copied.
        let exit = &run_guest(core, guest, page);
        let mut visit = enter_from_user();
        if let (Some(exit), Some(vcpu)) = (exit, visit.current_vcpu()) {
            match &visit.fast_exit(vcpu, exit) {
                Some(Fast::Guest(next, registers)) => {
                    (guest, page) = (&raw const next.guest, *registers);
                    continue;
                }
                Some(fast) => go_on(core, fast),
                None => {}
            }
        }
        visit.handle(match exit {
            Some(exit) => Trap::Exit(*exit),
            None => take_pending(core).unwrap_or(Trap::Ipi),
        });
        return visit;
    }
}

/// Runs a guest until it leaves, and returns its exit, or `None` where interrupts were noted; `page`
/// has its general registers.
#[inline(always)]
fn run_guest(core: &PerCore, guest: *const X86Guest, page: u64) -> Option<Exit> {
    // SAFETY: the guest is that of the current vCPU, which the kernel keeps until this core has been
    // in the kernel again; it is made of atomics.
    let guest = unsafe { &*guest };
    let registers = paging::virtual_of(page) as *const [AtomicU64; 16];
    // SAFETY: so is the page; a server that shares it writes whole words.
    let registers = unsafe { &*registers };
    let exit = guest.run(core, registers);
    if exit.is_none() {
        cpu::take_interrupts();
    }
    exit
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
        cpu::wait_for_interrupt();
        if let Some(what) = take_pending(core) {
            return what;
        }
    }
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report::panic(console::write, u64::from(apic::own_number()), info);
    power::off(true)
}
