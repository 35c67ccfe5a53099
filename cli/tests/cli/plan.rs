//! `plan`: its files, and the script among them run against the stand-in for AWS.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use migration::Phase;
use serde_json::{Value, json};

use crate::support::Bench;

/// What `--format all` writes.
const FILES: [&str; 6] = [
    "aws-cli.sh",
    "cost-estimate.json",
    "iam-policy-concrete.json",
    "iam-policy-templated.json",
    "plan.json",
    "runbook.md",
];

fn answer() -> Value {
    let cluster =
        json!({"name": "a", "arn": "arn", "metadata": "KRAFT", "kafka": "3.9.x", "brokers": 3, "instance_type": null});
    let topic = json!({"name": "orders", "partitions": 2, "replication_factor": 3, "bytes": 700, "largest_partition_bytes": 400,
                       "on_target": false, "offsets": {"outlook": "identity", "why": "whole"}});
    json!({"source": cluster, "target": cluster, "topics": [topic], "skipped_internal": [], "partitions": 2,
           "partitions_to_create": 2, "batches": 1, "estimated_seed_bytes": 700,
           "estimated_seed": {"seconds": 1, "bytes_per_second": 1, "bound_by": "functions", "functions": 1},
           "critical_path": {"partition": "orders/0", "bytes": 400, "seconds": 1, "batch_partitions": 2, "batch_seconds": 1},
           "phases": [{"phase": "seed", "seconds": 61, "meaning": "estimated", "bound_by": "functions", "why": "w"}],
           "limits_to_raise": [], "unread": []})
}

fn read(dir: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path).unwrap())
    };
    let mut files: Vec<_> = files.map(text).collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_plan_is_written_once_unless_forced() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.answer("plan", answer());
    let args = ["plan", "--config", "CONFIG", "--format", "summary", "--out-dir", "DIR/plan"];
    bench.run(&args).await.exits(0).prints("source=a metadata=KRAFT kafka=3.9.x brokers=3");
    assert!(bench.dir().join("plan/plan.json").exists());
    bench.run(&args).await.exits(1).says("--force").says("plan.json");
    bench.run(&[args.as_slice(), &["--force"]].concat()).await.exits(0);
}

#[tokio::test]
async fn six_files_are_the_same_bytes_every_time() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.answer("plan", answer());
    let args = |dir| ["plan", "--config", "CONFIG", "--format", "all", "--migration-id", "m1", "--out-dir", dir];
    for dir in ["DIR/one", "DIR/two"] {
        bench.run(&args(dir)).await.exits(0).prints("topics=1").says("runbook.md");
    }
    let one = read(&bench.dir().join("one"));
    assert_eq!(one.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), FILES);
    assert_eq!(one, read(&bench.dir().join("two")));
}

#[tokio::test]
async fn one_file_that_is_there_keeps_all_from_being_written() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.answer("plan", answer());
    std::fs::create_dir(bench.dir().join("plan")).unwrap();
    std::fs::write(bench.dir().join("plan/runbook.md"), "mine").unwrap();
    let args = ["plan", "--config", "CONFIG", "--format", "all", "--out-dir", "DIR/plan"];
    bench.run(&args).await.exits(1).says("plan/runbook.md").says("nothing was written");
    assert_eq!(read(&bench.dir().join("plan")), [("runbook.md".to_owned(), "mine".to_owned())]);
    bench.run(&[args.as_slice(), &["--force"]].concat()).await.exits(0);
    assert_eq!(read(&bench.dir().join("plan")).len(), FILES.len());
}

#[tokio::test]
async fn each_format_goes_to_stdout() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.answer("plan", answer());
    for (format, text) in [
        ("json", "\"critical_path\""),
        ("summary", "partitions_to_create=2"),
        ("runbook", "# Migration "),
        ("aws-cli", "#!/usr/bin/env bash"),
        ("iam-policy", "\"seed-partition\""),
        ("cost", "\"most_per_hour_of_tail\""),
    ] {
        bench.run(&["plan", "--config", "CONFIG", "--format", format]).await.exits(0).prints(text);
    }
    std::fs::write(bench.dir().join("prices.json"), "{}").unwrap();
    let args = ["plan", "--config", "CONFIG", "--format", "cost", "--prices", "DIR/prices.json"];
    bench.run(&args).await.exits(1).says("prices.json cannot be used").says("as_of");
}

