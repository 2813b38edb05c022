//! The service processor: the console, and what the machine has.

use core::arch::asm;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize};

use s390_regs::sclp::{self, ASCII, LINE, event_mask};

use super::control;
use crate::report::{Verdict, equal};

/// Reads what the machine is; the second is for service processors that know no other.
const READ_INFORMATION: [u32; 2] = [0x0012_0001, 0x0002_0001];
/// Sends events.
const WRITE_EVENT_DATA: u32 = 0x0076_0005;
/// Says which events are exchanged.
const WRITE_EVENT_MASK: u32 = 0x0078_0005;
/// Bytes of a control block's header.
const HEADER: usize = 8;
/// Second byte of the response where a command was done.
const DONE: u8 = 0x20;
/// The same where information was read.
const READ: u8 = 0x10;
/// Bytes of a line that are kept until it ends.
const LINE_BYTES: usize = 200;

/// A control block, which the service processor writes too.
#[repr(C, align(4096))]
struct Block([AtomicU8; 4096]);

/// The only block.
static BLOCK: Block = Block([const { AtomicU8::new(0) }; 4096]);
/// Held by who uses it.
static LOCK: AtomicBool = AtomicBool::new(false);
/// A call was answered.
static ANSWERED: AtomicBool = AtomicBool::new(false);
/// The next signal is one that the guest asked for as an interruption.
static EXPECTED: AtomicBool = AtomicBool::new(false);
/// Type of the events that the console takes, or 0.
static CONSOLE: AtomicU8 = AtomicU8::new(0);
/// The line so far.
static TEXT: [AtomicU8; LINE_BYTES] = [const { AtomicU8::new(0) }; LINE_BYTES];
/// Its length.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Makes a service call with a block at an address; returns the condition code.
pub fn call_at(command: u32, address: u64) -> u64 {
    let condition: u64;
    // SAFETY: the commands write the block alone, or are refused.
    unsafe {
        asm!(".insn rre, 0xb2200000, {command}, {address}", "ipm {condition}",
             "srlg {condition}, {condition}, 28", command = in(reg) u64::from(command),
             address = in(reg) address, condition = lateout(reg) condition, options(nostack));
    }
    condition & 3
}

/// Fills the block and makes a call with it; waits for the answer and returns its second byte.
fn call(command: u32, data: &[u8], length: usize) -> u8 {
    while LOCK.swap(true, Acquire) {
        core::hint::spin_loop();
    }
    for byte in &BLOCK.0[..length] {
        byte.store(0, Relaxed);
    }
    for (byte, value) in BLOCK.0.iter().zip((length as u16).to_be_bytes()) {
        byte.store(value, Relaxed);
    }
    for (byte, value) in BLOCK.0[HEADER..].iter().zip(data) {
        byte.store(*value, Relaxed);
    }
    let open_to = control::open_to();
    ANSWERED.store(false, Release);
    control::set_open_to(0xe0 | 0x200 | open_to & 1 << 18);
    while call_at(command, BLOCK.0.as_ptr().addr() as u64) == 2 {
        control::take_one();
    }
    while !ANSWERED.load(Acquire) {
        control::take_one();
    }
    control::set_open_to(open_to);
    let response = BLOCK.0[7].load(Acquire);
    LOCK.store(false, Release);
    response
}

/// Notes a service signal; tells whether it is an interruption that the guest asked for.
pub fn note_signal() -> bool {
    ANSWERED.store(true, Release);
    let expected = EXPECTED.swap(false, Relaxed);
    if expected {
        control::open(false);
        LOCK.store(false, Release);
    }
    expected
}

/// Asks which events the console takes.
pub fn find_console() {
    let mut data = [0; 20];
    data[2..4].copy_from_slice(&4_u16.to_be_bytes());
    let events = event_mask(ASCII) | event_mask(LINE);
    data[8..12].copy_from_slice(&events.to_be_bytes());
    call(WRITE_EVENT_MASK, &data, HEADER + data.len());
    let taken = number(HEADER + 12, 4) as u32;
    let kind = [ASCII, LINE]
        .into_iter()
        .find(|kind| taken & event_mask(*kind) != 0);
    CONSOLE.store(kind.unwrap_or(0), Relaxed);
}

/// Returns the big-endian number at an offset of the block.
fn number(at: usize, length: usize) -> u64 {
    let bytes = BLOCK.0[at..at + length].iter();
    bytes.fold(0, |value, byte| value << 8 | u64::from(byte.load(Relaxed)))
}

/// Returns the bytes of memory.
pub fn memory_size() -> u64 {
    let found = READ_INFORMATION
        .into_iter()
        .find(|command| call(*command, &[], 4096) == READ);
    if found.is_none() {
        return 0;
    }
    let count = match number(HEADER, 2) {
        0 => number(104, 8),
        count => count,
    };
    let mebibytes = match number(HEADER + 2, 1) {
        0 => number(84, 4),
        size => size,
    };
    (count * mebibytes) << 20
}

/// Reads what the machine is.
pub fn read_information() -> Verdict {
    let response = call(READ_INFORMATION[1], &[], 4096);
    equal("response", READ.into(), response.into())
}

/// Makes a call whose signal is taken as an interruption, when the CPU takes any.
pub fn raise_interrupt() -> Verdict {
    while LOCK.swap(true, Acquire) {
        core::hint::spin_loop();
    }
    for byte in &BLOCK.0 {
        byte.store(0, Relaxed);
    }
    BLOCK.0[0].store(0x10, Relaxed);
    EXPECTED.store(true, Relaxed);
    control::open(true);
    let condition = call_at(READ_INFORMATION[1], BLOCK.0.as_ptr().addr() as u64);
    equal("condition code", 0, condition)
}

/// Prints text: a line goes out when it ends.
pub fn print(text: &[u8]) {
    for byte in text {
        let length = LENGTH.load(Relaxed);
        if *byte == b'\n' {
            send(length);
            LENGTH.store(0, Relaxed);
        } else if length < LINE_BYTES {
            TEXT[length].store(*byte, Relaxed);
            LENGTH.store(length + 1, Relaxed);
        }
    }
}

/// Sends the line so far.
fn send(length: usize) -> u8 {
    let text: [u8; LINE_BYTES] = core::array::from_fn(|index| TEXT[index].load(Relaxed));
    let mut event = [0; LINE_BYTES + 64];
    let bytes = match CONSOLE.load(Relaxed) {
        ASCII => sclp::ascii_event(&text[..length], &mut event),
        LINE => sclp::line_event(&text[..length], &mut event),
        _ => return 0,
    };
    call(WRITE_EVENT_DATA, &event[..bytes], HEADER + bytes)
}

/// Prints an empty line, and checks that the service processor took it.
pub fn print_checked() -> Verdict {
    equal("response", DONE.into(), send(0).into())
}

/// Prints how the guest ends.
pub fn print_end(status: u8) {
    print(b"EXIT: STATUS=");
    let number = u64::from(status) << 1 | 1;
    for power in [100, 10, 1] {
        if number >= power {
            print(&[b'0' + (number / power % 10) as u8]);
        }
    }
    print(b"\n");
}
