//! The counters of the memory, as lines of the log: what `Ctrl-]` `m` shows.

use super::with_steward;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use mem::{Decision, FRAME_SHIFT};
use mem_api::{Account, Metrics, Refusal, Reply, Request};

/// Asks the own steward.
fn ask(request: Request) -> Option<Reply> {
    // No process: what is asked here is answered to everybody.
    let told = with_steward(|steward| match steward.decide(u16::MAX, request)? {
        Decision::Done(reply, _) => Ok(reply),
        Decision::Fill(_) | Decision::Empty(_) | Decision::Later => Err(Refusal::NoClient),
    });
    told.ok()
}

/// Returns a number of pages as text.
fn size(pages: u64) -> String {
    let bytes = pages << FRAME_SHIFT;
    if bytes.is_multiple_of(1 << 20) {
        format!("{}M", bytes >> 20)
    } else {
        format!("{}K", bytes >> 10)
    }
}

/// Prints the counters.
pub fn print() {
    if let Some(Reply::Metrics(metrics)) = ask(Request::Metrics) {
        print_metrics(&metrics);
    }
    for client in 0.. {
        let Some(Reply::Account(Some(account))) = ask(Request::Account { client }) else {
            return;
        };
        print_account(&account);
    }
}

/// Prints what is free.
fn print_metrics(metrics: &Metrics) {
    let mut blocks = String::new();
    for (order, count) in metrics.free_blocks.iter().enumerate() {
        if *count > 0 {
            // Text grows as long as there is memory.
            let _ = write!(blocks, " {count} x {}", size(1 << order));
        }
    }
    rt::log!("memory: free {}:{blocks}", size(metrics.free_pages));
    rt::log!(
        "memory: {} of 1000 free pages are fragments below 2M",
        metrics.fragmentation
    );
    rt::log!(
        "memory: areas {}, of which {} are free; {} were moved",
        size(metrics.area_pages),
        size(metrics.area_free_pages),
        size(metrics.moved_pages)
    );
}

/// Prints what a client has.
fn print_account(account: &Account) {
    let name = match account.guest {
        Some(guest) => format!("guest {guest}"),
        None => format!("process {}", account.process),
    };
    rt::log!(
        "memory: {name}: {} of {}, {} requests refused, {} slowed",
        size(account.used_pages),
        size(account.limit_pages),
        account.refused,
        account.slowed
    );
}
