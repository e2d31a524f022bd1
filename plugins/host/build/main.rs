//! Builds the bundled guests for `wasm32-wasip2` and hands their paths to the code that embeds them.
//!
//! Guests have a target directory of their own, beside the profile directories of this build, so that they never wait for the
//! lock of the outer build and share what they have in common.

use std::{
    env,
    error::Error,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-wasip2";

/// Bundled plugins: directory under `plugins/`, which is also the name after `builtin:`.
const BUNDLED: &[&str] = &["dns-update", "notify"];

fn main() -> Result<(), Box<dyn Error>> {
    let plugins = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // OUT_DIR is TARGET_DIR/PROFILE/build/PACKAGE/out.
    let target_dir = out.ancestors().nth(4).ok_or("OUT_DIR is not inside of a target directory")?.join("guests");
    for watched in ["sdk/rust/src", "sdk/rust/Cargo.toml", "../wit"] {
        println!("cargo::rerun-if-changed={}", plugins.join(watched).display());
    }
    println!("cargo::rustc-env=TANIST_GUESTS_TARGET_DIR={}", target_dir.display());
    for name in BUNDLED {
        let component = build(&plugins.join(name), &target_dir, name)?;
        std::fs::copy(component, out.join(format!("{name}.wasm")))?;
    }
    Ok(())
}

/// Builds one guest and returns the path of its component.
fn build(guest: &Path, target_dir: &Path, name: &str) -> Result<PathBuf, Box<dyn Error>> {
    for watched in ["src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", guest.join(watched).display());
    }
    let mut command = Command::new(env::var("CARGO")?);
    command.args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"]).arg(target_dir).current_dir(guest);
    // What the outer build is told (flags, wrappers of clippy, another target) is not meant for a guest.
    for (variable, _) in env::vars_os() {
        let known = variable.to_string_lossy();
        let settings =
            ["RUSTFLAGS", "RUSTC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"];
        if settings.contains(&known.as_ref()) || known.starts_with("CARGO_PROFILE_") {
            command.env_remove(&variable);
        }
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(target_dir.join(TARGET).join("release").join(format!("{}.wasm", name.replace('-', "_"))));
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let missing = text.contains("can't find crate for `core`")
        || text.contains("can't find crate for `std`")
        || text.contains("rustup target add");
    let remedy = if missing { format!("; install the target: rustup target add {TARGET}") } else { String::new() };
    Err(format!("the bundled plugin {name} cannot be built{remedy}\n{text}").into())
}
