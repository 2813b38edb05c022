//! Where images go.
#![allow(missing_docs)]

use proptest::prelude::*;
use vcpu::machine::riscv::loader::{
    Extras, FLAT_OFFSET, Flattened, Kind, LoadError, Memory, Plan, Segment, plan, plan_flattened,
};

const BASE: u64 = 0x8000_0000;
const MEBI: u64 = 1 << 20;

fn memory(mebibytes: u64) -> Memory {
    Memory::new(BASE, mebibytes * MEBI).unwrap()
}

fn extras(initrd_bytes: Option<u64>) -> Extras {
    Extras {
        initrd_bytes,
        device_tree_bytes: 0x1_0000,
    }
}

fn linux(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut image = vec![0; 4096];
    image[..2].copy_from_slice(b"MZ");
    image[8..16].copy_from_slice(&text_offset.to_le_bytes());
    image[16..24].copy_from_slice(&image_size.to_le_bytes());
    image[24..32].copy_from_slice(&flags.to_le_bytes());
    image[48..56].copy_from_slice(b"RISCV\0\0\0");
    image[56..60].copy_from_slice(b"RSC\x05");
    image
}

fn elf(entry: u64, segments: &[(u64, u64, u64, u64, u64)]) -> Vec<u8> {
    let mut image = vec![0; 0x1000];
    image[..6].copy_from_slice(b"\x7fELF\x02\x01");
    image[18..20].copy_from_slice(&243u16.to_le_bytes());
    image[24..32].copy_from_slice(&entry.to_le_bytes());
    image[32..40].copy_from_slice(&64u64.to_le_bytes());
    image[54..56].copy_from_slice(&56u16.to_le_bytes());
    image[56..58].copy_from_slice(&(segments.len() as u16).to_le_bytes());
    for (index, &(offset, virt, phys, file, mem)) in segments.iter().enumerate() {
        let at = 64 + index * 56;
        image[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        for (field, value) in [(8, offset), (16, virt), (24, phys), (32, file), (40, mem)] {
            image[at + field..at + field + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    image
}

#[test]
fn linux_lies_behind_its_text_offset_with_all_its_memory() {
    let image = linux(2 * MEBI, 30 * MEBI, 0);
    let plan = plan(&image, memory(256), extras(Some(5000))).unwrap();
    assert_eq!((plan.kind, plan.entry), (Kind::Linux, BASE + 2 * MEBI));
    let address = BASE + 2 * MEBI;
    let segment = Segment {
        offset: 0,
        bytes: 4096,
        address,
        memory_bytes: 30 * MEBI,
    };
    assert_eq!(plan.segments, [segment]);
    assert_eq!(plan.device_tree.address, BASE + 254 * MEBI);
    assert_eq!(plan.initrd.unwrap().address, BASE + 254 * MEBI - 8192);
}

#[test]
fn linux_needs_its_whole_size() {
    let image = linux(2 * MEBI, 30 * MEBI, 0);
    let outside = LoadError::Outside {
        address: BASE + 2 * MEBI,
        bytes: 30 * MEBI,
    };
    assert_eq!(plan(&image, memory(31), extras(None)), Err(outside));
    let too_little = plan(&image, memory(32), extras(None));
    assert!(matches!(too_little, Err(LoadError::TooLittleMemory { .. })));
    assert!(plan(&image, memory(34), extras(None)).is_ok());
}

#[test]
fn linux_headers_that_cannot_be_right_are_refused() {
    assert_eq!(
        plan(&linux(4096, 0, 0), memory(64), extras(None)),
        Err(LoadError::BadHeader)
    );
    assert_eq!(
        plan(&linux(2 * MEBI, 0, 1), memory(64), extras(None)),
        Err(LoadError::WrongFormat)
    );
    assert_eq!(
        plan(&linux(u64::MAX, 0, 0), memory(64), extras(None)),
        Err(LoadError::BadHeader)
    );
    let short = &linux(2 * MEBI, 0, 0)[..60];
    assert_eq!(
        plan(short, memory(64), extras(None)),
        Err(LoadError::Truncated)
    );
}

#[test]
fn elf_segments_go_to_their_physical_addresses() {
    let high = 0xffff_ffff_8000_0000;
    let image = elf(
        high + 0x10,
        &[
            (0x800, high, BASE + 0x1000, 0x100, 0x200),
            (0, 0, BASE + 0x9000, 0, 0x1000),
            (0, 0, 0, 0, 0),
        ],
    );
    let plan = plan(&image, memory(16), extras(None)).unwrap();
    assert_eq!((plan.kind, plan.entry), (Kind::Elf, BASE + 0x1010));
    assert_eq!(plan.segments.len(), 2);
    let first = Segment {
        offset: 0x800,
        bytes: 0x100,
        address: BASE + 0x1000,
        memory_bytes: 0x200,
    };
    assert_eq!(plan.segments[0], first);
}

#[test]
fn elf_files_that_cannot_be_right_are_refused() {
    let load = |image: &[u8]| plan(image, memory(16), extras(None)).unwrap_err();
    let good = [(0u64, BASE, BASE, 0x100u64, 0x100u64)];
    assert_eq!(load(&elf(BASE + 0x100, &good)), LoadError::NothingToRun);
    assert_eq!(load(&elf(BASE, &[])), LoadError::NothingToRun);
    assert_eq!(
        load(&elf(BASE, &[(0, BASE, BASE, 0x200, 0x100)])),
        LoadError::BadHeader
    );
    assert_eq!(
        load(&elf(BASE, &[(0xfff, BASE, BASE, 0x100, 0x100)])),
        LoadError::Truncated
    );
    let outside = LoadError::Outside {
        address: 0x1000,
        bytes: 0x100,
    };
    assert_eq!(
        load(&elf(BASE, &[good[0], (0, 0, 0x1000, 0, 0x100)])),
        outside
    );
    assert_eq!(
        load(&elf(BASE, &[good[0], (0, 0, BASE + 0x80, 0, 0x100)])),
        LoadError::Overlap
    );
    let change = |at: usize, value: u8| {
        let mut image = elf(BASE, &good);
        image[at] = value;
        load(&image)
    };
    assert_eq!(change(4, 1), LoadError::WrongFormat);
    assert_eq!(change(5, 2), LoadError::WrongFormat);
    assert_eq!(change(18, 62), LoadError::WrongMachine);
    assert_eq!(change(57, 1), LoadError::BadHeader);
    assert_eq!(load(&elf(BASE, &good)[..80]), LoadError::Truncated);
    assert_eq!(load(b"\x7fELF"), LoadError::Truncated);
}

#[test]
fn an_initrd_of_any_size_is_answered() {
    for bytes in [256 * MEBI, u64::MAX] {
        let result = plan(b"flat", memory(256), extras(Some(bytes)));
        assert!(matches!(result, Err(LoadError::TooLittleMemory { .. })));
    }
}

#[test]
fn anything_else_is_flat_at_the_usual_address() {
    let plan = plan(&[0x13, 0, 0, 0], memory(16), extras(None)).unwrap();
    assert_eq!((plan.kind, plan.entry), (Kind::Flat, BASE + FLAT_OFFSET));
    assert_eq!(plan.segments[0].address, 0x8020_0000);
}

#[test]
fn files_that_only_look_like_a_guest_get_a_clear_message() {
    let message = |image: &[u8]| {
        plan(image, memory(16), extras(None))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(message(b""), "the guest file is empty");
    assert!(message(b"\x1f\x8b\x08\0").contains("compressed"));
    assert!(message(b"MZ\0\0").contains("EFI"));
    let small = Memory::new(BASE, MEBI).unwrap();
    let outside = plan(b"flat", small, extras(None)).unwrap_err().to_string();
    assert!(outside.contains("0x80200000"), "{outside}");
}

/// Every place of a plan as address and end.
fn places(plan: &Plan) -> Vec<(u64, u64)> {
    let mut all: Vec<_> = plan
        .segments
        .iter()
        .map(|s| (s.address, s.address + s.memory_bytes))
        .collect();
    all.extend(
        plan.initrd
            .map(|place| (place.address, place.address + place.bytes)),
    );
    let tree = plan.device_tree;
    all.push((tree.address, tree.address + tree.bytes));
    all.sort_unstable();
    all
}

#[test]
fn a_flattened_image_lies_where_its_file_said() {
    let image = Flattened {
        bytes: 0x1234,
        load: BASE + MEBI,
        memory_bytes: 0x5000,
        entry: BASE + MEBI + 0x10,
    };
    let plan = plan_flattened(image, memory(16), extras(Some(0x3000))).unwrap();
    assert_eq!(plan.entry, BASE + MEBI + 0x10);
    let segment = Segment {
        offset: 0,
        bytes: 0x1234,
        address: BASE + MEBI,
        memory_bytes: 0x5000,
    };
    assert_eq!(plan.segments, [segment]);
    assert_eq!(plan.device_tree.address, BASE + 14 * MEBI);
    assert_eq!(plan.initrd.unwrap().address, BASE + 14 * MEBI - 0x3000);
}

#[test]
fn a_flattened_image_that_lies_or_starts_elsewhere_is_refused() {
    let image = Flattened {
        bytes: 0x1000,
        load: BASE,
        memory_bytes: 0,
        entry: BASE,
    };
    let refusal = |image| plan_flattened(image, memory(16), extras(None)).unwrap_err();
    let below = Flattened {
        load: BASE - 0x1000,
        ..image
    };
    assert!(matches!(refusal(below), LoadError::Outside { .. }));
    let endless = Flattened {
        memory_bytes: u64::MAX,
        ..image
    };
    assert!(matches!(refusal(endless), LoadError::Outside { .. }));
    for entry in [BASE - 1, BASE + 0x1000, 0, u64::MAX] {
        let image = Flattened { entry, ..image };
        assert_eq!(refusal(image), LoadError::NothingToRun);
    }
    let empty = Flattened { bytes: 0, ..image };
    assert_eq!(refusal(empty), LoadError::Empty);
    let full = Flattened {
        memory_bytes: 15 * MEBI,
        ..image
    };
    assert!(matches!(refusal(full), LoadError::TooLittleMemory { .. }));
}

proptest! {
    #[test]
    fn places_lie_in_memory_and_apart(
        pages in 1u64..0x2_0000, size in 0u64..64 * MEBI, initrd: Option<u32>, kind in 0..3,
    ) {
        let memory = Memory::new(BASE, pages * 4096).unwrap();
        let image = match kind {
            0 => linux(2 * MEBI, size, 0),
            1 => elf(BASE, &[(0, BASE, BASE, 0x100, size.max(0x100))]),
            _ => vec![0x13; 100],
        };
        let extras = extras(initrd.map(|bytes| u64::from(bytes) % (64 * MEBI)));
        if let Ok(plan) = plan(&image, memory, extras) {
            let places = places(&plan);
            prop_assert!(places.iter().all(|&(at, end)| memory.contains(at, end - at)));
            prop_assert!(places.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            prop_assert_eq!(plan.device_tree.address % (2 * MEBI), 0);
            prop_assert!(memory.contains(plan.entry, 1));
        }
    }

    #[test]
    fn no_file_panics(mut image: Vec<u8>, magic in 0..3) {
        let head: &[u8] = match magic {
            0 => b"\x7fELF\x02\x01",
            1 => b"MZ",
            _ => b"",
        };
        let length = head.len().min(image.len());
        image[..length].copy_from_slice(&head[..length]);
        let _ = plan(&image, memory(16), extras(Some(1)));
    }

    #[test]
    fn no_header_of_an_elf_file_panics(at in 16usize..176, value: u64) {
        let mut image = elf(BASE, &[(0, BASE, BASE, 0x100, 0x100), (0, 0, BASE + MEBI, 0, 0x100)]);
        image[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let _ = plan(&image, memory(16), extras(None));
    }
}
