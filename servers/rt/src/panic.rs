//! The end of a server with a bug: a line in the log, then a fault that its handler hears of.

use core::panic::PanicInfo;

/// Reports the panic and ends the thread.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    crate::log!("thread {}: {info}", crate::block::thread_index());
    crate::sys::halt()
}
