#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn event(index: u64) -> Write {
    Write::Event(StoredEvent { index, at: index as i64, json: format!("{{\"n\":{index}}}") })
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_was_acknowledged_is_read_by_others_and_survives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m/journal.db");
    let store = Store::open(&path).unwrap();
    let mut receipts = Vec::new();
    for index in 1..=3000 {
        receipts.push(store.slot().await.unwrap().send(vec![event(index)]));
    }
    for receipt in receipts {
        receipt.durable().await.unwrap();
    }
    let step = Write::Step { id: "a".into(), value: "1".into() };
    store.slot().await.unwrap().send(vec![event(3001), step]).durable().await.unwrap();
    assert_eq!(store.committed().borrow().index, 3001);

    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.events(2999, 10).unwrap().iter().map(|e| e.index).collect::<Vec<_>>(), [3000, 3001]);
    assert_eq!(reader.steps().unwrap(), [("a".to_owned(), "1".to_owned())]);
    drop(reader);
    drop(store);

    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.events(0, 10_000).unwrap().len(), 3001);
    let store = Store::open(&path).unwrap();
    assert_eq!(store.committed().borrow().index, 3001);
}

#[tokio::test]
async fn files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m/journal.db");
    let store = Store::open(&path).unwrap();
    store.slot().await.unwrap().send(vec![event(1)]).durable().await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{path:?}");
    }
}

#[tokio::test]
async fn after_a_failed_write_nothing_more_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let store = Store::open(&path).unwrap();
    store.slot().await.unwrap().send(vec![event(1)]).durable().await.unwrap();
    let slot = store.slot().await.unwrap();
    let later = store.slot().await.unwrap();
    assert!(slot.send(vec![event(2), event(1)]).durable().await.is_err(), "event 1 is there already");
    assert!(later.send(vec![event(2)]).durable().await.is_err());
    assert!(store.slot().await.is_err());
    assert!(store.committed().borrow().failure.is_some());
    assert_eq!(Reader::open(&path).unwrap().events(0, 10).unwrap().len(), 1);
}

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    drop(Store::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::TooNew { found: 99, .. })));
    assert!(matches!(Reader::open(&path).unwrap().events(0, 1), Err(StoreError::TooNew { found: 99, .. })));
}
