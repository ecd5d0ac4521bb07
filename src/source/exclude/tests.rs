#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn rules(text: &str) -> ExcludeRules {
    let mut builder = ExcludeRules::builder();
    builder.lines(text).unwrap();
    builder.build().unwrap()
}

/// The pattern that excludes `path`, which lies in `/srv/app` captured as `app`.
fn verdict<'a>(rules: &'a ExcludeRules, path: &str, is_directory: bool) -> Option<&'a str> {
    let absolute = format!("/srv/{path}");
    let subjects = Subjects {
        path: path.as_bytes(),
        root_length: 3,
        absolute: absolute.as_bytes(),
        is_directory,
    };
    rules.excluding(subjects).map(|rule| rule.pattern.as_str())
}

#[test]
fn a_pattern_without_a_slash_matches_names_at_any_depth() {
    let rules = rules("node_modules\n*.pyc\n");
    assert_eq!(
        verdict(&rules, "app/a/b/node_modules", true),
        Some("node_modules")
    );
    assert_eq!(verdict(&rules, "app/x.pyc", false), Some("*.pyc"));
    assert_eq!(verdict(&rules, "app/node_modules_old", true), None);
}

#[test]
fn a_pattern_with_a_slash_is_anchored() {
    let rules = rules("app/logs/*.log\ndata/**/tmp\n/srv/app/secret\n");
    assert_eq!(
        verdict(&rules, "app/logs/a.log", false),
        Some("app/logs/*.log")
    );
    assert_eq!(verdict(&rules, "app/x/logs/a.log", false), None);
    assert_eq!(
        verdict(&rules, "app/logs/x/a.log", false),
        None,
        "`*` stops at a slash"
    );
    assert_eq!(
        verdict(&rules, "app/data/tmp", true),
        Some("data/**/tmp"),
        "below the root"
    );
    assert_eq!(
        verdict(&rules, "app/data/a/b/tmp", true),
        Some("data/**/tmp")
    );
    assert_eq!(
        verdict(&rules, "app/secret", false),
        Some("/srv/app/secret")
    );
    assert_eq!(verdict(&rules, "app/srv/app/secret", false), None);
}

#[test]
fn a_closing_slash_means_directories_and_the_last_rule_decides() {
    let rules = rules("build/\n*.log\n!keep.log\n");
    assert_eq!(verdict(&rules, "app/build", true), Some("build/"));
    assert_eq!(verdict(&rules, "app/build", false), None);
    assert_eq!(verdict(&rules, "app/a.log", false), Some("*.log"));
    assert_eq!(verdict(&rules, "app/keep.log", false), None);
}

#[test]
fn reasons_come_from_comments() {
    let text = "# reason: rebuilt by npm\nnode_modules\n.next\n\n__pycache__\n# plain comment\n\
                test.db  # fixtures\n# reason: first\nx\n# reason: second\ny # own\na#b\n\\#c\n";
    let rules = rules(text);
    let found: Vec<_> = rules
        .rules
        .iter()
        .map(|rule| (rule.pattern.as_str(), rule.reason.as_deref()))
        .collect();
    let expected = [
        ("node_modules", Some("rebuilt by npm")),
        (".next", Some("rebuilt by npm")),
        ("__pycache__", None),
        ("test.db", Some("fixtures")),
        ("x", Some("first")),
        ("y", Some("own")),
        ("a#b", Some("second")),
        ("\\#c", Some("second")),
    ];
    assert_eq!(found, expected);
    assert_eq!(verdict(&rules, "app/#c", false), Some("\\#c"));
}

#[test]
fn names_need_not_be_text() {
    let rules = rules("*.tmp\n");
    let subjects = Subjects {
        path: b"app/\xff\xfe.tmp",
        root_length: 3,
        absolute: b"/srv/app/\xff\xfe.tmp",
        is_directory: false,
    };
    assert!(rules.excluding(subjects).is_some());
}

#[test]
fn nonsense_is_refused() {
    for pattern in ["", "/", "!", "!//", "[a"] {
        assert!(
            ExcludeRules::builder().rule(pattern, None).is_err(),
            "{pattern:?}"
        );
    }
    for marker in ["", "a/b", "..", "a\0"] {
        assert!(
            ExcludeRules::builder()
                .if_present(marker.as_bytes())
                .is_err()
        );
    }
    let error = ExcludeRules::builder()
        .file(Path::new("/nonexistent/rules"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read exclude file /nonexistent/rules"
    );
}
