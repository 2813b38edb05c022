//! The interrupt server of s390x guests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod start {
    static SERVER: irq::Server<irq::Floating> = irq::Server::new();

    rt::entry!(main);

    /// Keeps the guest's interruptions.
    fn main(_: u64) -> ! {
        SERVER.run(|core| SERVER.serve(core))
    }
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the interrupt server is part of a system image: cargo xtask run");
}
