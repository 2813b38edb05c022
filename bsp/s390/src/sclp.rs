//! Calls of the service processor (SCLP), one at a time: those of the kernel, which wait for their
//! answer, and those of a driver, which come back for it.

use crate::control;
use crate::entry::{_wait, kind};
use crate::{irq, percore, timer};
use abi::Error;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use s390_regs::lowcore::{self, external};
use s390_regs::{Cr0, PswMask};

/// Bytes of a control block: one page, which it must not cross.
pub const BLOCK_BYTES: usize = 4096;
/// Bytes of its header: length, function code, control mask, response code.
pub const HEADER_BYTES: usize = 8;
/// Open to external interruptions, and goes on where none is pending.
const OPEN: u64 = PswMask::BITS_64.with_external(true).into_bits();
/// The service signal is the only external interruption that is taken.
const ONLY_SERVICE: u64 = Cr0::new().with_service_signal(true).into_bits();
/// How long a call of the kernel waits, in ticks: two seconds.
const PATIENCE: u64 = 2 * timer::TICKS_PER_SECOND;
/// Bits of a service signal's parameter that tell of something else than an answer.
const EVENTS: u64 = 3;

/// Service-call control block: big-endian fields, written by the service processor too.
#[repr(C, align(4096))]
struct ControlBlock([AtomicU8; BLOCK_BYTES]);

impl ControlBlock {
    /// Returns an empty block.
    const fn new() -> Self {
        Self([const { AtomicU8::new(0) }; BLOCK_BYTES])
    }

    /// Returns the response code, 0 while there is none.
    fn response(&self) -> u16 {
        let byte = |index: usize| {
            self.0
                .get(index)
                .map_or(0, |byte| byte.load(Ordering::Acquire))
        };
        u16::from_be_bytes([byte(6), byte(7)])
    }
}

/// The block of the kernel's calls.
static OWN: ControlBlock = ControlBlock::new();
/// Held by the core whose call `OWN` is for.
static LOCK: AtomicBool = AtomicBool::new(false);
/// The block of the driver's calls.
static DRIVER: ControlBlock = ControlBlock::new();
/// What the driver's block is for.
static DRIVER_STATE: AtomicU64 = AtomicU64::new(NONE);
/// Events wait that the driver was not told of.
static EVENTS_WAIT: AtomicBool = AtomicBool::new(false);
/// What tells the driver, in what it gets with its answer.
const EVENTS_BIT: u64 = 1 << 16;
/// `DRIVER_STATE`: nothing.
const NONE: u64 = 0;
/// `DRIVER_STATE`: a call that was made, or is about to be.
const STARTED: u64 = 1;

/// Holds the lock on the kernel's block.
struct Guard;

impl Guard {
    /// Takes the lock. It is held for the time of one call; who waited for longer met a CPU that
    /// panicked while it had it.
    fn take() -> Self {
        let limit = timer::now() + 2 * PATIENCE;
        while LOCK.swap(true, Ordering::Acquire) && timer::now() < limit {
            core::hint::spin_loop();
        }
        Self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        LOCK.store(false, Ordering::Release);
    }
}

/// Makes a service call; returns the condition code: 0 accepted, 2 busy, 3 no service processor.
fn service_call(command: u32, block: &ControlBlock) -> u64 {
    let condition: u64;
    // SAFETY: the block is a static of an image below 2 GiB, at its real address, made of atomics;
    // the commands that are sent write into the block alone.
    unsafe {
        asm!(
            ".insn rre, 0xb2200000, {command}, {block}",
            "ipm {condition}",
            "srlg {condition}, {condition}, 28",
            command = in(reg) u64::from(command),
            block = in(reg) block.0.as_ptr(),
            condition = lateout(reg) condition,
            options(nostack),
        );
    }
    condition & 3
}

/// Takes the service signal if it is pending and no other CPU took it. The kernel's own calls do
/// not need it; others hear of theirs.
fn take_signal() {
    let cpu = percore::current();
    control::load!("0", ONLY_SERVICE);
    // SAFETY: the mask is the kernel's own with external interruptions on (1), of which CR0 lets
    // through the service signal alone, which is looked at below (2).
    let came = unsafe { _wait(OPEN) };
    let [control0, _] = &cpu.control;
    control::load!("0", control0.get());
    if came == kind::EXTERNAL as i64 && external_code() == external::SERVICE_SIGNAL {
        note_events();
        if EVENTS_WAIT.load(Ordering::SeqCst) || DRIVER_STATE.load(Ordering::SeqCst) != NONE {
            irq::note_service_signal();
        }
    }
}

