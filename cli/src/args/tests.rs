use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Verb, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.verb)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_verb_has_help_with_an_example() {
    for verb in Cli::command().get_subcommands_mut() {
        let help = verb.render_long_help().to_string();
        let name = verb.get_name();
        assert!(help.contains("Example"), "{name}");
        assert!(help.contains(&format!("msk-kraft {name}")), "{name}");
    }
}

#[test]
fn a_throttle_is_changed_only_where_it_was_asked_for() {
    let changed = |flags: &str, now: Throttle| {
        let verb = parse(&format!("msk-kraft throttle --migration-id m1{flags}")).unwrap();
        let Verb::Throttle(args) = verb else { panic!("{verb:?}") };
        let Throttle { bytes_per_second, bytes_per_second_per_broker } = args.change(now);
        (bytes_per_second.map(NonZeroU64::get), bytes_per_second_per_broker.map(NonZeroU64::get))
    };
    let now = Throttle { bytes_per_second: NonZeroU64::new(7), bytes_per_second_per_broker: None };
    assert_eq!(changed("", now), (Some(7), None));
    assert_eq!(changed(" --per-broker 20MiB", now), (Some(7), Some(20 << 20)));
    assert_eq!(changed(" --bytes-per-second 0", now), (None, None));
    assert_eq!(changed(" --off", now), (None, None));
    assert!(parse("msk-kraft throttle --migration-id m1 --per-broker fast").is_err());
    assert!(parse("msk-kraft throttle --migration-id m1 --off --per-broker 1MB").is_err());
}

#[test]
fn the_exit_codes_are_documented() {
    let help = Cli::command().render_long_help().to_string();
    for code in ["0 ", "1 ", "2 ", "10 ", "130 "] {
        assert!(help.contains(&format!("  {code}")), "{code}");
    }
}

#[test]
fn execute_needs_a_config_and_the_rest_an_id() {
    let Verb::Execute(execute) = parse("msk-kraft execute --config m.yaml --journal-dir j").unwrap() else {
        panic!("another verb")
    };
    assert_eq!((execute.migration_id, execute.output), (None, Output::Table));
    assert!(parse("msk-kraft execute --migration-id a").is_err());
    for verb in ["resume", "status", "cutover", "cutover-ack", "rollback", "finalize", "journal"] {
        parse(&format!("msk-kraft {verb} --migration-id a")).unwrap();
        parse(&format!("msk-kraft {verb} --config m.yaml --migration-id a --journal-dir j --output json")).unwrap();
        assert!(parse(&format!("msk-kraft {verb} --config m.yaml")).is_err(), "{verb}");
    }
}

#[test]
fn only_a_named_migration_begins_again_and_only_then_nobody_is_asked() {
    for (line, valid) in [
        ("execute --config m.yaml --migration-id a --force-restart", true),
        ("execute --config m.yaml --migration-id a --force-restart --yes", true),
        ("resume --migration-id a --force-restart --yes", true),
        ("execute --config m.yaml --force-restart", false),
        ("execute --config m.yaml --migration-id a --yes", false),
        ("resume --migration-id a --yes", false),
    ] {
        assert_eq!(parse(&format!("msk-kraft {line}")).is_ok(), valid, "{line}");
    }
}

#[test]
fn an_id_that_cannot_be_one_is_refused_with_the_rule() {
    let error = parse("msk-kraft status --migration-id a/b").unwrap_err().to_string();
    assert!(error.contains("letters, digits"), "{error}");
}

#[test]
fn offsets_looks_one_up_or_many_or_writes_maps() {
    let begin = "msk-kraft offsets --migration-id a";
    for good in [
        "",
        " --topic t --partition 0 --source-offset 5",
        " --lookup - --format json",
        " --topic t --out-dir d --force",
        " --topic -dash --partition 0 --source-offset 5",
    ] {
        parse(&format!("{begin}{good}")).unwrap();
    }
    for bad in [
        " --partition 0",
        " --topic t --source-offset 5",
        " --topic t --partition 0 --source-offset -5",
        " --topic t --partition 0 --source-offset 5 --out-dir d",
        " --lookup f --topic t",
        " --force",
    ] {
        assert!(parse(&format!("{begin}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn the_form_of_offsets_follows_output_unless_it_is_named() {
    let form = |flags: &str| {
        let Verb::Offsets(args) = parse(&format!("msk-kraft offsets --migration-id a{flags}")).unwrap() else {
            panic!("another verb")
        };
        args.format()
    };
    assert_eq!((form(""), form(" --output json")), (MapFormat::Csv, MapFormat::Json));
    assert_eq!(form(" --output json --format csv"), MapFormat::Csv);
}

#[test]
fn ack_takes_a_gate() {
    let Verb::Ack(ack) = parse("msk-kraft ack client-switch --migration-id a --by ada").unwrap() else {
        panic!("another verb")
    };
    assert_eq!((ack.gate, ack.by.as_deref(), ack.reject), (GateName::ClientSwitch, Some("ada"), false));
    let error = parse("msk-kraft ack clients --migration-id a").unwrap_err().to_string();
    assert!(error.contains("cutover, freeze, client-switch, finalize"), "{error}");
}
