//! Text for the machine's console.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use crate::machine::{Machine, This};
use crate::report;

/// The machine's paravirtual console.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        This::print(text.as_bytes());
        Ok(())
    }
}

/// Prints a line.
macro_rules! line {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        // The console never fails: what it does not take is lost.
        let _ = writeln!($crate::console::Console, $($argument)*);
    }};
}
pub(crate) use line;

/// Says what broke and powers off.
#[panic_handler]
fn panic(information: &PanicInfo<'_>) -> ! {
    line!("first: {information}");
    This::power_off(report::BROKEN)
}
