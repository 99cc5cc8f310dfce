//! The promises name their tests: the names in docs/guarantees.md are those of tests.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// Shorter words in code style are fields and settings.
const NAME_MIN: usize = 15;

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let guarantees = fs::read_to_string(Path::new(ROOT).join("docs/guarantees.md"));
    let guarantees = guarantees.expect("the guarantees can be read");
    let mut sources = Vec::new();
    gather(&Path::new(ROOT).join("crates"), &mut sources);
    let code: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).expect("the source can be read"))
        .collect();

    let quoted = guarantees.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        NAME_MIN <= text.len()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let names: Vec<&str> = quoted.filter(is_name).collect();
    assert!(30 <= names.len(), "only {} names were found", names.len());
    for name in names {
        assert!(
            code.contains(&format!("fn {name}()")),
            "there is no test {name}"
        );
    }
}

/// All Rust sources below a directory.
fn gather(dir: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory can be read") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}
