//! Traps: what happened, and what the CPU does next.

use crate::console::{self, stop_machine};
use crate::control::{self, order};
use crate::cores::KERNEL;
use crate::entry::{_resume, _resume_with, _return_to, _wait, kind};
use crate::guest::S390Guest;
use crate::machine::S390;
use crate::percore::{self, PerCore};
use crate::sie::Left;
use crate::{irq, paging, sclp};
use abi::CallNumber;
use abi::fault::FaultKind;
use arena::Seat;
use core::arch::asm;
use core::mem::{ManuallyDrop, offset_of};
use core::sync::atomic::AtomicU64;
use kernel::arch::{Trap, UserFrame};
use kernel::core_state::CoreState;
use kernel::fast::{Fast, Message, Resume, is_long};
use kernel::object::thread::Thread;
use kernel::{Kernel, Next, Visit};
use report::Part;
use s390_regs::lowcore::{self, external};
use s390_regs::{Identification, ProgramException, PswMask};

/// What a thread's PSW has beside its own condition code and program mask.
pub const USER: u64 = PswMask::BITS_64
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

/// Handles a trap out of a thread that is no system call, whose registers were saved.
pub extern "C" fn trap(what: u64) -> ! {
    let cpu = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(cpu));
    let thread = current_thread(cpu);
    let trap = match what {
        kind::CALL => executed_call(thread),
        kind::PROGRAM => fault(thread),
        _ => interrupt(what),
    };
    if let Some(fast) = visit.fast_fault(thread, trap) {
        go_on(cpu, &fast);
    }
    general(cpu, trap)
}

/// Returns the thread that trapped.
#[inline(always)]
fn current_thread(cpu: &PerCore) -> &'static Thread<S390> {
    let frame = cpu.frame.get() as usize;
    let thread = (frame - offset_of!(Thread<S390>, frame)) as *const Thread<S390>;
    // SAFETY: the frame that a trap of a thread fills is that of the thread that ran, whose object
    // the kernel keeps until this CPU has been in the kernel again.
    unsafe { &*thread }
}

