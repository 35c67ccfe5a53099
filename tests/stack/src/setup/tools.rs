//! The programs the machine has to bring along, checked all at once.

use std::{path::PathBuf, process::Command};

const OLDEST_JAVA: u32 = 17;
/// What the CDK app of this repository asks for.
const OLDEST_NODE: u32 = 20;

/// Finds `java`, and when something has to be fetched also `mvn` and `python3` with venv.
pub(super) fn check(fetching: bool) -> anyhow::Result<PathBuf> {
    let mut problems = Vec::new();
    if let Err(problem) = java() {
        problems.push(problem);
    }
    if fetching {
        if output("mvn", &["-v"]).is_none() {
            problems.push("Maven (mvn) is missing: apt install maven".to_owned());
        }
        match output("python3", &["-c", "import venv, ensurepip"]) {
            Some((true, _)) => {}
            Some((false, _)) => problems.push("python3 has no venv module: apt install python3-venv".to_owned()),
            None => problems.push("Python 3 is missing: apt install python3 python3-venv".to_owned()),
        }
    }
    anyhow::ensure!(problems.is_empty(), "the local stack needs more on this machine:\n  {}", problems.join("\n  "));
    Ok(PathBuf::from("java"))
}

/// Checks for what deploying with the CDK takes on top.
pub(super) fn check_deploying() -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for (program, args, advice) in [
        ("npm", &["--version"][..], "npm is missing: apt install npm"),
        ("strip", &["--version"], "strip is missing: apt install binutils"),
        ("openssl", &["version"], "openssl is missing: apt install openssl"),
    ] {
        if output(program, args).is_none() {
            problems.push(advice.to_owned());
        }
    }
    match output("node", &["--version"]) {
        Some((_, text)) if node_major(&text).is_some_and(|major| major >= OLDEST_NODE) => {}
        Some((_, text)) => problems.push(format!("Node.js {OLDEST_NODE} or later is needed, this is {}", text.trim())),
        None => problems.push("Node.js is missing: apt install nodejs".to_owned()),
    }
    anyhow::ensure!(problems.is_empty(), "deploying needs more on this machine:\n  {}", problems.join("\n  "));
    Ok(())
}

fn node_major(text: &str) -> Option<u32> {
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn java() -> Result<(), String> {
    let advice = "apt install openjdk-17-jre-headless";
    // `java -version` costs a JVM start of about 50 ms; its answer is on standard error.
    let (_, text) = output("java", &["-version"]).ok_or_else(|| format!("Java is missing: {advice}"))?;
    match java_major(&text) {
        Some(major) if major >= OLDEST_JAVA => Ok(()),
        Some(major) => Err(format!("Java {OLDEST_JAVA} or later is needed, this is {major}: {advice}")),
        None => Err(format!("cannot tell Java's version from {text:?}; {OLDEST_JAVA} or later is needed: {advice}")),
    }
}

fn java_major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut parts = version.split(['.', '-', '+']);
    match parts.next()?.parse().ok()? {
        1 => parts.next()?.parse().ok(),
        major => Some(major),
    }
}

fn output(program: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(node_major("v20.20.2\n"), Some(20));
        assert_eq!(node_major("something else"), None);
    }

    #[test]
    fn java_versions_of_all_eras_are_read() {
        for (text, major) in [
            ("openjdk version \"17.0.15\" 2025-04-15", Some(17)),
            ("openjdk version \"21-ea\" 2023-09-19", Some(21)),
            ("java version \"1.8.0_202\"", Some(8)),
            ("something else", None),
        ] {
            assert_eq!(java_major(text), major, "{text}");
        }
    }
}
