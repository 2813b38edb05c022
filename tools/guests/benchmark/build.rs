//! Links the guest where a virtual machine of its family begins.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=link");
    if var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "none") {
        let family = var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
        let script = format!("{}/link/{family}.ld", env!("CARGO_MANIFEST_DIR"));
        println!("cargo:rustc-link-arg-bins=-T{script}");
    }
}
