//! Walks of an x86 guest's tables, and how its instructions are copied.
#![allow(missing_docs)]

mod x86_fake;

use proptest::prelude::*;
use vcpu::machine::x86::Trouble;
use vcpu::machine::x86::instruction::{Bytes, LONGEST, Mode};
use vcpu::machine::x86::walk::{fetch, translate};
use x86_fake::{BYTES, World, id};
use x86_regs::msr;
use x86_regs::one_reg::{Register, SegmentField};

/// Where tables are: the first one, the next ones.
const TABLES: [u64; 5] = [0x1000, 0x2000, 0x3000, 0x4000, 0x5000];
/// Two pages for what is mapped, not next to each other.
const PAGES: [u64; 2] = [0x9000, 0x7000];
/// An entry is there, and its user may write.
const THERE: u64 = 7;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
/// A linear address with another index in each table.
const ADDRESS: u64 = 0x0000_8a55_c3e7_5123;

/// Ways to translate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paging {
    Five,
    Four,
    Extension,
    Narrow,
}

const WIDE: [Paging; 3] = [Paging::Five, Paging::Four, Paging::Extension];

impl Paging {
    /// Lowest bits of the indices, first table first.
    const fn shifts(self) -> &'static [u32] {
        match self {
            Self::Five => &[48, 39, 30, 21, 12],
            Self::Four => &[39, 30, 21, 12],
            Self::Extension => &[30, 21, 12],
            Self::Narrow => &[22, 12],
        }
    }

    /// An address that is not longer than linear ones are.
    const fn cut(self, address: u64) -> u64 {
        match self {
            Self::Five | Self::Four => address,
            Self::Extension | Self::Narrow => address & 0xffff_ffff,
        }
    }
}

/// A guest in 64-bit mode, or in a mode of 32 bits, that translates so; nothing is mapped.
fn guest(paging: Paging) -> World {
    let mut world = World {
        memory: vec![0; BYTES],
        ..World::default()
    };
    let (cr4, features, attributes) = match paging {
        Paging::Five => (0x1020, 0x500, 0xa9b),
        Paging::Four => (0x20, 0x500, 0xa9b),
        Paging::Extension => (0x20, 0, 0xc9b),
        Paging::Narrow => (0x10, 0, 0xc9b),
    };
    world.set(Register::Cr0, 0x8000_0011);
    world.set(Register::Cr3, TABLES[0]);
    world.set(Register::Cr4, cr4);
    world.set(Register::ModelSpecific(msr::EFER), features);
    world.set(Register::Segment(1, SegmentField::Attributes), attributes);
    world
}

/// Writes the entry of a table for an address.
fn put(world: &mut World, paging: Paging, (level, address): (usize, u64), entry: u64) {
    let shift = paging.shifts()[level];
    let (bits, size) = match paging {
        Paging::Narrow => (10, 4),
        _ => (9, 8),
    };
    let index = paging.cut(address) >> shift & ((1 << bits) - 1);
    let place = (TABLES[level] + index * size as u64) as usize;
    world.memory[place..place + size].copy_from_slice(&entry.to_le_bytes()[..size]);
}

/// Maps an address by a leaf in the table of this level.
fn map(world: &mut World, paging: Paging, (level, address): (usize, u64), leaf: u64) {
    for above in 0..level {
        put(world, paging, (above, address), TABLES[above + 1] | THERE);
    }
    put(world, paging, (level, address), leaf);
}

fn last(paging: Paging) -> usize {
    paging.shifts().len() - 1
}

#[test]
fn every_kind_of_tables_maps_pages() {
    for paging in [WIDE[0], WIDE[1], WIDE[2], Paging::Narrow] {
        let (mut world, address) = (guest(paging), paging.cut(ADDRESS));
        let high = if paging == Paging::Narrow {
            0
        } else {
            NO_EXECUTE
        };
        map(
            &mut world,
            paging,
            (last(paging), address),
            PAGES[0] | THERE | high,
        );
        let found = translate(id(0), address, &mut world);
        assert_eq!(found, Ok(Some(PAGES[0] | address & 0xfff)), "{paging:?}");
        // Of another page, nothing is known.
        assert_eq!(translate(id(0), address ^ 0x1000, &mut world), Ok(None));
    }
}