#[tokio::test]
async fn before_anything_is_deployed_there_are_policies_and_the_script() {
    let Some(mut bench) = Bench::new(Phase::Planned).await else { return };
    // Nobody answers here: policies are made without asking anybody.
    bench.set_env("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1".to_owned());
    let policies = ["plan", "--config", "CONFIG", "--format", "iam-policy"];
    bench.run(&policies).await.exits(0).prints("\"seed-partition\"");
    // Here there is no such function.
    bench.set_env("AWS_ENDPOINT_URL_LAMBDA", bench.endpoint().to_owned());
    let args = |format| ["plan", "--config", "CONFIG", "--format", format, "--out-dir", "DIR/plan"];
    bench.run(&args("json")).await.exits(1).says("MSK_KRAFT_FUNCTION_PREFIX");
    assert!(!bench.dir().join("plan").exists());
    let all = bench.run(&args("all")).await;
    all.exits(1).says("the clusters were not asked").says("not written: plan.json, runbook.md, cost-estimate.json");
    let names: Vec<_> = read(&bench.dir().join("plan")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["aws-cli.sh", "iam-policy-concrete.json", "iam-policy-templated.json"]);
    let script = bench.run(&["plan", "--config", "CONFIG", "--format", "aws-cli"]).await;
    script.exits(0).prints("did not see the clusters").says("the clusters were not asked");
}

#[tokio::test]
async fn a_bad_configuration_is_named_line_by_line() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    bench.edit_config("{s3_bucket: segments", "{s3_buckt: segments");
    bench.edit_config("mode: plaintext", "mode: plain");
    let run = bench.run(&["plan", "--config", "CONFIG"]).await;
    run.exits(1).says("m.yaml:6:20: source.auth.mode: is not one of").says("m.yaml:11:14: backup.s3_buckt: is not");
}

/// A program of `scripts/test`, or on the way of the shell.
fn tool(name: &str) -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    let on_path = || Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if tools.exists() { Some(tools) } else { on_path().then(|| PathBuf::from(name)) }
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The script of a migration `m1-<dir>` in the folder `dir`. Policies are the account's: every test has names of its own.
async fn script(bench: &Bench, dir: &str, plan: Value) -> PathBuf {
    bench.answer("plan", plan);
    let (out, id) = (format!("DIR/{dir}"), format!("m1-{dir}"));
    let args = ["plan", "--config", "CONFIG", "--format", "all", "--migration-id", &id, "--out-dir", &out];
    bench.run(&args).await.exits(0);
    bench.dir().join(dir).join("aws-cli.sh")
}

#[tokio::test]
async fn the_script_has_no_faults_that_shellcheck_sees() {
    let Some(mut bench) = Bench::new(Phase::Planned).await else { return };
    bench.set_env("P", "pencil".to_owned());
    let Some(shellcheck) = tool("shellcheck") else {
        println!("skipped: there is no shellcheck; scripts/test installs it");
        return;
    };
    let mut large = answer();
    large["limits_to_raise"] = json!([{"name": "message.max.bytes", "smallest": 1, "needed": 5}]);
    let plain = script(&bench, "plain", answer()).await;
    bench.edit_config("evidence: {s3_bucket", "evidence: {retention: 7y, s3_bucket");
    bench.edit_config(
        "backup: {s3_bucket",
        "backup: {kms_key_arn: 'arn:aws:kms:us-east-1:123456789012:key/1', s3_bucket",
    );
    let locked = script(&bench, "locked", large.clone()).await;
    let scram = "mode: scram-sha-512, username: a, password: '${P}'";
    bench.edit_config("bootstrap_servers: target:9092\n      auth: {mode: plaintext}", &format!("auth: {{{scram}}}"));
    let new_users = script(&bench, "new-users", large.clone()).await;
    bench.edit_config("mode: plaintext", scram);
    let users = script(&bench, "users", large).await;
    for script in [plain, locked, new_users, users] {
        let checked = Command::new(&shellcheck).arg("--severity=style").arg(&script).output().unwrap();
        assert!(checked.status.success(), "{}", text(&checked));
        assert!(Command::new("bash").arg("-n").arg(&script).status().unwrap().success());
    }
}

/// Runs `script` as an operator would, with the stand-in for AWS.
fn run(bench: &Bench, script: &Path, aws: &Path) -> (Option<i32>, String) {
    run_with(bench, script, aws, &[])
}

fn run_with(bench: &Bench, script: &Path, aws: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("bash");
    command.arg(script).args(args).envs(bench.env().iter().map(|(name, value)| (*name, value.as_str())));
    command.env_remove("AWS_ENDPOINT_URL_LAMBDA");
    if let Some(folder) = aws.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap()));
    }
    let output = command.output().unwrap();
    (output.status.code(), text(&output))
}

