//! Deleting: bounded work, then a round through all cores, then the memory is free.
//!
//! ```text
//!  condemn (≤ 16 leaves, under the lock) ──> every core: retire, flush, acknowledge
//!      ──> if an execution or a notification died: every core: drain the inbox, acknowledge
//!      ──> finish: slots empty, memory raw, lock free ──> the caller is done, or calls again
//! ```
//! The same round shoots down translations after an unmap and empties the source of a move.

mod condemn;
mod retire;
mod round;

pub use round::{Ending, Round};
