//! Compiles every `bpf/*.bpf.c` to `$OUT_DIR/<name>.bpf.o`, and generates the Rust side of the
//! shared layouts, `$OUT_DIR/abi.skel.rs`, from the BTF of one of them, and the names of all types in
//! them, `$OUT_DIR/kernel_names.rs`.

use libbpf_cargo::SkeletonBuilder;
use libbpf_rs::btf::{Btf, BtfKind, BtfType, TypeId};
use std::{
    collections::BTreeSet,
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

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
    let mut names = BTreeSet::new();
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
        let object = out.join(format!("{name}.bpf.o"));
        builder.source(&source).obj(&object).clang_args(CLANG_ARGS);
        let built = match name {
            "abi" => builder.build_and_generate(out.join("abi.skel.rs")),
            _ => builder.build().map(drop),
        };
        built
            .map_err(|error| format!("cannot build {file} (needs clang 14 or newer): {error:?}"))?;
        names.extend(type_names(&object)?);
    }
    let names = Vec::from_iter(names);
    let names = format!("static NAMES: &[&str] = &{names:?};");
    fs::write(out.join("kernel_names.rs"), names)?;
    Ok(())
}

/// The names of the structs, unions, enumerations and typedefs in an object, its own and the kernel's,
/// without their flavours.
fn type_names(object: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let btf = Btf::from_path(object)?;
    let name = |number| {
        let found: BtfType<'_> = btf.type_by_id(TypeId::from(number))?;
        use BtfKind::{Enum, Enum64, Struct, Typedef, Union};
        if !matches!(found.kind(), Struct | Union | Enum | Enum64 | Typedef) {
            return None;
        }
        let name = found.name()?.to_str()?;
        Some(name.split("___").next().unwrap_or(name).to_owned())
    };
    Ok((1..btf.len() as u32).filter_map(name).collect())
}