fn ask(bench: &Bench, aws: &Path, line: &str) -> String {
    let mut command = Command::new(aws);
    // Version 1 of the aws CLI does not know AWS_REGION.
    command.args(line.split(' ')).args(["--output", "text", "--region", "us-east-1"]);
    let output = command.envs(bench.env().iter().map(|(name, value)| (*name, value.as_str()))).output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn the_script_creates_what_is_missing_and_then_changes_nothing() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let Some(aws) = tool("aws") else {
        println!("skipped: there is no aws CLI; scripts/test installs it");
        return;
    };
    let id = std::process::id();
    let key = ask(&bench, &aws, "kms create-key --query KeyMetadata.Arn");
    bench
        .edit_config("evidence: {s3_bucket: evidence", &format!("evidence: {{retention: 7y, s3_bucket: evidence-{id}"));
    let backup = format!("backup: {{kms_key_arn: '{key}', s3_bucket: segments-{id}");
    bench.edit_config("backup: {s3_bucket: segments", &backup);
    let script = script(&bench, "creates", answer()).await;

    let (code, said) = run(&bench, &script, &aws);
    // The stand-in has no functions: the script says so, and does the rest.
    assert_eq!(code, Some(2), "{said}");
    for line in [
        &format!("created  bucket segments-{id}"),
        &format!("created  bucket evidence-{id}"),
        "created  policy msk-kraft-m1-creates-tail-batch",
        "set      point-in-time recovery",
        "MISSING  function precheck",
        "there    state machine",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let asked = |line: &str| ask(&bench, &aws, line);
    let lock = format!(
        "s3api get-object-lock-configuration --bucket evidence-{id} --query ObjectLockConfiguration.ObjectLockEnabled"
    );
    assert_eq!(asked(&lock), "Enabled");
    assert_eq!(asked(&format!("s3api get-bucket-versioning --bucket evidence-{id} --query Status")), "Enabled");
    let encryption = format!(
        "s3api get-bucket-encryption --bucket segments-{id} --query \
         ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.KMSMasterKeyID"
    );
    assert_eq!(asked(&encryption), key);
    let policy = "iam get-policy --policy-arn arn:aws:iam::123456789012:policy/msk-kraft-m1-creates-evidence --query Policy.PolicyName";
    assert_eq!(asked(policy), "msk-kraft-m1-creates-evidence");

    let (code, said) = run(&bench, &script, &aws);
    assert_eq!(code, Some(2), "{said}");
    assert!(!said.contains("created") && !said.contains("set  "), "{said}");

    // A policy of an earlier plan is brought up to date.
    let policies = script.with_file_name("iam-policy-concrete.json");
    let text = std::fs::read_to_string(&policies).unwrap();
    std::fs::write(&policies, text.replace("\"GateAnswerTheGates\"", "\"GateAnswerGates\"")).unwrap();
    let (_, said) = run(&bench, &script, &aws);
    assert_eq!(said.matches("set  ").count(), 1, "{said}");
    assert!(said.contains("set      policy msk-kraft-m1-creates-gate"), "{said}");

    // As often as one likes: the oldest of five versions makes room.
    let arn = "arn:aws:iam::123456789012:policy/msk-kraft-m1-creates-gate";
    let other =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}]}"#;
    for _ in 0..3 {
        asked(&format!("iam create-policy-version --policy-arn {arn} --policy-document {other}"));
    }
    std::fs::write(&policies, text).unwrap();
    let (_, said) = run(&bench, &script, &aws);
    assert!(said.contains("set      policy msk-kraft-m1-creates-gate"), "{said}");
    let versions = asked(&format!("iam list-policy-versions --policy-arn {arn} --query Versions[].VersionId"));
    assert_eq!(versions.split_whitespace().collect::<BTreeSet<_>>(), BTreeSet::from(["v2", "v3", "v4", "v5", "v6"]));

    // When the migration is over, they go, attached or not.
    let trust = r#"{"Version":"2012-10-17","Statement":[]}"#;
    let role = format!("gate-{id}");
    asked(&format!("iam create-role --role-name {role} --assume-role-policy-document {trust}"));
    asked(&format!("iam attach-role-policy --role-name {role} --policy-arn {arn}"));
    let (code, said) = run_with(&bench, &script, &aws, &["--remove-policies"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("removed  policy msk-kraft-m1-creates-gate"), "{said}");
    assert_eq!(asked("iam list-policies --scope Local --query Policies[?contains(PolicyName,'m1-creates')].Arn"), "");
}

