//! Compiles every `bpf/*.bpf.c` and generates its skeleton, `$OUT_DIR/<name>.skel.rs`.

use libbpf_cargo::SkeletonBuilder;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    println!("cargo:rerun-if-changed=bpf");
    for entry in fs::read_dir("bpf")? {
        let source = entry?.path();
        let file = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(name) = file.strip_suffix(".bpf.c") {
            SkeletonBuilder::new()
                .source(&source)
                .clang_args(["-Ibpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"])
                .build_and_generate(out.join(format!("{name}.skel.rs")))
                .map_err(|error| format!("cannot build {file}: {error:?}"))?;
        }
    }
    Ok(())
}
