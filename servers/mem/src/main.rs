//! The memory server: owns the memory of all guests, hands it out by the largest fitting folios,
//! and maps it into the guests' spaces.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod measure;
#[cfg(target_os = "none")]
mod server;

#[cfg(target_os = "none")]
mod start {
    rt::entry!(main);

    /// Serves for ever.
    fn main(_: u64) -> ! {
        if let Some(operations) = load_wanted() {
            super::measure::run(operations);
        }
        super::server::run()
    }

    /// Returns how many operations `load=OPERATIONS` in the arguments asks for.
    fn load_wanted() -> Option<u64> {
        let arguments = core::str::from_utf8(rt::grant::bytes("arguments")?).ok()?;
        let mut words = arguments.split_whitespace();
        words.find_map(|word| word.strip_prefix("load=")?.parse().ok())
    }
}

/// On a developer's machine there is no memory to serve.
#[cfg(not(target_os = "none"))]
fn main() {}
