//! The vCPU server of x86 guests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod start {
    use vcpu::server::{Server, X86Platform};

    static SERVER: Server<X86Platform> = Server::new();

    rt::entry!(main);

    /// Loads and boots the guest, and serves it.
    fn main(_: u64) -> ! {
        SERVER.run(|core| SERVER.serve(core))
    }
}

/// Says that this is no program for a host.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the vCPU server is part of a system image: cargo xtask run");
}
