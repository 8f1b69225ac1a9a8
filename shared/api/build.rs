//! Compiles the contracts without `protoc`, and keeps their descriptor set for reflection and for `dmp verify`.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = proto_files(&root.join("dmp"))?;
    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    // Encoded by protox itself: prost's own types would drop the custom options.
    #[expect(clippy::disallowed_methods, reason = "how cargo tells a build script where to write")]
    let descriptor_set = PathBuf::from(std::env::var("OUT_DIR")?).join("descriptor_set.bin");
    std::fs::write(&descriptor_set, compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .extern_path(
            ".dmp.dossier.v1.ListDocumentsResponse",
            "crate::listing::ListDocumentsResponse",
        )
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
