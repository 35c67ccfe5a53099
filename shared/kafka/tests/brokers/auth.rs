//! Every way to sign in, against real brokers: those of `stack up --auth`, from the environment that it prints.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use kafka::auth::{MskIam, stores};
use kafka::batch::{Codec, Record, Stamp, encode};
use kafka::{
    Auth, Cluster, Error, FetchOptions, FetchPosition, Isolation, NewTopic, OffsetSpec, Sasl, Settings, Tls,
    TopicPartition, all_ok,
};
use migration::ErrorKind;

/// Password of the stack's PKCS#12 stores.
const STORE_PASSWORD: &str = "stack-store";
/// A session's token as STS gives it.
const SESSION_TOKEN: &str =
    "IQoJb3JpZ2luX2VjEHoaCXVzLWVhc3QtMSJHMEUCIQDx8+/PqTg7Rk1n0Yw5bZk3Jc2uQm9vTzAiEA4h6Tn1y5pXw==";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The sides there are, by the names of their variables; none when no stack with these listeners runs.
fn sides() -> Vec<&'static str> {
    let sides = ["SOURCE", "TARGET"].into_iter().filter(|side| server(side, "SCRAM").is_some());
    let sides: Vec<_> = sides.collect();
    if sides.is_empty() {
        println!("skipped: the environment is not the one that `stack up --auth` prints");
    }
    sides
}

fn server(side: &str, listener: &str) -> Option<String> {
    std::env::var(format!("{side}_BOOTSTRAP_{listener}")).ok()
}

fn file(variable: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(std::env::var(variable).unwrap())).unwrap()
}

fn tls(identity: Option<stores::Identity>) -> Tls {
    Tls::new(Some(stores::trusted(&file("STACK_AUTHORITY"), None).unwrap()), identity).unwrap()
}

fn pem(variable: &str) -> Option<stores::Identity> {
    Some(stores::identity(&file(variable), None).unwrap())
}

fn scram(username: &str, password: &str) -> Auth {
    Auth::Sasl(tls(None), Sasl::ScramSha512 { username: username.into(), password: password.to_owned().into() })
}

fn user() -> Auth {
    scram(&std::env::var("STACK_SCRAM_USER").unwrap(), &std::env::var("STACK_SCRAM_PASSWORD").unwrap())
}

fn signer(key: &'static str, secret: &'static str, region: &'static str) -> MskIam {
    MskIam::new(region, Credentials::new(key, secret, None, None, "test"))
}

/// The same with a role's temporary credentials.
fn session_signer(token: &str) -> MskIam {
    MskIam::new("us-east-1", Credentials::new("test", "test", Some(token.to_owned()), None, "test"))
}

fn iam(signer: MskIam) -> Auth {
    Auth::Sasl(tls(None), Sasl::MskIam(signer))
}

async fn connect(side: &str, listener: &str, auth: Auth) -> Result<Cluster, Error> {
    let mut settings = Settings { auth, ..Settings::parse(&server(side, listener).unwrap()) };
    settings.retry.deadline = Duration::from_secs(2);
    Cluster::connect(settings).await
}

/// The error of a connection that cannot be made.
async fn refused(side: &str, listener: &str, auth: Auth) -> Error {
    let error = connect(side, listener, auth).await.unwrap_err();
    println!("{side} {listener}: {error}");
    error
}

#[tokio::test]
async fn every_way_to_sign_in_leads_to_the_cluster() {
    for side in sides() {
        let p12 = stores::identity(&file("STACK_CLIENT_P12"), Some(STORE_PASSWORD)).unwrap();
        for (listener, auth) in [
            ("SCRAM", user()),
            ("MTLS", Auth::Tls(tls(pem("STACK_CLIENT")))),
            ("MTLS", Auth::Tls(tls(Some(p12)))),
            ("TLS", Auth::Tls(tls(None))),
            ("IAM", iam(signer("test", "test", "us-east-1"))),
            ("IAM", iam(session_signer(SESSION_TOKEN))),
        ] {
            let cluster = connect(side, listener, auth).await.unwrap();
            // Metadata tells the addresses of the same listener: a second connection signs in there.
            let broker = cluster.brokers().await.unwrap()[0].id;
            assert!(!cluster.broker_configs(broker).await.unwrap().is_empty(), "{side} {listener}");
        }
    }
}