#[test]
fn large_pages_are_as_large_as_their_level() {
    for (paging, level, base) in [
        (Paging::Five, 2, 0x3_4000_0000),
        (Paging::Five, 3, 0x1_2340_0000),
        (Paging::Four, 1, 0x3_4000_0000),
        (Paging::Four, 2, 0x1_2340_0000),
        (Paging::Extension, 1, 0x1_2340_0000),
    ] {
        let (mut world, address) = (guest(paging), paging.cut(ADDRESS));
        let below = (1_u64 << paging.shifts()[level]) - 1;
        // Bits below the page's number, as the one of memory types, are none of its address.
        map(
            &mut world,
            paging,
            (level, address),
            base | 1 << 12 | LARGE | THERE,
        );
        let found = translate(id(0), address, &mut world);
        assert_eq!(
            found,
            Ok(Some(base | address & below)),
            "{paging:?} {level}"
        );
    }
}

#[test]
fn no_level_above_the_largest_page_is_a_leaf() {
    for (paging, level) in [(Paging::Five, 0), (Paging::Five, 1), (Paging::Four, 0)] {
        let mut world = guest(paging);
        map(
            &mut world,
            paging,
            (last(paging), ADDRESS),
            PAGES[0] | THERE,
        );
        put(
            &mut world,
            paging,
            (level, ADDRESS),
            TABLES[level + 1] | LARGE | THERE,
        );
        let found = translate(id(0), ADDRESS, &mut world);
        assert_eq!(
            found,
            Ok(Some(PAGES[0] | ADDRESS & 0xfff)),
            "{paging:?} {level}"
        );
    }
}

#[test]
fn pages_of_4_mib_are_where_they_are_switched_on() {
    let (mut world, address) = (guest(Paging::Narrow), Paging::Narrow.cut(ADDRESS));
    // Bits 39:32 of the page are in 20:13.
    let leaf = 0x00c0_0000 | 0x12 << 13 | LARGE | THERE;
    map(&mut world, Paging::Narrow, (0, address), leaf);
    let found = translate(id(0), address, &mut world);
    assert_eq!(found, Ok(Some(0x12_00c0_0000 | address & 0x3f_ffff)));
    world.set(Register::Cr4, 0);
    assert_eq!(translate(id(0), address, &mut world), Ok(None));
}

#[test]
fn without_paging_addresses_are_physical_and_tables_are_not_looked_at() {
    let mut world = guest(Paging::Four);
    world.set(Register::Cr0, 0x11);
    assert_eq!(translate(id(0), ADDRESS, &mut world), Ok(Some(ADDRESS)));
    assert!(world.reads.is_empty());
}

#[test]
fn every_entry_is_copied_once_and_whole() {
    for paging in WIDE {
        let (mut world, address) = (guest(paging), paging.cut(ADDRESS));
        map(
            &mut world,
            paging,
            (last(paging), address),
            PAGES[0] | THERE,
        );
        translate(id(0), address, &mut world).unwrap();
        let tables: Vec<_> = world.reads.iter().map(|(at, _)| at & !0xfff).collect();
        assert_eq!(tables, TABLES[..paging.shifts().len()], "{paging:?}");
        assert!(
            world
                .reads
                .iter()
                .all(|(at, bytes)| (at % 8, *bytes) == (0, 8))
        );
    }
}

#[test]
fn what_is_not_there_ends_the_walk() {
    let paging = Paging::Four;
    for (level, table) in TABLES.into_iter().enumerate().take(4) {
        let mut world = guest(paging);
        map(&mut world, paging, (3, ADDRESS), PAGES[0] | THERE);
        put(&mut world, paging, (level, ADDRESS), PAGES[0] | THERE & !1);
        assert_eq!(translate(id(0), ADDRESS, &mut world), Ok(None));
        // A table that is no memory.
        if level < 3 {
            put(
                &mut world,
                paging,
                (level, ADDRESS),
                0xf_ffff_ffff_f000 | THERE,
            );
            assert_eq!(translate(id(0), ADDRESS, &mut world), Ok(None));
        }
        // A table that is not there now.
        map(&mut world, paging, (3, ADDRESS), PAGES[0] | THERE);
        world.absent = Some(table >> 12);
        let absent = Trouble::Absent(table);
        assert_eq!(translate(id(0), ADDRESS, &mut world), Err(absent));
    }
}

