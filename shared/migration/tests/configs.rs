//! Configuration files as operators write them: `configs/good` load, and each of `configs/bad` gives all of its problems at
//! once, those in the `.expected` file beside it. `MSK_KRAFT_BLESS=1` writes what is found there instead of comparing.

#![allow(clippy::unwrap_used, reason = "the rules' exceptions for tests miss a test's helpers")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use migration::Config;

/// Fewest files of `bad`.
const FEWEST: usize = 50;
/// What no message may show: the passwords in the files.
const SECRETS: [&str; 4] = ["hunter2", "hunter3", "12345678", "changeit"];

fn files(folder: &str) -> BTreeSet<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(folder);
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect()
}

fn env(name: &str) -> Option<String> {
    match name {
        "KAFKA_USER" | "TEAM" => Some(name.to_lowercase()),
        "SECRET" => Some(SECRETS[0].to_owned()),
        _ => None,
    }
}

#[test]
fn bad_files_give_every_problem_at_once() {
    let files = files("bad");
    assert!(files.len() >= FEWEST, "{} files", files.len());
    let mut differences = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let problems = Config::read_yaml(&text, env).expect_err(&path.to_string_lossy());
        let name = PathBuf::from(path.file_name().unwrap());
        let found = problems.in_file(&name) + "\n";
        let expected = path.with_extension("expected");
        if std::env::var_os("MSK_KRAFT_BLESS").is_some_and(|bless| !bless.is_empty()) {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        if found != expected {
            differences.push(format!("{}\nexpected:\n{expected}found:\n{found}", path.display()));
        }
        let shown = SECRETS.iter().find(|secret| found.contains(**secret));
        assert_eq!(shown, None, "{found}");
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn good_files_load_and_survive_json() {
    for path in files("good") {
        let text = std::fs::read_to_string(&path).unwrap();
        let config = Config::from_yaml(&text, env).unwrap_or_else(|error| panic!("{}:\n{error}", path.display()));
        assert_eq!(Config::from_json(&config.to_json()).unwrap(), config, "{}", path.display());
    }
}

#[test]
fn the_documented_example_is_among_the_good_files() {
    let example = include_str!("configs/good/every-field.yaml").split_once('\n').unwrap().1;
    assert!(include_str!("../../../docs/CONFIGURATION.md").contains(&format!("```yaml\n{example}```")));
}

#[test]
fn the_example_names_every_field_but_those_that_exclude_each_other() {
    const STRANGER: &str = "no_field_is_called_this";
    let text = include_str!("configs/good/every-field.yaml");
    let config = Config::from_yaml(text, env).unwrap().to_json();
    let mut sections = 0;
    for (n, line) in text.lines().enumerate() {
        // A mapping: what follows is deeper. A field that nobody knows makes the reader list those that it knows.
        let Some(section) = line.strip_suffix(':').filter(|line| !line.ends_with("auth")) else { continue };
        let depth = section.len() - section.trim_start().len() + 2;
        let stranger = format!("{:depth$}{STRANGER}: 1", "");
        let lines: Vec<_> =
            text.lines().take(n + 1).chain([stranger.as_str()]).chain(text.lines().skip(n + 1)).collect();
        let problems = Config::read_yaml(&lines.join("\n"), env).unwrap_err();
        let problem = problems.iter().find(|problem| problem.path.ends_with(STRANGER)).unwrap();
        let known = problem.message.split_once("known here: ").unwrap().1;
        let section = match section.trim() {
            "enterprise" => continue,
            "msk_kraft_migration" => &config,
            section => &config[section],
        };
        // Excluded by signing_key_arn.
        for field in known.split(", ").filter(|field| *field != "signing_key_path") {
            assert!(section.get(field).is_some(), "{line} lacks {field}");
        }
        sections += 1;
    }
    assert_eq!(sections, 11);
}

#[test]
fn wherever_a_file_is_cut_off_it_loads_or_gives_problems() {
    let text = include_str!("configs/good/every-field.yaml");
    let found = (0..text.len()).map(|end| Config::read_yaml(&text[..end], env));
    let unusable: Vec<_> = found.filter_map(Result::err).collect();
    assert!(unusable.len() > text.len() / 2 && unusable.iter().all(|problems| problems.iter().count() > 0));
}
