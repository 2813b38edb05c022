//! Stacks of processes: frames of init's, painted before their thread runs, and read at the end.

use crate::pool::Pool;
use crate::process::{Process, close_window, open_window, read_write};
use crate::system::Failure;
use abi::Rights;
use abi::boot::STACK_TOP;
use manifest::compiled::System;
use rt::stack::{Mark, PAINT};
use rt::{Frame, Space};

/// Room for one stack: the next thread's ends this far above.
const STEP: u64 = 1 << 20;

/// A stack of another process.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    frame: Frame,
    /// Bytes that its thread has: the frame's last.
    bytes: u64,
}

/// Returns where the stack of thread `position` of a process ends.
pub const fn top(position: u64) -> u64 {
    STACK_TOP + position * STEP
}

impl Stack {
    /// Makes a painted stack of `bytes` bytes that ends at `top` in a process. What is below it
    /// there cannot be reached.
    pub fn new(pool: &mut Pool, space: Space, top: u64, bytes: u64) -> Result<Self, Failure> {
        let frame = pool.frame(bytes)?;
        let size = 1_u64 << frame.capability().identify()?.size;
        let window = open_window(pool, frame)?;
        (0..window.words()).for_each(|index| window.store(index, PAINT));
        close_window(window)?;
        frame.map(space.capability(), top - size, read_write())?;
        if size > bytes {
            frame.protect(0, size - bytes, Rights::new())?;
        }
        Ok(Self { frame, bytes })
    }

    /// Returns how much of it was used until now.
    fn mark(self, pool: &mut Pool) -> Result<Mark, Failure> {
        let window = open_window(pool, self.frame)?;
        let words = usize::try_from(self.bytes / 8).unwrap_or(0);
        let first = window.words().saturating_sub(words);
        let mark = Mark::of_words((first..window.words()).map(|index| window.load(index)));
        close_window(window)?;
        Ok(mark)
    }
}

/// Prints the mark of the fullest stack of every process.
pub fn report(pool: &mut Pool, system: &System, processes: &[Process]) {
    for process in processes {
        let name = system
            .processes
            .get(usize::from(process.index))
            .map_or("?", |plan| &plan.name);
        let marks = process.stacks.iter().map(|stack| stack.mark(pool));
        match marks.collect::<Result<alloc::vec::Vec<Mark>, Failure>>() {
            Ok(marks) => {
                if let Some(mark) = marks.into_iter().reduce(Mark::fuller) {
                    rt::stack::report(name, mark);
                }
            }
            Err(error) => rt::log!("skerry: the stacks of {name} cannot be read: {error}"),
        }
    }
}