/// A guest whose memory has other bytes everywhere, with two pages at `address` and behind it.
fn coded(address: u64) -> World {
    let (paging, mut world) = (Paging::Four, guest(Paging::Four));
    for page in PAGES {
        for place in page..page + 0x1000 {
            world.memory[place as usize] = (place * 7 + place / 256) as u8;
        }
    }
    map(&mut world, paging, (3, address), PAGES[0] | THERE);
    put(&mut world, paging, (3, address + 0x1000), PAGES[1] | THERE);
    world
}

/// The bytes from an address in the first page on, which go on in the second one.
fn expected(world: &World, address: u64, count: usize) -> Vec<u8> {
    let at = |offset: u64| PAGES[(offset >> 12) as usize] + offset % 0x1000;
    let offsets = (address & 0xfff)..;
    offsets
        .take(count)
        .map(|offset| world.memory[at(offset) as usize])
        .collect()
}

/// The page that code is in.
const CODE: u64 = 0x0000_5555_5555_4000;

#[test]
fn an_instruction_that_lies_in_one_page_is_two_words() {
    for offset in 0..=0x1000 - LONGEST as u64 {
        let mut world = coded(CODE);
        let bytes = Bytes::new(&expected(&world, CODE + offset, LONGEST));
        assert_eq!(
            fetch(id(0), CODE + offset, &mut world),
            Ok((bytes, Mode::Bits64))
        );
        let words = [(PAGES[0] + offset, 8), (PAGES[0] + offset + 7, 8)];
        assert_eq!(world.reads[4..], words);
    }
}

#[test]
fn an_instruction_that_crosses_pages_goes_on_where_the_next_one_is() {
    for offset in 0x1001 - LONGEST as u64..0x1000 {
        let mut world = coded(CODE);
        let bytes = Bytes::new(&expected(&world, CODE + offset, LONGEST));
        assert_eq!(
            fetch(id(0), CODE + offset, &mut world),
            Ok((bytes, Mode::Bits64))
        );
        // Where the next page is none, it may be short enough.
        put(&mut world, Paging::Four, (3, CODE + 0x1000), 0);
        let count = 0x1000 - offset as usize;
        let bytes = Bytes::new(&expected(&world, CODE + offset, count));
        assert_eq!(
            fetch(id(0), CODE + offset, &mut world),
            Ok((bytes, Mode::Bits64))
        );
        // Where it is not there now, nobody knows.
        put(
            &mut world,
            Paging::Four,
            (3, CODE + 0x1000),
            PAGES[1] | THERE,
        );
        world.absent = Some(PAGES[1] >> 12);
        let absent = Trouble::Absent(PAGES[1]);
        assert_eq!(fetch(id(0), CODE + offset, &mut world), Err(absent));
    }
}

#[test]
fn an_instruction_that_is_no_memory_or_absent_has_no_bytes() {
    let mut world = coded(CODE);
    world.absent = Some(PAGES[0] >> 12);
    let absent = Trouble::Absent(PAGES[0]);
    assert_eq!(fetch(id(0), CODE, &mut world), Err(absent));
    put(&mut world, Paging::Four, (3, CODE), BYTES as u64 | THERE);
    let none = Ok((Bytes::new(&[]), Mode::Bits64));
    assert_eq!(fetch(id(0), CODE, &mut world), none);
    put(&mut world, Paging::Four, (3, CODE), 0);
    assert_eq!(fetch(id(0), CODE, &mut world), none);
}

