//! The console: events of the service processor (SCLP) with ASCII text, or with a line in EBCDIC
//! where that is all the machine has.

use crate::control::{self, order};
use crate::{percore, sclp};
use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use s390_regs::PswMask;
use s390_regs::sclp::{ASCII, LINE, ascii_event, event_mask, line_event};

/// Command: says which events are exchanged.
pub const WRITE_EVENT_MASK: u32 = 0x0078_0005;
/// Command: sends an event.
pub const WRITE_EVENT_DATA: u32 = 0x0076_0005;
/// Command: fetches an event.
pub const READ_EVENT_DATA: u32 = 0x0077_0005;
/// Text that one event carries at most.
const LINE_BYTES: usize = 250;
/// Bytes of an event with that.
const EVENT_BYTES: usize = LINE_BYTES + 64;

/// Events that the service processor takes.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// The line that is being written.
static TEXT: [AtomicU8; LINE_BYTES] = [const { AtomicU8::new(0) }; LINE_BYTES];
/// Its length. Cores that write at the same time mix their text, as on any serial line.
static LENGTH: AtomicU64 = AtomicU64::new(0);

/// Asks to send text.
pub fn initialise() {
    // Two reserved bytes, the length of a mask, the masks of events to receive and to send, and
    // room for the service processor's own two.
    let mut data = [0; 4 + 4 * 4];
    data[2..4].copy_from_slice(&4_u16.to_be_bytes());
    data[8..12].copy_from_slice(&(event_mask(ASCII) | event_mask(LINE)).to_be_bytes());
    let taken = sclp::call(WRITE_EVENT_MASK, &data, |_, byte| {
        u32::from_be_bytes([20, 21, 22, 23].map(byte))
    });
    TAKEN.store(u64::from(taken.unwrap_or(0)), Ordering::Relaxed);
}

/// Sends one line.
fn send(text: &[u8]) {
    let mut event = [0; EVENT_BYTES];
    let is_ascii = TAKEN.load(Ordering::Relaxed) & u64::from(event_mask(ASCII)) != 0;
    let length = if is_ascii {
        ascii_event(text, &mut event)
    } else {
        line_event(text, &mut event)
    };
    if let Some(event) = event.get(..length) {
        // Nothing can be done about a console that fails.
        let _ = sclp::call(WRITE_EVENT_DATA, event, |_, _| ());
    }
}

/// Writes a byte; lines go out when they end or are full.
pub fn write_byte(byte: u8) {
    if byte != b'\n' {
        let at = LENGTH.fetch_add(1, Ordering::Relaxed);
        let place = usize::try_from(at).ok().and_then(|at| TEXT.get(at));
        if let Some(place) = place {
            place.store(byte, Ordering::Relaxed);
        }
        if at + 1 < LINE_BYTES as u64 {
            return;
        }
    }
    flush();
}

/// Sends the line that is being written.
fn flush() {
    let length = LENGTH.swap(0, Ordering::Relaxed).min(LINE_BYTES as u64);
    let length = usize::try_from(length).unwrap_or(0);
    let mut text = [0; LINE_BYTES];
    for (to, from) in text.iter_mut().zip(&TEXT).take(length) {
        *to = from.load(Ordering::Relaxed);
    }
    send(text.get(..length).unwrap_or(&[]));
}

/// Writes text.
pub fn write(text: &str) {
    text.bytes().for_each(write_byte);
}

/// The console, as something that boot formats to.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text);
        Ok(())
    }
}

/// A disabled wait with the address that says how the machine ends: QEMU takes 0xfff for a clean
/// end, and others for a guest that panicked.
static ENDS: [[u64; 2]; 2] = [
    [PswMask::BITS_64.with_wait(true).into_bits(), 0xfff],
    [PswMask::BITS_64.with_wait(true).into_bits(), 0],
];

/// Stops all CPUs for good.
pub fn stop_machine(failed: bool) -> ! {
    if LENGTH.load(Ordering::Relaxed) != 0 {
        flush();
    }
    let own = u64::from(control::own_address());
    let others = (0..abi::MAX_CORES).filter_map(percore::cpu_address);
    for cpu in others.filter(|cpu| *cpu != own) {
        control::signal(cpu, order::STOP, 0);
    }
    let psw = &ENDS[usize::from(failed)];
    // SAFETY: the PSW is valid, and with every interruption disabled the CPU never goes on.
    unsafe { asm!("lpswe 0({})", in(reg_addr) psw.as_ptr(), options(noreturn)) }
}
