//! Counts what the allocator's own part of a request takes, where `arguments` ask for it:
//! `load=OPERATIONS`.
//!
//! The load is that of `mem::load`, on frames that are described and never touched.

use mem::load::buddy::Buddy;
use mem::load::{Allocator, Fragments, Load, MOMENT, Operation};
use mem::{Extent, Folios, FrameNumber, Geometry, Gigantic, Memory, Owner, Refusal, Want};
use rt::sys::{counted_instructions, instruction_counter};

/// Frames of the memory that is described: 256 MiB.
const FRAMES: u64 = 1 << 16;
/// Operations whose instructions are counted, of those of the load the first.
const COUNTED: u64 = 1_000_000;
/// Order whose blocks tell of fragmentation: 2 MiB.
const LARGE_ORDER: u8 = 9;

/// The allocator for one owner.
struct OfOne {
    folios: Folios,
    owner: Owner,
}

impl OfOne {
    fn new() -> Result<Self, Refusal> {
        let mut folios = Folios::new(Geometry {
            section_shift: 15,
            vmemmap: true,
            gigantic: Gigantic::OneGib,
        });
        let memory = Memory {
            first: FrameNumber::new(FRAMES).ok_or(Refusal::Overflow)?,
            frames: FRAMES,
            node: 0,
        };
        folios.donate(memory, 0)?;
        let owner = folios.add_owner(FRAMES)?;
        Ok(Self { folios, owner })
    }
}

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
        self.folios.allocate(self.owner, want)
    }

    fn free(&mut self, extent: Extent) {
        let (base, frames) = (extent.base(), extent.frames());
        if let Err(refusal) = self.folios.free_frames(self.owner, base, frames) {
            rt::log!("mem: the load's own folio was refused: {refusal:?}");
        }
    }
}

/// Instructions and operations of a kind.
#[derive(Clone, Copy, Default)]
struct Sum {
    instructions: u64,
    operations: u64,
}

impl Sum {
    /// Adds an operation.
    fn add(&mut self, instructions: u64) {
        self.instructions += instructions;
        self.operations += 1;
    }

    /// Prints the mean.
    fn print(self, name: &str) {
        let mean = self.instructions.checked_div(self.operations).unwrap_or(0);
        rt::log!("bench {name} instructions={mean}");
    }
}

/// Makes the load, prints what its first operations took on average, and which part of the free memory
/// is in fragments.
pub fn run(operations: u64) {
    let Ok(mut allocator) = OfOne::new() else {
        rt::log!("mem: there is no memory for the load");
        return;
    };
    let mut load = Load::new(1, FRAMES);
    count(&mut load, &mut allocator, operations.min(COUNTED));
    let rest = operations.saturating_sub(COUNTED);
    let fragments = watch(&mut load, &mut allocator, rest, |allocator| {
        allocator.folios.metrics().fragmentation(LARGE_ORDER)
    });
    print_fragments("mem_fragments", &fragments);
    rt::log!(
        "mem: load: {operations} operations, {} of {FRAMES} frames used, {} bytes of descriptors",
        load.used(),
        allocator.folios.footprint()
    );
    if cfg!(feature = "load-beside-buddy") {
        drop((load, allocator));
        compare(operations, &fragments);
    }
}

/// Makes some operations of the load, and prints what they took on average.
fn count(load: &mut Load<Extent>, allocator: &mut OfOne, operations: u64) {
    let cost = rt::sys::counting_cost();
    // Single frames and all orders, allocated and freed.
    let mut sums = [[Sum::default(); 2]; 2];
    for _ in 0..operations {
        load.step(allocator, &mut |operation, act| {
            let before = instruction_counter();
            act();
            let taken = counted_instructions(before, instruction_counter());
            let (frees, order) = match operation {
                Operation::Allocate(order) => (0, order),
                Operation::Free(order) => (1, order),
            };
            let taken = taken.saturating_sub(cost);
            sums[1][frees].add(taken);
            if order == 0 {
                sums[0][frees].add(taken);
            }
        });
    }
    let [[single, single_free], [all, all_free]] = sums;
    single.print("mem_allocate_frame");
    single_free.print("mem_free_frame");
    all.print("mem_allocate_mixed");
    all_free.print("mem_free_mixed");
}

/// Makes so many operations of the load, and looks every now and then which part of the free memory is in
/// fragments.
fn watch<A: Allocator>(
    load: &mut Load<A::Block>,
    allocator: &mut A,
    operations: u64,
    share: impl Fn(&mut A) -> u64,
) -> Fragments {
    let mut fragments = Fragments::default();
    for operation in 1..=operations {
        load.step(allocator, &mut |_, act| act());
        if operation.is_multiple_of(MOMENT) {
            fragments.add(share(allocator));
        }
    }
    fragments
}

/// Prints which part of the free memory was in fragments: the mean, and from where to where it went.
fn print_fragments(name: &str, fragments: &Fragments) {
    let (mean, moments) = (fragments.mean(), fragments.moments());
    rt::log!("bench {name} per_mille={mean}");
    rt::log!(
        "mem: load: {name}: {moments} moments, {} to {} per mille",
        fragments.least,
        fragments.most
    );
}

/// Makes the same load on a plain binary buddy, and compares what is left in fragments.
fn compare(operations: u64, ours: &Fragments) {
    let mut buddy = Buddy::new(FRAMES as u32);
    let mut load = Load::new(1, FRAMES);
    watch(&mut load, &mut buddy, operations.min(COUNTED), |_| 0);
    let rest = operations.saturating_sub(COUNTED);
    let theirs = watch(&mut load, &mut buddy, rest, |buddy| {
        buddy.fragmentation(LARGE_ORDER)
    });
    print_fragments("mem_fragments_plain_buddy", &theirs);
    rt::log!(
        "mem: load: a plain buddy leaves {} in fragments",
        if ours.mean() <= theirs.mean() {
            "no less"
        } else {
            "LESS"
        }
    );
}
