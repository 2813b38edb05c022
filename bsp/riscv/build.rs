//! Links the kernel by its own script.

fn main() {
    println!("cargo::rerun-if-changed=link.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo::rustc-link-arg-bins=-T{folder}/link.ld");
        println!("cargo::rustc-link-arg-bins=--no-relax");
        // `cargo xtask check` reads who refers to the boot code.
        println!("cargo::rustc-link-arg-bins=--emit-relocs");
    }
}
