//! Links the image with its own layout.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/link.ld");
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "none") {
        println!("cargo:rustc-link-arg-bins=-T{script}");
        // The image runs where it is linked.
        println!("cargo:rustc-link-arg-bins=--no-pie");
        // `cargo xtask check` reads who refers to the boot code.
        println!("cargo:rustc-link-arg-bins=--emit-relocs");
    }
}
