//! The stores of this crate that need no server keep the promises.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{Sweep, run};
use crate::flaky::Flaky;
use crate::{EmbeddedStore, LeaseStore, MemoryStore};

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_keeps_every_promise() {
    let make = async || Arc::new(MemoryStore::new()) as Arc<dyn LeaseStore>;
    run(&make, Sweep::Listed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_keeps_every_promise() {
    let dirs = Mutex::new(Vec::new());
    let make = async || {
        let dir = tempfile::tempdir().unwrap();
        let opened = EmbeddedStore::open(dir.path(), None).unwrap();
        dirs.lock().push(dir);
        Arc::new(opened.store) as Arc<dyn LeaseStore>
    };
    run(&make, Sweep::Listed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flaky_store_without_faults_is_the_store_below_it() {
    let make =
        async || Arc::new(Flaky::new(Arc::new(MemoryStore::new()), 1)) as Arc<dyn LeaseStore>;
    run(&make, Sweep::Listed).await;
}
