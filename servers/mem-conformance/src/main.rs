//! The conformance suite of the memory server: an ordinary client that asks the server as it is shipped,
//! looks at what it got, and prints what the kernel's suite prints, one line for each law.
//!
//! Every case begins with nothing and gives everything back; what is left over is a failure. The
//! manifest has an area for contiguous requests, and gives the suite a limit above what all of it
//! and most of the rest is, but below the whole.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod case;
#[cfg(target_os = "none")]
mod cases;
#[cfg(target_os = "none")]
mod client;
#[cfg(target_os = "none")]
mod contents;
#[cfg(target_os = "none")]
mod devices;
#[cfg(target_os = "none")]
mod load;
#[cfg(target_os = "none")]
mod refusals;

#[cfg(target_os = "none")]
mod start {
    use crate::case::Tally;
    use crate::client::Client;

    rt::entry!(main);

    /// Runs all cases; the last line says what they came to.
    fn main(_: u64) -> ! {
        match Client::new() {
            Some(client) => run(&client),
            None => rt::log!("conformance: 0 passed, 1 failed, 0 skipped"),
        }
        rt::spawn::exit()
    }

    /// Runs all cases.
    fn run(client: &Client) {
        let mut tally = Tally::default();
        for case in crate::cases::all() {
            rt::log::write(format_args!("case {} ... ", case.name));
            let outcome = (case.run)(client);
            tally.count(outcome.and(client.clean_up()));
        }
        tally.finish();
    }
}

/// On a developer's machine there is no memory server to ask.
#[cfg(not(target_os = "none"))]
fn main() {}