/// Notes whether the service signal that was stored last tells of events that wait.
pub fn note_events() {
    let parameter = percore::stored(lowcore::EXTERNAL) >> 32;
    if parameter & EVENTS != 0 {
        EVENTS_WAIT.store(true, Ordering::SeqCst);
    }
}

/// Returns the code of the external interruption that was stored last.
pub fn external_code() -> u16 {
    percore::stored(lowcore::EXTERNAL) as u16
}

/// Makes a call, and again while the service processor is busy; returns whether it was accepted.
fn insist(command: u32, block: &ControlBlock) -> bool {
    let limit = timer::now() + PATIENCE;
    loop {
        match service_call(command, block) {
            0 => return true,
            2 if timer::now() < limit => take_signal(),
            _ => return false,
        }
    }
}

/// Sends `data` behind a header and hands the whole block to `read` once it is answered; `None`
/// without an answer.
pub fn call<T>(
    command: u32,
    data: &[u8],
    read: impl FnOnce(u16, &dyn Fn(usize) -> u8) -> T,
) -> Option<T> {
    let _guard = Guard::take();
    let length = HEADER_BYTES + data.len();
    let header = (length as u16).to_be_bytes().into_iter().chain([0; 6]);
    let bytes = header.chain(data.iter().copied());
    for (place, byte) in OWN.0.iter().zip(bytes) {
        place.store(byte, Ordering::Relaxed);
    }
    if !insist(command, &OWN) {
        return None;
    }
    let limit = timer::now() + PATIENCE;
    while OWN.response() == 0 {
        if timer::now() > limit {
            return None;
        }
        core::hint::spin_loop();
    }
    take_signal();
    let byte = |index: usize| {
        OWN.0
            .get(index)
            .map_or(0, |byte| byte.load(Ordering::Relaxed))
    };
    Some(read(OWN.response(), &byte))
}

/// Starts a driver's call with the first `length` bytes of its page.
///
/// # Errors
///
/// [`Error::BadArgument`], [`Error::FirmwareRefused`].
pub fn start(command: u32, page: &[AtomicU64], length: u64) -> Result<(), Error> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let told = page.first().map_or(0, |word| word.load(Ordering::Relaxed)) >> 48;
    if !(HEADER_BYTES..=BLOCK_BYTES).contains(&length) || told != length as u64 {
        return Err(Error::BadArgument);
    }
    if DRIVER_STATE.swap(STARTED, Ordering::SeqCst) != NONE {
        return Err(Error::FirmwareRefused);
    }
    copy_in(page, length);
    if insist(command, &DRIVER) {
        return Ok(());
    }
    DRIVER_STATE.store(NONE, Ordering::SeqCst);
    Err(Error::FirmwareRefused)
}

/// Copies a driver's block in: the length that was checked, and no response code.
fn copy_in(page: &[AtomicU64], length: usize) {
    let words = page.iter().map(|word| word.load(Ordering::Relaxed));
    let bytes = words.flat_map(u64::to_be_bytes).take(length);
    for (place, byte) in DRIVER.0.iter().zip(bytes) {
        place.store(byte, Ordering::Relaxed);
    }
    let [high, low] = (length as u16).to_be_bytes();
    for (index, byte) in [(0, high), (1, low), (6, 0), (7, 0)] {
        if let Some(place) = DRIVER.0.get(index) {
            place.store(byte, Ordering::Relaxed);
        }
    }
}

/// Copies what a driver's call answered to its page; returns the response code, and whether events
/// wait.
///
/// # Errors
///
/// [`Error::FirmwareRefused`] where there is nothing to collect yet.
pub fn collect(page: &[AtomicU64]) -> Result<u64, Error> {
    let response = DRIVER.response();
    if DRIVER_STATE.load(Ordering::SeqCst) == NONE || response == 0 {
        return Err(Error::FirmwareRefused);
    }
    for (word, bytes) in page.iter().zip(DRIVER.0.chunks_exact(8)) {
        let value = bytes.iter().fold(0, |value, byte| {
            value << 8 | u64::from(byte.load(Ordering::Relaxed))
        });
        word.store(value, Ordering::Relaxed);
    }
    DRIVER_STATE.store(NONE, Ordering::SeqCst);
    let events = u64::from(EVENTS_WAIT.swap(false, Ordering::SeqCst)) * EVENTS_BIT;
    Ok(u64::from(response) | events)
}
