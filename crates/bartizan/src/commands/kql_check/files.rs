//! `bartizan kql check FILE…` — queries in files, against the published tables and those of `--schema`.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::Context as _;
use kql::check::TableSchemas;
use model::Timestamp;

use super::super::report::{Case, Finding, Format, Level, render};
use super::super::{Failure, Outcome};

pub fn run(files: &[PathBuf], schemas: TableSchemas, format: Format) -> Outcome {
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        let text = if file == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(file) };
        texts.push((file.display().to_string(), text.with_context(|| format!("cannot read `{}`", file.display()))?));
    }
    let worker = std::thread::Builder::new().stack_size(super::STACK).spawn(move || {
        let now = Timestamp::from_system(SystemTime::now());
        texts.iter().map(|(file, text)| case(file, text, &schemas, now)).collect::<Vec<Case>>()
    })?;
    let cases = worker.join().map_err(|_| anyhow::anyhow!("checking broke"))?;
    print!("{}", render(format, "bartizan kql check", &cases));
    let errors = cases.iter().map(|case| case.findings.len()).sum::<usize>();
    let summary = format!("{} files: {errors} errors", cases.len());
    if errors > 0 {
        return Err(Failure::Wrong(summary));
    }
    eprintln!("{summary}");
    Ok(())
}

fn case(file: &str, text: &str, schemas: &TableSchemas, now: Timestamp) -> Case {
    let began = Instant::now();
    let findings = kql::check::check(text, schemas, now)
        .diagnostics
        .iter()
        .map(|wrong| {
            let before = text.get(..wrong.start).unwrap_or(text);
            Finding {
                level: Level::Error,
                code: wrong.code.to_owned(),
                file: file.to_owned(),
                line: Some(before.matches('\n').count() + 1),
                column: Some(before.rsplit('\n').next().unwrap_or_default().chars().count() + 1),
                message: wrong.message.clone(),
                help: wrong.help.clone(),
            }
        })
        .collect();
    Case { file: file.to_owned(), name: file.to_owned(), seconds: began.elapsed().as_secs_f64(), findings }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_have_lines_and_columns_in_characters() {
        let text = "// é\nprint 'é' | were 1";
        let case = case("q.kql", text, &TableSchemas::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(case.findings.iter().map(|finding| (finding.line, finding.column)).next(), Some((Some(2), Some(13))));
    }
}
