//! Registers survive exits, other guests' turns, and what the second processor does to its own.

use crate::machine::{Machine, RegisterFile, This};
use crate::report::{Sum, Verdict, Why};
use crate::second::{self, Task};
use crate::waiting;

use super::exits;

/// How often each file is filled.
const ROUNDS: u64 = 40;
/// Exits of each class while a file is full.
const EXITS: u32 = 20;

/// Checks each register file alone, then all while the second processor uses its own.
pub fn run(sum: &mut Sum) {
    for file in This::register_files() {
        sum.note(file.name, "survives_exits_and_time", survives(file, 1));
    }
    sum.note("all", "survive_the_second_processor", beside_the_second());
}

/// Fills a file, makes exits of all classes, lets time pass, and compares; again and again.
fn survives(file: &RegisterFile, seed: u64) -> Verdict {
    for round in 0..ROUNDS {
        if file.is_taken_by_traps {
            This::mask();
        }
        let verdict = once(
            file,
            seed.wrapping_add(round).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        );
        This::unmask();
        verdict?;
    }
    Ok(ROUNDS)
}

/// Does it once.
fn once(file: &RegisterFile, seed: u64) -> Verdict {
    (file.fill)(seed)?;
    (file.check)(seed)?;
    for exit in This::exits().iter().chain(&exits::COMMON) {
        if !file.is_taken_by_traps || exit.is_quiet {
            match (0..EXITS).try_fold(0, |_, _| (exit.make)()) {
                Ok(_) | Err(Why::Skipped(_)) => {}
                Err(why) => return Err(why),
            }
        }
    }
    waiting::pause(1);
    (file.check)(seed)
}

/// Fills and compares every file; what the second processor does while the first does the same.
pub fn use_all() -> Verdict {
    for file in This::register_files() {
        match survives(file, 0x1234 + This::index() as u64) {
            Ok(_) | Err(Why::Skipped(_)) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(ROUNDS)
}

/// Both processors use all files at once.
fn beside_the_second() -> Verdict {
    second::begin(Task::Registers)?;
    use_all()?;
    second::finish()?;
    Ok(ROUNDS)
}
