//! Gives the module a stack of 8 MB: 800 ORs use up the 1 MB that is usual in WebAssembly, and a
//! plan recurses up to `limits::DEPTH_MAX` levels.

const STACK_BYTES: usize = 8 * 1_024 * 1_024;

fn main() {
    println!("cargo::rerun-if-changed=stack.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        println!("cargo::rustc-link-arg-cdylib=-zstack-size={STACK_BYTES}");
    }
}
