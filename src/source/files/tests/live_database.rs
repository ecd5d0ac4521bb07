//! A tree with a database that is being written to, captured through the real SQLite source.

use crate::entry::Layout;
use crate::monitor::Cancel;
use crate::source::files::tests::{capture, source, tree, write};
use crate::source::sqlite::open_for_tree;

#[test]
fn rows_that_are_only_in_the_log_are_captured() {
    let (_guard, root) = tree();
    write(&root, "notes.txt", b"plain");
    let connection = rusqlite::Connection::open(root.join("app.db")).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(x); \
             INSERT INTO t VALUES ('only in the log');",
        )
        .unwrap();
    let cancel = Cancel::default();
    let hook = Box::new(move |path: &std::path::Path| open_for_tree(path, &cancel));
    let sink = capture(source(&root).open_database(hook));
    assert_eq!(sink.paths(), ["app", "app/app.db", "app/notes.txt"]);
    assert!(sink.problems.is_empty(), "{:?}", sink.problems);
    let file = sink.file_named("app.db").unwrap();
    assert_eq!(file.layout, Layout::Pages);
    assert!(!file.facts.is_empty());
    let copy = write(&root, "copy.db", &file.bytes);
    let copy = rusqlite::Connection::open(copy).unwrap();
    let row: String = copy
        .query_row("SELECT x FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(row, "only in the log");
}