#[test]
fn the_last_bytes_of_memory_are_an_instruction() {
    let mut world = guest(Paging::Four);
    world.set(Register::Cr0, 0x11);
    world.memory[BYTES - 20..].copy_from_slice(&core::array::from_fn::<u8, 20, _>(|it| it as u8));
    for count in 1..=20 {
        let bytes: Vec<_> = (20 - count as u8..20).take(LONGEST).collect();
        let found = fetch(id(0), (BYTES - count) as u64, &mut world);
        assert_eq!(found, Ok((Bytes::new(&bytes), Mode::Bits64)));
    }
}

#[test]
fn a_byte_that_changes_meanwhile_is_what_one_read_saw() {
    let mut world = guest(Paging::Four);
    world.set(Register::Cr0, 0x11);
    world.memory.fill(0x0f);
    world.changes = true;
    let (bytes, _) = fetch(id(0), 0x1003, &mut world).unwrap();
    let mut seen = [0x0f; LONGEST];
    seen[7..].fill(0xf0);
    assert_eq!(bytes, Bytes::new(&seen));
}

#[test]
fn registers_that_are_at_hand_are_not_asked_for() {
    for paging in [Paging::Four, Paging::Narrow] {
        let (mut world, address) = (guest(paging), paging.cut(CODE));
        let base = Register::Segment(1, SegmentField::Base);
        world.set(base, 0x2000);
        for page in [address, address + 0x2000] {
            map(&mut world, paging, (last(paging), page), PAGES[0] | THERE);
        }
        world.memory[PAGES[0] as usize..][..LONGEST].fill(0x90);
        let asked = fetch(id(0), address, &mut world);
        assert_eq!(
            asked.map(|(bytes, _)| bytes),
            Ok(Bytes::new(&[0x90; LONGEST]))
        );
        assert!(world.asked > 0);
        (world.noted, world.asked) = (true, 0);
        assert_eq!(fetch(id(0), address, &mut world), asked);
        assert_eq!(world.asked, 0);
    }
}

#[test]
fn code_of_other_modes_has_a_base() {
    let mut world = guest(Paging::Narrow);
    let base = Register::Segment(1, SegmentField::Base);
    let attributes = Register::Segment(1, SegmentField::Attributes);
    world.set(Register::Cr0, 0x11);
    world.set(base, 0xffff_8000);
    world.memory[0x1000..0x1000 + LONGEST].fill(0x90);
    let bytes = Bytes::new(&[0x90; LONGEST]);
    // It wraps around at 4 GiB.
    assert_eq!(fetch(id(0), 0x9000, &mut world), Ok((bytes, Mode::Bits32)));
    world.set(attributes, 0x89b);
    assert_eq!(fetch(id(0), 0x9000, &mut world), Ok((bytes, Mode::Bits16)));
    // The bit of 64-bit mode is none outside of long mode.
    world.set(attributes, 0xa9b);
    assert_eq!(fetch(id(0), 0x9000, &mut world), Ok((bytes, Mode::Bits16)));
}

proptest! {
    #[test]
    fn no_tables_break_the_walk(
        page in proptest::collection::vec(any::<u8>(), 0x1000),
        (control, address) in (any::<[u64; 3]>(), any::<u64>()),
        near in any::<bool>(),
    ) {
        let memory = page.into_iter().cycle().take(BYTES).collect();
        let mut world = World { memory, ..World::default() };
        let [cr0, cr3, cr4] = control;
        let (cr0, cr3) = if near { (cr0 | 1 << 31, cr3 & 0xffff) } else { (cr0, cr3) };
        world.set(Register::Cr0, cr0);
        world.set(Register::Cr3, cr3);
        world.set(Register::Cr4, cr4);
        world.set(Register::ModelSpecific(msr::EFER), cr4 >> 20 & 0x500);
        if near {
            // Entries that lead to tables that are memory.
            for entry in world.memory.chunks_mut(8) {
                entry[2..].fill(0);
            }
        }
        let _ = translate(id(0), address, &mut world);
        let (bytes, _) = fetch(id(0), address, &mut world).unwrap();
        prop_assert!(usize::from(bytes.count()) <= LONGEST);
        prop_assert!(world.reads.iter().all(|(at, bytes)| at + *bytes as u64 <= BYTES as u64));
    }
}
