//! What is said on stderr.

use anyhow::anyhow;

#[test]
fn a_cause_that_says_the_same_as_its_error_is_told_once() {
    let error = anyhow!("refused")
        .context("refused")
        .context("no connection");
    assert_eq!(super::told(&error), "no connection: refused");
}
