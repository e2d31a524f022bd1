//! Components for tests: the hostile guest of `plugins/fixtures`, and files that are none.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The hostile guest, built once per test process (Cargo's own lock keeps processes apart), copied to where the database user can read it.
pub fn hostile(directory: &Path) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent");
        let target = root.join("target/guests");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--release", "--locked", "--quiet", "--target", "wasm32-wasip2", "--target-dir"]).arg(&target);
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(variable);
        }
        let done = cargo.current_dir(root.join("plugins/fixtures")).status().expect("cargo runs");
        assert!(done.success(), "the fixture cannot be built");
        target.join("wasm32-wasip2/release/fixtures.wasm")
    });
    let copy = directory.join("hostile.wasm");
    std::fs::copy(built, &copy).expect("a copy of the fixture");
    crate::place::open_to_all(&copy);
    copy
}

/// The first half of a component.
pub fn corrupt(directory: &Path) -> PathBuf {
    let whole = std::fs::read(hostile(directory)).expect("the fixture");
    let path = directory.join("corrupt.wasm");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("a torn component");
    crate::place::open_to_all(&path);
    path
}
