//! What was measured, as tables.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::report::{Figures, Measurement, Middle, Report};

/// The part of the machine's time that others may take before it is worth a word.
const UNDISTURBED: f64 = 0.05;

/// One line about a copy, printed as soon as it is known.
pub(crate) fn line(copy: &Measurement) -> String {
    let name = format!("{:<16} {:<18}", copy.title(), copy.contender.name());
    match (&copy.figures, &copy.failure) {
        (Some(figures), _) => format!(
            "{name} {:>7.2} s {:>7.1} MB/s  copier {:>6.2} CPU s/GB  {:>5.0} MB  {}{}",
            figures.seconds,
            figures.megabytes_per_second(),
            figures.per_gigabyte(figures.cpu.copier),
            figures.peak_rss as f64 / 1e6,
            verdict(figures),
            if figures.cpu.elsewhere > UNDISTURBED { "  (others used the machine)" } else { "" }
        ),
        (None, failure) => format!("{name} failed: {}", failure.as_deref().unwrap_or("unknown")),
    }
}

/// All tables of a report.
pub(crate) fn all(report: &Report) -> String {
    let middles = report.middles();
    let is_of_the_series = |middle: &&Middle<'_>| middle.copy.set.name.starts_with("spread-");
    let is_slow = |middle: &&Middle<'_>| middle.copy.broker_percent.is_some();
    let usual = middles.iter().filter(|middle| !is_of_the_series(middle) && !is_slow(middle));
    let parts = [
        (
            "Copies (the middle one of the rounds; MB are 10^6 bytes as the source stores them, CPU seconds per 10^9 of them)",
            copies(usual),
        ),
        ("With slow brokers (each may use that many percent of a processor)", copies(middles.iter().filter(is_slow))),
        ("Catching up with a burst", bursts(&middles)),
        ("The same bytes in more partitions (msk-kraft)", copies(middles.iter().filter(is_of_the_series))),
        ("Targets", crate::targets::table(report)),
    ];
    let text = |(title, table): &(&str, Option<Table>)| table.as_ref().map(|table| format!("\n{title}\n{table}\n"));
    let skipped = report.without_slow_brokers.as_ref();
    let skipped = skipped.map(|why| format!("\nSkipped: copies with slow brokers. {why}\n"));
    parts.iter().filter_map(text).chain(skipped).collect()
}

fn copies<'a>(rows: impl Iterator<Item = &'a Middle<'a>>) -> Option<Table> {
    let mut table = new(&[
        "data set",
        "copier",
        "MB",
        "s",
        "from",
        "to",
        "start s",
        "MB/s",
        "records/s",
        "copier",
        "source",
        "target",
        "JIT",
        "S3",
        "moto",
        "RSS MB",
        "S3 req",
        "DDB req",
        "records",
        "others %",
    ]);
    table.add_rows(rows.map(row));
    finished(table)
}

fn row(middle: &Middle<'_>) -> Vec<Cell> {
    let copy = middle.copy;
    let mut cells = vec![Cell::new(copy.title()), Cell::new(copy.contender.name())];
    let Some(figures) = &copy.figures else {
        cells.push(Cell::new("failed"));
        return cells;
    };
    let per_gigabyte = |cpu: f64| number(figures.per_gigabyte(cpu), 2);
    let count = |requests: Option<u64>| Cell::new(requests.map_or_else(String::new, |count| count.to_string()));
    cells.extend([
        number(figures.bytes as f64 / 1e6, 0),
        number(figures.seconds, 2),
        number(middle.seconds.0, 2),
        number(middle.seconds.1, 2),
        number(figures.startup_seconds, 1),
        number(figures.megabytes_per_second(), 1),
        number(figures.records_per_second(), 0),
        per_gigabyte(figures.cpu.copier),
        per_gigabyte(figures.cpu.source),
        per_gigabyte(figures.cpu.target),
        per_gigabyte(figures.cpu.compilers),
        per_gigabyte(figures.cpu.s3),
        per_gigabyte(figures.cpu.aws),
        number(middle.peak_rss as f64 / 1e6, 0),
        count(figures.s3_requests),
        count(figures.dynamodb_requests),
        Cell::new(verdict(figures)),
        number(figures.cpu.elsewhere * 100.0, 0),
    ]);
    cells
}

fn bursts(middles: &[Middle<'_>]) -> Option<Table> {
    let mut table = new(&["data set", "copier", "MB", "produced in s", "caught up after s", "records"]);
    for middle in middles {
        let Some(burst) = middle.burst else { continue };
        table.add_row([
            Cell::new(middle.copy.title()),
            Cell::new(middle.copy.contender.name()),
            number(burst.bytes as f64 / 1e6, 0),
            number(burst.producing_seconds, 2),
            number(burst.caught_up_seconds, 2),
            Cell::new(difference(burst.surplus)),
        ]);
    }
    finished(table)
}

fn verdict(figures: &Figures) -> String {
    match figures.is_exact() {
        true => "exact".to_owned(),
        false => format!("{} in {} partitions", difference(figures.surplus), figures.wrong_partitions),
    }
}

fn difference(surplus: i64) -> String {
    match surplus {
        0 => "exact".to_owned(),
        1.. => format!("{surplus} too many"),
        _ => format!("{} lost", -surplus),
    }
}

/// A table with this header.
pub(crate) fn new(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

/// The table, unless it is empty.
pub(crate) fn finished(table: Table) -> Option<Table> {
    (table.row_count() > 0).then_some(table)
}

fn number(value: f64, decimals: usize) -> Cell {
    Cell::new(format!("{value:.decimals$}")).set_alignment(CellAlignment::Right)
}