/// An `aws` in front of the real one that answers what moto has no answer to, and writes those calls down.
const MSK: &str = r#"#!/usr/bin/env bash
if [[ $1 != kafka ]]; then exec REAL "$@"; fi
echo "$*" >>LOG
case "$*" in
  *describe-cluster-v2*ClusterInfo.State) cat STATE ;;
  *list-configurations*) echo '{"Configurations": [{"Name": "msk-kraft-m1-again", "Arn": "arn:c/own"}]}' ;;
  *describe-cluster-v2*ConfigurationArn) echo arn:aws:kafka:us-east-1:123456789012:configuration/c/1 ;;
  *describe-cluster-v2*ConfigurationRevision) echo 3 ;;
  *describe-cluster-v2*CurrentVersion) echo K7 ;;
  *describe-configuration-revision*) printf 'delete.topic.enable = true\nmessage.max.bytes = 1000012\n' | base64 ;;
  *" update-configuration "*) for word; do [[ $word == fileb://* ]] && cat "${word#fileb://}" >>LOG; done; echo 4 ;;
  *list-scram-secrets*cluster/old/*) printf 'arn:secret:b\tarn:secret:a\n' ;;
  *list-scram-secrets*) printf 'arn:secret:a\n' ;;
  *batch-associate-scram-secret*) echo None ;;
esac
"#;

#[tokio::test]
async fn the_script_raises_limits_and_associates_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(mut bench) = Bench::new(Phase::Planned).await else { return };
    bench.set_env("P", "pencil".to_owned());
    let Some(aws) = tool("aws") else { return };
    let id = std::process::id();
    bench.edit_config("mode: plaintext", "mode: scram-sha-512, username: a, password: '${P}'");
    bench.edit_config("s3_bucket: segments", &format!("s3_bucket: msk-segments-{id}"));
    bench.edit_config("s3_bucket: evidence", &format!("s3_bucket: msk-evidence-{id}"));
    let mut plan = answer();
    plan["limits_to_raise"] = json!([
        {"name": "message.max.bytes", "smallest": 1_000_012, "needed": 5_000_000},
        {"name": "replica.fetch.max.bytes", "smallest": 1_048_576, "needed": 5_000_000},
    ]);
    let script = script(&bench, "raises", plan).await;
    let (front, log) = (bench.dir().join("bin/aws"), bench.dir().join("log"));
    std::fs::create_dir(front.parent().unwrap()).unwrap();
    let state = bench.dir().join("state");
    let text = MSK.replace("REAL", aws.to_str().unwrap()).replace("LOG", log.to_str().unwrap());
    std::fs::write(&front, text.replace("STATE", state.to_str().unwrap())).unwrap();
    std::fs::set_permissions(&front, std::fs::Permissions::from_mode(0o755)).unwrap();

    std::fs::write(&state, "UPDATING").unwrap();
    let (code, said) = run(&bench, &script, &front);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("MISSING  limits of the target's brokers: the cluster is UPDATING"), "{said}");
    assert!(!std::fs::read_to_string(&log).unwrap().contains("update-c"));

    std::fs::write(&state, "ACTIVE").unwrap();
    let (code, said) = run(&bench, &script, &front);
    assert_eq!(code, Some(2), "{said}");
    let calls = std::fs::read_to_string(&log).unwrap();
    let properties = "delete.topic.enable = true\nmessage.max.bytes=5000000\nreplica.fetch.max.bytes=5000000\n";
    for part in [
        properties,
        "--current-version K7 --configuration-info Arn=arn:aws:kafka:us-east-1:123456789012:configuration/c/1,Revision=4",
        "cluster/new/def-2 --secret-arn-list arn:secret:b --query",
    ] {
        assert!(calls.contains(part), "{part:?} is not in:\n{calls}\n{said}");
    }

    // A cluster without a configuration of its own, which an earlier run has made and MSK did not take.
    let none = std::fs::read_to_string(&front)
        .unwrap()
        .replace("echo arn:aws:kafka:us-east-1:123456789012:configuration/c/1", "echo None");
    std::fs::write(
        &front,
        none.replace(
            "*batch-associate-scram-secret*) echo None",
            "*batch-associate-scram-secret*) echo 'arn:secret:b no key'",
        ),
    )
    .unwrap();
    let again = std::fs::read_to_string(&script).unwrap().replace("msk-kraft-m1-raises\"", "msk-kraft-m1-again\"");
    std::fs::write(&script, again).unwrap();
    let (_, said) = run(&bench, &script, &front);
    let calls = std::fs::read_to_string(&log).unwrap();
    assert!(
        calls.contains("--configuration-info Arn=arn:c/own,Revision=4") && !calls.contains("create-configuration"),
        "{calls}"
    );
    assert!(
        said.contains("MISSING  secrets that MSK did not take, of arn:secret:b") && !said.contains("set      SCRAM"),
        "{said}"
    );
}

#[tokio::test]
async fn the_script_does_nothing_in_another_account() {
    let Some(bench) = Bench::new(Phase::Planned).await else { return };
    let Some(aws) = tool("aws") else { return };
    let script = script(&bench, "account", answer()).await;
    let text = std::fs::read_to_string(&script).unwrap();
    std::fs::write(&script, text.replace("ACCOUNT=123456789012", "ACCOUNT=210987654321")).unwrap();
    let (code, said) = run(&bench, &script, &aws);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing was done") && !said.contains("created"), "{said}");
}
