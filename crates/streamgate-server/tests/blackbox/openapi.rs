//! The committed documents are those that the binary prints.

use std::path::Path;

use crate::support::{Server, run};

#[test]
fn the_committed_openapi_document_is_the_one_of_this_version() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = run(&root, &["openapi"]);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let committed = std::fs::read_to_string(root.join("openapi.json")).unwrap_or_default();
    assert!(
        committed == printed,
        "openapi.json is not what this version prints; refresh it in the repository's root with: \
         cargo run -- openapi > openapi.json"
    );
    let served = Server::start().client().get("/openapi.json");
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(served.json(), printed);
}
