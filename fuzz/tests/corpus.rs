//! Every file of a corpus, on a stable compiler and without a fuzzer.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

fn replay(target: fn(&[u8]), name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = tidegate_fuzz::replay_folder(target, &folder).unwrap();
    assert!(files >= 20, "{} has {files} files", folder.display());
}

#[test]
fn engine() {
    replay(tidegate_fuzz::engine, "engine");
}

#[test]
fn metadata() {
    replay(tidegate_fuzz::metadata, "metadata");
}

#[cfg(feature = "settings")]
#[test]
fn settings() {
    replay(tidegate_fuzz::settings, "settings");
}
