//! Reads inputs that once found something: a folder a decoder, a line an input, in hexadecimal digits.

use std::fs;
use std::path::Path;

fn unhex(line: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        line.trim().chars().map(|digit| u8::try_from(digit.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Gives each input of the corpus of a crate to its decoder, which writes again what it has read. An input may take `most` times its
/// bytes of memory; `least` inputs are there.
pub(crate) fn check(
    crate_home: &str,
    (most, least): (u64, usize),
    again: impl Fn(&str, &[u8]) -> Option<Vec<u8>>,
) {
    let mut inputs = 0;
    for folder in fs::read_dir(Path::new(crate_home).join("tests/corpus")).unwrap() {
        let folder = folder.unwrap().path();
        let decoder = folder.file_name().unwrap().to_str().unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            for line in fs::read_to_string(&file).unwrap().lines() {
                let bytes = unhex(line);
                let used = allocation_counter::measure(|| {
                    if let Some(again) = again(decoder, &bytes) {
                        assert_eq!(again, bytes, "{}", file.display());
                    }
                });
                let most = 4_096 + most * bytes.len() as u64;
                assert!(used.bytes_max <= most, "{}: {} bytes: {line}", file.display(), used.bytes_max);
                inputs += 1;
            }
        }
    }
    assert!(inputs >= least, "the corpus is there: {inputs}");
}
