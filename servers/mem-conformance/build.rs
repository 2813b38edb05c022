//! Links the image as servers are laid out.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../server.ld");
    println!("cargo:rerun-if-changed={script}");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "none") {
        println!("cargo:rustc-link-arg-bins=-T{script}");
        println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
    }
}
