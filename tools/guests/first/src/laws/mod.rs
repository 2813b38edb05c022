//! The laws that are the same on every machine.

mod exits;
pub mod ipi;
mod masked;
mod memory;
pub mod registers;
mod timer;
pub mod writes;

use crate::console::line;
use crate::machine::{Machine, This};
use crate::report::{Sum, word_of_command_line};
use crate::second;

/// Tries all laws and powers off; the first processor comes here with interrupts masked.
pub fn run() -> ! {
    line!("first: a guest of {} processors", This::processors());
    This::unmask();
    let mut sum = Sum::default();
    if let Some(seconds) = word_of_command_line(b"writes=") {
        sum.note("processor", "the_second_starts", second::start());
        sum.note("memory", "no_write_is_lost", writes::for_seconds(seconds));
        sum.close();
    }
    sum.try_all("device", This::device_laws());
    sum.try_all("exception", This::exception_laws());
    sum.try_all("timer", &timer::LAWS);
    sum.try_all("masked", &masked::LAWS);
    sum.try_all("memory", &memory::LAWS);
    sum.note("processor", "the_second_starts", second::start());
    sum.try_all("ipi", &ipi::LAWS);
    exits::run(&mut sum);
    sum.try_all("registers", This::register_laws());
    registers::run(&mut sum);
    sum.close()
}
