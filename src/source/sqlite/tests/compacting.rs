use crate::entry::Fact;
use crate::monitor::Cancel;
use crate::source::Consistency;
use crate::source::sqlite::SqliteOptions;
use crate::source::sqlite::tests::support::{
    Captured, assert_invariant, capture, capture_with, create, fill, refusal,
};
use std::fs;
use std::path::Path;

fn compact(path: &Path, limit: u64) -> Result<Captured, crate::source::CaptureError> {
    let options = SqliteOptions {
        compact: true,
        compact_bytes_max: limit,
        ..SqliteOptions::default()
    };
    capture_with(path, options, &Cancel::default(), 1 << 16, &mut || {})
}

#[test]
fn compacting_drops_free_pages_and_keeps_the_page_size() {
    let directory = tempfile::tempdir().unwrap();
    for page_size in [512, 8192] {
        let path = directory.path().join(format!("{page_size}.db"));
        let writer = create(&path, page_size, "wal");
        fill(&writer, 600);
        writer
            .execute_batch(
                "BEGIN; DELETE FROM log WHERE id % 3 > 0;
                 UPDATE ledger SET balance = (SELECT count(*) FROM log) WHERE name = 'counter';
                 COMMIT;",
            )
            .unwrap();
        let files_before = fs::read_dir(directory.path()).unwrap().count();
        let plain = capture(&path).unwrap();
        let captured = compact(&path, 64 << 20).unwrap();
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            files_before
        );

        assert!(captured.image.len() < plain.image.len() / 2);
        assert_eq!(captured.consistency, Consistency::Consistent);
        assert_eq!(captured.integer("sqlite.page_size"), i64::from(page_size));
        assert_eq!(captured.text("sqlite.journal_mode"), "wal");
        assert_eq!(captured.text("check"), "integrity_check");
        assert_eq!(captured.facts["sqlite.compacted"], Fact::Bool(true));
        assert_eq!(captured.facts["tables"], plain.facts["tables"]);
        assert_eq!(captured.integer("sqlite.user_version"), 5);
        let restored = directory.path().join("restored.db");
        fs::write(&restored, &captured.image).unwrap();
        assert_eq!(assert_invariant(&restored), 200);
    }
}

#[test]
fn compacting_is_bounded_by_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    fill(&create(&path, 4096, "wal"), 200);
    let (message, remedy) = refusal(compact(&path, 100_000));
    assert!(message.contains("the bound is 100000 bytes"), "{message}");
    assert!(remedy.contains("without compacting"), "{remedy}");
}
