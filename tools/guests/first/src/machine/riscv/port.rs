//! The 16550 and the interrupt controller (PLIC) before it.

use core::ptr::with_exposed_provenance_mut;

use super::facts::facts;
use crate::report::{Verdict, Why, equal};

/// The port's registers.
const BASE: usize = 0x1000_0000;
/// Its interrupt.
const SOURCE: usize = 10;
/// Transmit holding register.
const TRANSMIT: usize = BASE;
/// Interrupt enable register.
const ENABLE: usize = BASE + 1;
/// Interrupt identification register.
const IDENTIFICATION: usize = BASE + 2;
/// Line status register.
const LINE_STATUS: usize = BASE + 5;
/// Scratch register.
pub const SCRATCH: usize = BASE + 7;
/// Interrupt enable: the transmit holding register is empty.
const TRANSMIT_EMPTY: u8 = 2;
/// Line status: likewise.
const IS_EMPTY: u8 = 1 << 5;

/// Loads a register.
pub fn load(address: usize) -> u8 {
    // SAFETY: a register of the port.
    unsafe { with_exposed_provenance_mut::<u8>(address).read_volatile() }
}

/// Stores to a register.
pub fn store(address: usize, value: u8) {
    // SAFETY: a register of the port; what the guest sends is its own business.
    unsafe { with_exposed_provenance_mut::<u8>(address).write_volatile(value) };
}

/// Loads a register of the controller.
fn load_word(address: usize) -> u32 {
    // SAFETY: a register of the interrupt controller.
    unsafe { with_exposed_provenance_mut::<u32>(address).read_volatile() }
}

/// Stores to a register of the controller.
fn store_word(address: usize, value: u32) {
    // SAFETY: a register of the interrupt controller, which is the guest's.
    unsafe { with_exposed_provenance_mut::<u32>(address).write_volatile(value) };
}

/// Prints text.
pub fn print(text: &[u8]) {
    for byte in text {
        while load(LINE_STATUS) & IS_EMPTY == 0 {}
        store(TRANSMIT, *byte);
    }
}

/// Prints a decimal number.
pub fn print_number(number: u64) {
    if number > 9 {
        print_number(number / 10);
    }
    print(&[b'0' + (number % 10) as u8]);
}

/// Returns the address of the controller's register at which interrupts are claimed.
fn claim() -> Option<usize> {
    let (base, context) = facts().controller?;
    Some(base as usize + 0x20_0004 + context as usize * 0x1000)
}

/// Lets the port interrupt, since it has nothing to send.
pub fn raise_interrupt() -> Verdict {
    let Some((base, context)) = facts().controller else {
        return Err(Why::Skipped("the machine has no PLIC"));
    };
    let (base, context) = (base as usize, context as usize);
    store_word(base + SOURCE * 4, 1);
    store_word(base + 0x2000 + context * 0x80, 1 << SOURCE);
    store_word(base + 0x20_0000 + context * 0x1000, 0);
    store(ENABLE, TRANSMIT_EMPTY);
    equal("interrupt enable register", 2, load(ENABLE).into())
}

/// Makes the port quiet; returns whether there was an interrupt to claim.
pub fn quiet() -> bool {
    let Some(claim) = claim() else {
        return false;
    };
    let source = load_word(claim);
    if source == 0 {
        return false;
    }
    load(IDENTIFICATION);
    store(ENABLE, 0);
    store_word(claim, source);
    true
}
