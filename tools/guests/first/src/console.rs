//! Text for the machine's console.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

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

/// Whether a processor prints a line.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);
/// How often a processor looks whether the other one's line is done: one that broke within a line leaves
/// it for ever.
const LOOKS: u32 = 10_000_000;

/// The right to print a line: what two processors print at a time is two lines.
pub struct Turn;

impl Turn {
    /// Waits until nobody else prints.
    pub fn take() -> Self {
        let is_free = |_: &u32| !IS_TAKEN.swap(true, Ordering::Acquire);
        let _ = (0..LOOKS).find(is_free);
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        IS_TAKEN.store(false, Ordering::Release);
    }
}

/// Prints a line.
macro_rules! line {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        let _turn = $crate::console::Turn::take();
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
