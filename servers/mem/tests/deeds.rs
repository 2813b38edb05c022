//! Capabilities follow the folios, by the kernel's rules and in a bounded number of slots.

mod world;

use mem::{DeedRefusal, Deeds, Extent, Folios, FrameNumber, Geometry, Gigantic, Memory};
use mem::{Made, Owner, Want};
use proptest::prelude::*;
use world::fake::Fake;

/// The memory.
const ROOTS: [(u64, u8); 2] = [(0x400, 10), (0x1000, 8)];

/// All memory, all of it free.
fn memory() -> (Folios, Owner) {
    let mut folios = Folios::new(Geometry {
        section_shift: 15,
        vmemmap: true,
        gigantic: Gigantic::OneGib,
    });
    for (base, order) in ROOTS {
        let first = FrameNumber::new(base).unwrap();
        let memory = Memory {
            first,
            frames: 1 << order,
            node: 0,
        };
        folios.donate(memory, 0).unwrap();
    }
    let owner = folios.add_owner(1 << 20).unwrap();
    (folios, owner)
}

fn deeds(slots: u32) -> (Fake, Deeds) {
    let (mut fake, mut deeds) = (Fake::default(), Deeds::new(100..100 + slots));
    for ((base, order), slot) in ROOTS.into_iter().zip(1..) {
        fake.grant(slot, base, order);
        deeds.add_root(FrameNumber::new(base).unwrap(), order, slot);
    }
    (fake, deeds)
}

/// Checks that the slots hold the frames of these folios, and no others.
fn check(fake: &Fake, deeds: &Deeds, folios: &[Extent]) {
    let frames = fake.slots.values();
    let frames = frames.filter(|object| object.made == Made::Frame).count();
    assert_eq!(frames, folios.len());
    for folio in folios {
        let slot = deeds.frame(*folio).expect("each has a frame");
        let object = fake.slots[&slot];
        assert_eq!(object.base, folio.base().number());
        assert_eq!(object.order, folio.order());
    }
}

fn want(order: u8) -> Want {
    Want {
        order,
        node: None,
        movable: true,
    }
}

proptest! {
    #[test]
    fn every_folio_has_a_frame_of_its_own(
        slots in 4_u32..200,
        steps in prop::collection::vec((any::<bool>(), any::<u8>(), any::<usize>()), 1..300),
    ) {
        let (mut folios, owner) = memory();
        let (mut fake, mut deeds) = deeds(slots);
        let mut held: Vec<Extent> = Vec::new();
        for (takes, order, pick) in steps {
            if takes {
                let Ok(extent) = folios.allocate(owner, want(order % 11)) else {
                    continue;
                };
                let left = deeds.slots_left();
                match deeds.make(&mut fake, extent) {
                    Ok(_) => held.push(extent),
                    Err(refusal) => {
                        prop_assert_eq!(refusal, DeedRefusal::NoSlots);
                        prop_assert!(left < 2 * 10 + 1);
                        folios.free_frames(owner, extent.base(), extent.frames()).unwrap();
                    }
                }
            } else if !held.is_empty() {
                let extent = held.swap_remove(pick % held.len());
                prop_assert!(deeds.delete(&mut fake, extent));
                folios.free_frames(owner, extent.base(), extent.frames()).unwrap();
            }
            let used = fake.slots.len() - ROOTS.len();
            prop_assert!(used <= slots as usize);
            check(&fake, &deeds, &held);
        }
        for extent in held {
            deeds.delete(&mut fake, extent);
        }
        prop_assert_eq!(deeds.slots_left(), slots as usize);
    }

    #[test]
    fn a_kernel_that_refuses_leaves_nothing_behind(fails_in in 0_u32..25) {
        let (mut folios, owner) = memory();
        let (mut fake, mut deeds) = deeds(64);
        let kept = folios.allocate(owner, want(3)).unwrap();
        deeds.make(&mut fake, kept).unwrap();
        let extent = folios.allocate(owner, want(0)).unwrap();
        fake.fails_in = Some(fails_in);
        match deeds.make(&mut fake, extent) {
            Ok(_) => check(&fake, &deeds, &[kept, extent]),
            Err(refusal) => {
                prop_assert_eq!(refusal, DeedRefusal::Kernel);
                check(&fake, &deeds, &[kept]);
                deeds.make(&mut fake, extent).unwrap();
                check(&fake, &deeds, &[kept, extent]);
            }
        }
        deeds.delete(&mut fake, kept);
        deeds.delete(&mut fake, extent);
        prop_assert_eq!(deeds.slots_left(), 64);
    }
}

#[test]
fn a_folio_is_divided_without_losing_what_is_in_it() {
    let (mut folios, owner) = memory();
    let (mut fake, mut deeds) = deeds(64);
    let extent = folios.allocate(owner, want(4)).unwrap();
    deeds.make(&mut fake, extent).unwrap();
    let parts: Vec<Extent> = extent.part(3, 9).unwrap().blocks().collect();
    fake.contents.insert(extent.base().number() + 5, 77);
    deeds.divide(&mut fake, extent, &parts).unwrap();
    check(&fake, &deeds, &parts);
    assert_eq!(fake.contents[&(extent.base().number() + 5)], 77);
}

#[test]
fn too_few_slots_for_all_parts_change_nothing() {
    let (mut folios, owner) = memory();
    let (mut fake, mut deeds) = deeds(20);
    let extent = folios.allocate(owner, want(8)).unwrap();
    deeds.make(&mut fake, extent).unwrap();
    let parts: Vec<Extent> = extent.part(1, 250).unwrap().blocks().collect();
    let before = fake.clone();
    let divided = deeds.divide(&mut fake, extent, &parts);
    assert_eq!(divided, Err(DeedRefusal::NoSlots));
    assert_eq!(fake, before);
}

#[test]
fn memory_that_was_not_granted_has_no_frame() {
    let (mut folios, owner) = memory();
    let (mut fake, mut deeds) = deeds(20);
    let extent = folios.allocate(owner, want(5)).unwrap();
    let part = extent.part(1, 2).unwrap();
    assert_eq!(
        deeds.make(&mut fake, part),
        Err(DeedRefusal::NotGranted),
        "it is not aligned"
    );
    deeds.make(&mut fake, extent).unwrap();
    assert_eq!(
        deeds.make(&mut fake, extent.part(0, 2).unwrap()),
        Err(DeedRefusal::NotGranted),
        "it is part of a folio"
    );
    assert!(!deeds.delete(&mut fake, part));
}
