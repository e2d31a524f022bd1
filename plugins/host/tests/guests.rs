//! The guests' own tests: their workspaces are not this one, so nobody else would run them.

use std::{path::Path, process::Command};

#[test]
fn the_sdk_and_the_bundled_plugins_pass_their_own_tests() {
    for guest in ["sdk/rust", "dns-update", "notify"] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(guest);
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--locked", "--target-dir", env!("TANIST_GUESTS_TARGET_DIR")]).current_dir(directory);
        for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(variable);
        }
        let output = cargo.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{guest}\n{}", String::from_utf8_lossy(&text));
    }
}
