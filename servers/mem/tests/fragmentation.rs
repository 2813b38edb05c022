//! How the free memory looks after a long mixed load, beside a plain binary buddy.
//!
//! `MEM_OPERATIONS` says how long.

use mem::load::buddy::Buddy;
use mem::load::{Allocator, Load};
use mem::{Extent, Folios, FrameNumber, Geometry, Gigantic, Memory, Owner, Refusal, Want};

/// Frames of the memory: 1 GiB.
const FRAMES: u64 = 1 << 18;
/// Order of the blocks that matter: 2 MiB.
const ORDER: u8 = 9;

/// The folio allocator, for one owner.
struct OfOne(Folios, Owner);

impl Allocator for OfOne {
    type Block = Extent;
    type Answer = Result<Extent, Refusal>;

    fn block(answer: Self::Answer) -> Option<Extent> {
        answer.ok()
    }

    fn allocate(&mut self, order: u8) -> Self::Answer {
        let want = Want {
            order,
            node: None,
            movable: true,
        };
        self.0.allocate(self.1, want)
    }

    fn free(&mut self, extent: Extent) {
        let freed = self.0.free_frames(self.1, extent.base(), extent.frames());
        freed.expect("it was given");
    }
}

fn folios() -> OfOne {
    let mut folios = Folios::new(Geometry {
        section_shift: 15,
        vmemmap: true,
        gigantic: Gigantic::OneGib,
    });
    let memory = Memory {
        first: FrameNumber::new(FRAMES).unwrap(),
        frames: FRAMES,
        node: 0,
    };
    folios.donate(memory, 0).unwrap();
    let owner = folios.add_owner(u64::MAX).unwrap();
    OfOne(folios, owner)
}

/// Makes the load; returns the frames in use.
fn run<A: Allocator>(allocator: &mut A, operations: u64) -> u64 {
    let mut load = Load::new(1, FRAMES);
    for _ in 0..operations {
        load.step(allocator, &mut |_, act| act());
    }
    load.used()
}

#[test]
fn no_more_is_fragmented_than_in_a_plain_buddy() {
    let operations = std::env::var("MEM_OPERATIONS").ok();
    let operations = operations.and_then(|count| count.parse().ok());
    let operations = operations.unwrap_or(10_000_000);
    let mut ours = folios();
    let used = run(&mut ours, operations);
    let metrics = ours.0.metrics();
    assert_eq!(metrics.free, FRAMES - used);
    let mut plain = Buddy::new(u32::try_from(FRAMES).unwrap());
    run(&mut plain, operations);
    let (ours, theirs) = (metrics.fragmentation(ORDER), plain.fragmentation(ORDER));
    println!(
        "{operations} operations, {used} of {FRAMES} frames used: free below order {ORDER}: {ours} of 1000, plain buddy {theirs}"
    );
    assert!(ours <= theirs);
}

#[test]
fn descriptors_and_trees_are_less_than_four_thousandths() {
    let footprint = folios().0.footprint() as u64;
    assert!(footprint * 1000 <= (FRAMES << 12) * 4, "{footprint} bytes");
}
