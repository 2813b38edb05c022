//! The tables of ACPI (specification 6.5, chapter 5): processors, I/O APIC, power off and reset.

use super::boot::TABLES;
use super::ports::{CONTROL, EVENTS, TIMER};
use alloc::vec::Vec;

/// Where the local APICs are.
const LOCAL: u32 = 0xfee0_0000;
/// Where the I/O APIC is.
const IO: u32 = 0xfec0_0000;
/// Reset control.
const RESET: u64 = 0xcf9;

/// Makes the bytes add up to zero by the one at `at`.
fn seal(bytes: &mut [u8], at: usize) {
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if let Some(byte) = bytes.get_mut(at) {
        *byte = byte.wrapping_sub(sum);
    }
}

/// Returns a table with its header (5.2.6).
fn table(name: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let length = 36 + body.len() as u32;
    let mut bytes = Vec::new();
    bytes.extend(name);
    bytes.extend(length.to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(b"SKERRYSKERRYVM");
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(b"SKRY");
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(body);
    seal(&mut bytes, 9);
    bytes
}

/// Returns the table of interrupt controllers (5.2.12).
fn controllers(processors: usize) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(LOCAL.to_le_bytes());
    // There are 8259s too.
    body.extend(1_u32.to_le_bytes());
    for index in 0..processors.min(255) as u8 {
        body.extend([0, 8, index, index, 1, 0, 0, 0]);
    }
    body.extend([1, 12, processors.min(254) as u8, 0]);
    body.extend(IO.to_le_bytes());
    body.extend(0_u32.to_le_bytes());
    // The timer's interrupt of the ISA is on pin 2.
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    table(b"APIC", 3, &body)
}

/// Returns the fixed description (5.2.9).
fn fixed(facs: u64, dsdt: u64) -> Vec<u8> {
    /// WBINVD works, the timer has 32 bits, there is a reset register.
    const FLAGS: u32 = 1 | 1 << 8 | 1 << 10;
    const LENGTH: usize = 244 - 36;
    let mut body = alloc::vec![0; LENGTH];
    let mut put = |at: usize, bytes: &[u8]| {
        let start = at - 36;
        if let Some(place) = body.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(36, &(facs as u32).to_le_bytes());
    put(40, &(dsdt as u32).to_le_bytes());
    put(46, &9_u16.to_le_bytes());
    put(56, &u32::from(EVENTS).to_le_bytes());
    put(64, &u32::from(CONTROL).to_le_bytes());
    put(76, &u32::from(TIMER).to_le_bytes());
    put(88, &[4, 2, 0, 4]);
    put(112, &FLAGS.to_le_bytes());
    // An I/O port of eight bits.
    put(116, &[1, 8, 0, 1]);
    put(120, &RESET.to_le_bytes());
    put(128, &[6]);
    put(140, &dsdt.to_le_bytes());
    table(b"FACP", 3, &body)
}

/// Returns the firmware control structure (5.2.10).
fn control() -> Vec<u8> {
    let mut bytes = alloc::vec![0; 64];
    if let Some(start) = bytes.get_mut(..8) {
        start.copy_from_slice(b"FACS\x40\0\0\0");
    }
    bytes
}

/// `Name (\_S5_, Package (4) { 0, 0, 0, 0 })`: how to power off.
const POWER_OFF: &[u8] = &[
    0x08, b'_', b'S', b'5', b'_', 0x12, 0x06, 0x04, 0x00, 0x00, 0x00, 0x00,
];

/// Returns all tables; the root pointer is the first, at [`TABLES`], where guests look for it.
#[must_use]
pub fn tables(processors: usize) -> Vec<u8> {
    const FIRST: u64 = TABLES + 64;
    let mut rest: Vec<u8> = Vec::new();
    let mut add = |bytes: Vec<u8>| {
        rest.resize(rest.len().next_multiple_of(64), 0);
        let place = FIRST + rest.len() as u64;
        rest.extend(bytes);
        place
    };
    let facs = add(control());
    let dsdt = add(table(b"DSDT", 2, POWER_OFF));
    let parts = [add(fixed(facs, dsdt)), add(controllers(processors))];
    let short: Vec<u8> = parts
        .iter()
        .flat_map(|place| (*place as u32).to_le_bytes())
        .collect();
    let long: Vec<u8> = parts.iter().flat_map(|place| place.to_le_bytes()).collect();
    let rsdt = add(table(b"RSDT", 1, &short));
    let xsdt = add(table(b"XSDT", 1, &long));
    let mut root = Vec::new();
    root.extend(b"RSD PTR \0SKERRY\x02");
    root.extend((rsdt as u32).to_le_bytes());
    seal(&mut root, 8);
    root.extend(36_u32.to_le_bytes());
    root.extend(xsdt.to_le_bytes());
    root.extend([0; 4]);
    seal(&mut root, 32);
    root.resize(64, 0);
    root.extend(rest);
    root
}

#[cfg(test)]
mod tests {
    use super::tables;
    use crate::machine::x86::boot::TABLES;

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn every_table_adds_up_and_names_the_next() {
        let all = tables(3);
        assert_eq!(&all[..8], b"RSD PTR ");
        assert_eq!((sum(&all[..20]), sum(&all[..36])), (0, 0));
        let number = |at: usize, bytes: usize| {
            let mut value = [0; 8];
            value[..bytes].copy_from_slice(&all[at..at + bytes]);
            u64::from_le_bytes(value)
        };
        let place = |address: u64| (address - TABLES) as usize;
        let whole = |at: usize| &all[at..at + number(at + 4, 4) as usize];
        let xsdt = place(number(24, 8));
        assert_eq!(&all[xsdt..xsdt + 4], b"XSDT");
        assert_eq!(sum(whole(xsdt)), 0);
        for (index, name) in [b"FACP", b"APIC"].iter().enumerate() {
            let at = place(number(xsdt + 36 + index * 8, 8));
            assert_eq!(&all[at..at + 4], *name);
            assert_eq!(sum(whole(at)), 0);
        }
        let rsdt = place(number(16, 4));
        assert_eq!(number(rsdt + 36, 4), number(xsdt + 36, 8));
        let facp = place(number(xsdt + 36, 8));
        assert_eq!(&all[place(number(facp + 140, 8))..][..4], b"DSDT");
    }
}
