//! The verbs.

mod access_map;
mod ack;
mod cutover;
mod decide;
mod execute;
mod finalize;
mod journal;
mod late_records;
mod offsets;
mod plan;
mod precheck;
mod rehearse;
mod restart;
mod resume;
mod rollback;
mod status;
mod throttle;
mod unfence;

use migration::Result;

use crate::args::Verb;

/// How a verb ended, where it was no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it is for.
    Done,
    /// What it is about failed, and that is said already.
    Failed,
    /// The migration waits for the operator.
    Waiting,
}

impl Exit {
    /// The exit code.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Waiting => 10,
        }
    }
}

/// Runs `verb`.
///
/// # Errors
/// Whatever kept it from doing what it is for.
pub(crate) async fn run(verb: Verb) -> Result<Exit> {
    match verb {
        Verb::Plan(args) => plan::run(&args).await,
        Verb::Precheck(args) => precheck::run(&args).await,
        Verb::Execute(args) => execute::run(&args).await,
        Verb::Resume(args) if args.restart.force_restart => restart::resume(&args).await,
        Verb::Resume(args) => resume::run(&args.run).await,
        Verb::Status(args) => status::run(&args).await,
        Verb::Cutover(args) => cutover::run(&args).await,
        Verb::CutoverAck(args) => cutover::acknowledge(&args).await,
        Verb::Rollback(args) => rollback::run(&args).await,
        Verb::Finalize(args) => finalize::run(&args).await,
        Verb::Unfence(args) => unfence::run(&args).await,
        Verb::Input(args) => ack::input(&args),
        Verb::Ack(args) => ack::run(&args).await,
        Verb::Throttle(args) => throttle::run(&args).await,
        Verb::Offsets(args) => offsets::run(&args).await,
        Verb::LateRecords(args) => late_records::run(&args).await,
        Verb::AccessMap(args) => access_map::run(&args).await,
        Verb::Journal(args) => journal::run(&args).await,
    }
}
