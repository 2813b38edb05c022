//! How the free memory looks during long mixed loads, beside a plain binary buddy.
//!
//! `MEM_SEEDS` says how many loads there are.

use mem::load::buddy::Buddy;
use mem::load::{Allocator, Fragments, Load, MOMENT};
use mem::{Extent, Folios, FrameNumber, Geometry, Gigantic, Memory, Owner, Refusal, Want};

/// Frames of the memories: 256 MiB, as in the load that the server makes, and 1 GiB.
const FRAMES: [u64; 2] = [1 << 16, 1 << 18];
/// Operations of a load.
const OPERATIONS: u64 = 10_000_000;
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

fn folios(frames: u64) -> OfOne {
    let mut folios = Folios::new(Geometry {
        section_shift: 15,
        vmemmap: true,
        gigantic: Gigantic::OneGib,
    });
    let memory = Memory {
        first: FrameNumber::new(1 << 18).unwrap(),
        frames,
        node: 0,
    };
    folios.donate(memory, 0).unwrap();
    let owner = folios.add_owner(u64::MAX).unwrap();
    OfOne(folios, owner)
}

/// Makes a load, and looks every now and then which part of the free frames `share` says.
fn run<A: Allocator>(
    allocator: &mut A,
    (seed, frames): (u64, u64),
    share: impl Fn(&mut A, u64) -> u64,
) -> Fragments {
    let mut fragments = Fragments::default();
    let mut load = Load::new(seed, frames);
    for operation in 1..=OPERATIONS {
        load.step(allocator, &mut |_, act| act());
        if operation.is_multiple_of(MOMENT) {
            fragments.add(share(allocator, frames - load.used()));
        }
    }
    fragments
}

#[test]
fn no_more_is_fragmented_than_in_a_plain_buddy() {
    let seeds = std::env::var("MEM_SEEDS").ok();
    let seeds = seeds.and_then(|count| count.parse().ok()).unwrap_or(2);
    for frames in FRAMES {
        let (mut ours, mut theirs) = (Fragments::default(), Fragments::default());
        for seed in 1..=seeds {
            let of_ours = |allocator: &mut OfOne, free: u64| {
                let metrics = allocator.0.metrics();
                assert_eq!(metrics.free, free);
                metrics.fragmentation(ORDER)
            };
            ours.join(&run(&mut folios(frames), (seed, frames), of_ours));
            let mut plain = Buddy::new(u32::try_from(frames).unwrap());
            let of_plain = |buddy: &mut Buddy, _| buddy.fragmentation(ORDER);
            theirs.join(&run(&mut plain, (seed, frames), of_plain));
        }
        for (name, part) in [("ours", ours), ("plain buddy", theirs)] {
            println!(
                "{} MiB, {seeds} loads of {OPERATIONS}, {} moments: free below order {ORDER}, of 1000: {name} {} ({} to {})",
                frames >> 8,
                part.moments(),
                part.mean(),
                part.least,
                part.most
            );
        }
        assert!(ours.mean() <= theirs.mean());
    }
}

#[test]
fn descriptors_and_trees_are_less_than_four_thousandths() {
    for frames in FRAMES {
        let footprint = folios(frames).0.footprint() as u64;
        assert!(footprint * 1000 <= (frames << 12) * 4, "{footprint} bytes");
    }
}