/// Declares functions that make system calls of a thread, `caller`, of which arguments, stack and
/// thread pointer and PSW were saved. Entry code knows the call's number. What
/// the first attempt does not make goes to the last function, or to that of an answer to a guest.
macro_rules! system_calls {
    ($(
        $(#[$meta:meta])*
        $name:ident: $number:expr, $first:ident if $when:expr, $then:ident
        $(, $answer:ident if $answers:ident)?;
    )+) => {$(
        $(#[$meta])*
        pub extern "C" fn $name(target: u64, word: u64, caller: *const Thread<S390>) -> ! {
            if $when(word >> 32) {
                $first()
            }
            let cpu = percore::current();
            let visit = ManuallyDrop::new(enter_from_user(cpu));
            // SAFETY: what this CPU runs is a thread, and this is it, whose object the kernel keeps
            // until this CPU has been in the kernel again.
            let thread = unsafe { &*caller };
            let known = word & !0xff | const { $number as u64 };
            match visit.fast_call::<false, false>(thread, [target, known]) {
                Some(Fast::Behind(resume)) => resume_thread(cpu, &resume),
                Some(Fast::Message(message)) => resume_with(cpu, &message),
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
extern "C" fn long_call() -> ! {
    let cpu = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(cpu));
    let thread = current_thread(cpu);
    let frame = &thread.frame;
    match visit.fast_call::<false, true>(thread, [frame.argument(0), frame.call_word()]) {
        Some(Fast::Behind(resume)) => resume_thread(cpu, &resume),
        _ => rare_call(),
    }
}

/// Makes a signal that somebody waits for.
#[inline(never)]
extern "C" fn wake() -> ! {
    let cpu = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(cpu));
    let thread = current_thread(cpu);
    match visit.fast_wake(thread, thread.frame.argument(0)) {
        Some(Fast::Message(message)) => resume_with(cpu, &message),
        _ => rare_call(),
    }
}

/// Makes a reply that lets a guest go on.
#[inline(never)]
extern "C" fn answer() -> ! {
    let cpu = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(cpu));
    let thread = current_thread(cpu);
    let frame = &thread.frame;
    let word = |index| frame.argument(index + 1);
    match &visit.fast_answer(thread, [frame.argument(0), frame.call_word() >> 32], word) {
        Some(fast) => go_on(cpu, fast),
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
    let cpu = percore::current();
    let visit = ManuallyDrop::new(enter_from_user(cpu));
    let thread = current_thread(cpu);
    let frame = &thread.frame;
    match visit.fast_call::<true, true>(thread, [frame.argument(0), frame.call_word()]) {
        Some(fast) => go_on(cpu, &fast),
        None => general(cpu, Trap::Call),
    }
}

/// Leaves the kernel as a fast path says.
#[inline(never)]
fn go_on(cpu: &PerCore, fast: &Fast<'_, S390>) -> ! {
    match fast {
        Fast::Behind(resume) => resume_thread(cpu, resume),
        Fast::Message(message) => resume_with(cpu, message),
        Fast::Thread(thread) => {
            return_to_thread(cpu, &raw const thread.frame as u64, thread.frame.psw())
        }
        Fast::Guest(vcpu, page) => leave(cpu, run_guests(cpu, &raw const vcpu.guest, *page)),
    }
}

/// Returns to a thread behind its system call.
#[inline(always)]
fn resume_thread(cpu: &PerCore, resume: &Resume<'_, S390>) -> ! {
    let registers = &raw const resume.to.frame as u64;
    cpu.frame.set(registers);
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this CPU has
    // been in the kernel again; the PSW's mask is a thread's.
    unsafe {
        asm!(
            "jg {resume}",
            resume = sym _resume,
            in("r1") resume.info,
            in("r9") resume.badge,
            in("r12") registers,
            in("r14") &raw const resume.from.frame,
            options(noreturn),
        )
    }
}

/// Returns to a thread behind its system call, with results of the kernel's.
#[inline(always)]
fn resume_with(cpu: &PerCore, message: &Message<'_, S390>) -> ! {
    let registers = &raw const message.to.frame as u64;
    cpu.frame.set(registers);
    let [first, second, third, fourth, fifth, sixth] = message.words;
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this CPU has
    // been in the kernel again; the PSW's mask is a thread's.
    unsafe {
        asm!(
            "jg {resume}",
            resume = sym _resume_with,
            in("r1") message.info,
            in("r3") first,
            in("r4") second,
            in("r5") third,
            in("r6") fourth,
            in("r7") fifth,
            in("r8") sixth,
            in("r9") message.badge,
            in("r10") message.sequence,
            in("r12") registers,
            options(noreturn),
        )
    }
}

/// Handles a trap on the general path.
#[cold]
#[inline(never)]
fn general(cpu: &PerCore, what: Trap) -> ! {
    let mut visit = enter_from_user(cpu);
    visit.handle(what);
    leave(cpu, visit)
}

/// Returns the kernel.
#[inline(always)]
fn kernel() -> &'static Kernel<S390> {
    debug_assert!(KERNEL.is_completed());
    // SAFETY: traps come only after the kernel was made.
    unsafe { KERNEL.get_unchecked() }
}

/// Begins a kernel entry of this CPU out of a thread, a guest or a wait.
#[inline(always)]
fn enter_from_user(cpu: &PerCore) -> Visit<'static, S390> {
    // SAFETY: `enter` put this CPU's seat there, before the CPU ran a thread or a guest or waited.
    let seat = unsafe { &*(cpu.seat.get() as *const Seat) };
    // SAFETY: and its state, another static.
    let state = unsafe { &*(cpu.state.get() as *const CoreState) };
    // SAFETY: this CPU entered at boot (1); the kernel is not open to
    // interruptions, and leaves no entry behind that is used again (2).
    let entry = unsafe { kernel().arena().enter_alone(seat) };
    kernel().visit(entry, state)
}

/// Begins a kernel entry of this CPU, which may be its first.
pub fn enter(kernel: &'static Kernel<S390>, cpu: &PerCore) -> Visit<'static, S390> {
    let core = usize::try_from(cpu.core.get()).unwrap_or(usize::MAX);
    if let Some((seat, state)) = kernel.place_of(core) {
        cpu.seat.set(core::ptr::from_ref(seat) as u64);
        cpu.state.set(core::ptr::from_ref(state) as u64);
    }
    kernel
        .enter(core)
        .expect("a CPU enters the kernel once at a time")
}

/// Returns a supervisor call that EXECUTE ran as a trap: it is no call, and the program counter goes
/// back to what executed it.
fn executed_call(thread: &Thread<S390>) -> Trap {
    let length = percore::stored(lowcore::CODES) >> 48;
    thread.frame.retreat(length);
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
pub fn leave(cpu: &PerCore, first: Visit<'_, S390>) -> ! {
    let mut visit = first;
    loop {
        match visit.next() {
            Next::Thread(thread) => {
                let registers = &raw const thread.frame as u64;
                let psw = thread.frame.psw();
                drop(visit);
                return_to_thread(cpu, registers, psw);
            }
            Next::Guest(vcpu, page) => {
                let guest = &raw const vcpu.guest;
                drop(visit);
                visit = run_guests(cpu, guest, page);
            }
            Next::Idle => {
                drop(visit);
                // SAFETY: the mask is the kernel's own (1), and the interruption is handled (2).
                let what = unsafe { _wait(IDLE) };
                let what = interrupt(what.unsigned_abs());
                visit = enter_from_user(cpu);
                visit.handle(what);
            }
        }
    }
}

/// Runs a guest, and those that exits lead to without a decision of the kernel; returns where one
/// is needed. An exit that a thread waits for does not return.
fn run_guests(cpu: &PerCore, first: *const S390Guest, page: u64) -> Visit<'static, S390> {
    let (mut guest, mut page) = (first, page);
    loop {
        let what = run_guest(cpu, guest, page);
        let mut visit = enter_from_user(cpu);
        let fast = match &what {
            Trap::Exit(exit) => visit
                .current_vcpu()
                .and_then(|it| visit.fast_exit(it, exit)),
            _ => None,
        };
        match &fast {
            Some(Fast::Guest(next, registers)) => {
                (guest, page) = (&raw const next.guest, *registers);
            }
            Some(fast) => go_on(cpu, fast),
            None => {
                visit.handle(what);
                return visit;
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
fn return_to_thread(cpu: &PerCore, registers: u64, (mask, address): (u64, u64)) -> ! {
    cpu.frame.set(registers);
    let [mask_word, address_word] = &cpu.return_psw;
    mask_word.set(USER | mask);
    address_word.set(address);
    // SAFETY: `registers` are those of a thread, whose object the kernel keeps until this CPU has
    // been in the kernel again (1); the PSW is a thread's: problem state, with DAT (2).
    unsafe { _return_to(registers) }
}

/// Reports a program interruption inside the kernel, which is a bug.
pub extern "C" fn kernel_trap() -> ! {
    let stored = |offset| Part::Hexadecimal(percore::stored(offset));
    let parts = [
        Part::Text("trap in the kernel: codes "),
        stored(lowcore::CODES),
        Part::Text(", psw "),
        stored(lowcore::PROGRAM_OLD),
        Part::Text(" "),
        stored(lowcore::PROGRAM_OLD + 8),
        Part::Text(", address "),
        stored(lowcore::TRANSLATION_EXCEPTION),
    ];
    report::bug(console::write, percore::current().core.get(), &parts);
    stop_machine(true)
}

/// Prints a report and stops the machine.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    report::panic(console::write, percore::current().core.get(), info);
    stop_machine(true)
}
