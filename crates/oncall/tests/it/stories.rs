//! All stories of cases/oncall.

use std::path::Path;

#[test]
fn what_is_told_is_sent_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cases/oncall");
    let (mut told, mut wrong) = (0, Vec::new());
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        for story in oncall::story::run(&std::fs::read_to_string(path).unwrap()) {
            told += 1;
            wrong.extend(story.wrong.map(|why| format!("{}\n  {why}", story.name)));
        }
    }
    println!("{told} stories");
    assert!(told > 0, "no story below {}", folder.display());
    assert!(wrong.is_empty(), "{} of {told}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_story_that_leaves_something_out_fails() {
    let text = "# x\n## y\nfrom: the text above\n```given\nusers: { ann: { contacts: { mobile: { sms: \"+47\" } } } }\n\
        alert_policies: { all: { escalation_policy: night } }\nescalation_policies: { night: { steps: [{ targets: [\"user:ann\"] }] } }\n```\n\
        ```story\n02:00 incident opens\n```\n";
    let results = oncall::story::run(text);
    assert_eq!(results[0].wrong.as_deref(), Some("line 10: 02:00 incident opens\n  sent: sms to ann"));
}