#[tokio::test]
async fn a_wrong_user_or_password_is_refused_at_once_and_by_name() {
    for side in sides() {
        let name = std::env::var("STACK_SCRAM_USER").unwrap();
        for auth in [scram(&name, "hunter2"), scram("nobody", "hunter2")] {
            let error = refused(side, "SCRAM", auth).await;
            assert!(matches!(error, Error::Authentication { mechanism: "SCRAM-SHA-512", .. }), "{error}");
            assert_eq!(error.kind(), ErrorKind::Blocked);
            assert!(!error.to_string().contains("hunter2") && error.to_string().contains("check user"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_token_of_another_signer_or_time_is_refused_with_the_brokers_reason() {
    for side in sides() {
        let past = || SystemTime::now() - Duration::from_secs(901);
        for (signer, reason) in [
            (signer("test", "other", "us-east-1"), "signature"),
            (signer("other", "test", "us-east-1"), "signer other/"),
            (signer("test", "test", "eu-west-2"), "kafka.eu-west-2.amazonaws.com"),
            (signer("test", "test", "us-east-1").with_clock(past), "expired"),
            (session_signer("no token of a session"), "session token"),
        ] {
            let error = refused(side, "IAM", iam(signer)).await;
            assert!(matches!(error, Error::Authentication { mechanism: "OAUTHBEARER", .. }), "{error}");
            assert!(error.to_string().contains(reason), "{reason}: {error}");
            assert!(!error.is_retryable());
        }
    }
}

#[tokio::test]
async fn certificates_that_nobody_trusts_are_refused_on_either_side() {
    for side in sides() {
        let system = Auth::Tls(Tls::new(None, None).unwrap());
        let error = refused(side, "TLS", system).await;
        assert!(matches!(error, Error::Tls { .. }) && error.to_string().contains("auth.truststore"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Blocked);
        for identity in [None, pem("STACK_STRANGER")] {
            let error = refused(side, "MTLS", Auth::Tls(tls(identity))).await;
            assert!(matches!(error, Error::Tls { .. }) && error.to_string().contains("auth.keystore"), "{error}");
        }
    }
}

#[tokio::test]
async fn the_wrong_listener_is_hinted_at() {
    for side in sides() {
        for (listener, auth, hint) in [
            ("TLS", Auth::Plaintext, "TLS"),
            ("SCRAM", Auth::Tls(tls(None)), "SASL"),
            ("TLS", user(), "does not ask who the client is"),
            ("IAM", user(), "offers OAUTHBEARER instead"),
            ("SCRAM", iam(signer("test", "test", "us-east-1")), "offers SCRAM-SHA-512 instead"),
        ] {
            let text = refused(side, listener, auth).await.to_string();
            assert!(text.contains(hint) && text.contains("check that the port fits auth.mode"), "{listener}: {text}");
        }
        let plaintext =
            server(side, "SCRAM").and_then(|_| std::env::var(format!("MSK_KRAFT_TEST_{side}")).ok()).unwrap();
        let mut settings = Settings { auth: Auth::Tls(tls(None)), ..Settings::parse(&plaintext) };
        settings.retry.deadline = Duration::from_secs(1);
        let text = Cluster::connect(settings).await.unwrap_err().to_string();
        assert!(text.contains("check that the port fits auth.mode"), "{text}");
    }
}

/// The stack's brokers end a session after four seconds, by closing the connection at the next request.
#[tokio::test]
async fn sessions_are_renewed_under_load_and_no_request_is_lost() {
    for side in sides() {
        let cluster = connect(side, "IAM", iam(signer("test", "test", "us-east-1"))).await.unwrap();
        let partition = topic(&cluster).await;
        let until = tokio::time::Instant::now() + Duration::from_secs(10);
        let (written, read) = tokio::join!(write(&cluster, &partition, until), read(&cluster, &partition, until));
        println!("{side}: {written} batches written and {read} fetches answered over three sessions");
        assert!(written > 0 && read > 0);

        // Once more on connections on which nothing happened until after the end of their sessions.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let written_after = write(&cluster, &partition, tokio::time::Instant::now() + Duration::from_millis(100)).await;
        assert!(written_after > 0);
    }
}

async fn topic(cluster: &Cluster) -> TopicPartition {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    let name = format!("auth-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let topic = NewTopic {
        name: name.as_str().into(),
        partitions: 1,
        replication_factor: 1,
        configs: [("retention.ms".to_owned(), "-1".to_owned())].into(),
    };
    all_ok(cluster.create_topics(std::slice::from_ref(&topic)).await).unwrap();
    let partition = TopicPartition::new(topic.name, 0);
    // Metadata names the leader before it knows that it is.
    all_ok(cluster.list_offsets(std::slice::from_ref(&partition), OffsetSpec::Latest).await).unwrap();
    partition
}

/// Writes batches one after the other, none of them twice; a connection that is closed would lose one.
async fn write(cluster: &Cluster, partition: &TopicPartition, until: tokio::time::Instant) -> i64 {
    let producer = cluster.init_producer_id().await.unwrap();
    for nth in 0.. {
        if tokio::time::Instant::now() >= until {
            return nth;
        }
        let record = Record {
            offset: nth,
            timestamp: 1_700_000_000_000,
            key: None,
            value: Some(bytes::Bytes::from_static(b"value")),
            headers: Vec::new(),
        };
        let stamp = Stamp::nth(producer.id, producer.epoch, nth);
        let batch = encode(&[record], Codec::None, stamp, nth).unwrap().to_produce();
        let mut each = cluster.produce(&[(partition.clone(), batch)], TIMEOUT).await;
        each.remove(0).1.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    unreachable!("the numbers do not end")
}

/// Keeps several fetches, which wait at the broker, on their way over one connection.
async fn read(cluster: &Cluster, partition: &TopicPartition, until: tokio::time::Instant) -> usize {
    let options = FetchOptions {
        max_wait: Duration::from_millis(100),
        min_bytes: 1 << 20,
        max_bytes: 1 << 20,
        isolation: Isolation::ReadCommitted,
    };
    let position = [FetchPosition { partition: partition.clone(), offset: 0, max_bytes: 1 << 20 }];
    let mut read = 0;
    while tokio::time::Instant::now() < until {
        let several = (0..3).map(|_| cluster.fetch(&position, &options));
        for mut each in futures::future::join_all(several).await {
            each.remove(0).1.unwrap();
            read += 1;
        }
    }
    read
}
