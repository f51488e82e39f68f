//! Compiles every `bpf/*.bpf.c` to `$OUT_DIR/<name>.bpf.o`, and generates the Rust side of the
//! shared layouts, `$OUT_DIR/abi.skel.rs`, from the BTF of one of them.

use libbpf_cargo::SkeletonBuilder;
use std::{env, error::Error, fs, path::PathBuf};

const CLANG_ARGS: [&str; 6] = [
    "-Ibpf",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    println!("cargo:rerun-if-changed=bpf");
    for entry in fs::read_dir("bpf")? {
        let source = entry?.path();
        let file = source
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(name) = file.strip_suffix(".bpf.c") else {
            continue;
        };
        let mut builder = SkeletonBuilder::new();
        builder
            .source(&source)
            .obj(out.join(format!("{name}.bpf.o")))
            .clang_args(CLANG_ARGS);
        let built = match name {
            "abi" => builder.build_and_generate(out.join("abi.skel.rs")),
            _ => builder.build().map(drop),
        };
        built
            .map_err(|error| format!("cannot build {file} (needs clang 14 or newer): {error:?}"))?;
    }
    Ok(())
}
