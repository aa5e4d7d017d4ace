//! `cargo fuzz run metadata`; without a fuzzer's build, it replays the files that are named.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::metadata(data));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    tidegate_fuzz::replay_arguments(tidegate_fuzz::metadata)
}
