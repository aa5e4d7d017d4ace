//! Targets without a fuzzer.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Runs a target on each file that the command line names.
///
/// # Errors
/// When a file cannot be read.
pub fn replay_arguments(target: fn(&[u8])) -> io::Result<()> {
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        replay(target, &path)?;
    }
    Ok(())
}

/// Runs a target on each file of a folder, and says how many there were.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn replay_folder(target: fn(&[u8]), folder: &Path) -> io::Result<usize> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in &paths {
        replay(target, path)?;
    }
    Ok(paths.len())
}

/// The file is named before the target runs, so that a panic can be told to be its own.
fn replay(target: fn(&[u8]), path: &Path) -> io::Result<()> {
    println!("{}", path.display());
    target(&fs::read(path)?);
    Ok(())
}
