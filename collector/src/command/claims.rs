//! `connscope claims`: folklore against measurement.

use super::{
    Usage,
    keeping::Keeping,
    output::{Sink, print, say},
    report,
};
use crate::{
    claims::{
        Databases, Kind, Login, Measurement, Setting, Taken, known, measurements, needed, planned,
        rows::Rows, take,
    },
    cli::Claims,
    figures::{Claim, ClaimsRun, Described},
    host,
    interrupt::Interrupt,
    record::Entry,
};
use anyhow::{Context, Result};
use std::{
    fmt::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Measures what the claims that were asked for are judged by, judges them and reports.
///
/// # Errors
/// If a claim is not known, a file of claims is wrong, or the report cannot be written.
pub fn run(args: &Claims, quiet: bool) -> Result<ExitCode> {
    let all = measurements();
    let known = known(&all);
    let rows =
        Rows::load(args.file.as_deref(), &known).map_err(|error| Usage(format!("{error:#}")))?;
    if args.list {
        print(list(&rows, &known).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let claims = chosen(&rows.claims, &args.only)?;
    let databases = databases(args)?;
    let needed = needed(&all, &claims);
    let interrupt = Interrupt::install().context("cannot handle signals")?;
    let sink = Sink::open(&args.output)?;
    let mut keeping = Keeping::open(args.recorded.record.as_deref())?;
    let host = host::describe(None);
    let begun = Instant::now();
    let setting = Setting::new(
        args.quick,
        &interrupt,
        args.servers.target_binary.as_deref(),
    );
    if !quiet {
        say(&plan(&needed, args.quick, &databases));
    }
    let Taken {
        figures,
        missing,
        measurements,
        rounds,
        incomplete,
    } = take(&needed, &setting, databases, quiet);
    let run = ClaimsRun {
        host: host.clone(),
        claims,
        sources: rows.sources,
        figures,
        missing,
        measurements,
        rounds,
        quick: args.quick,
        took_ns: begun.elapsed().as_nanos() as u64,
        incomplete,
    };
    let incomplete = run.incomplete.clone();
    keeping.begin("claims", host, Vec::new(), Vec::new());
    keeping.take(Entry::Claims(Box::new(run)));
    report::end(keeping, incomplete, sink, &args.output)
}

/// What is said before.
fn plan(measurements: &[&Measurement], quick: bool, databases: &Databases) -> String {
    let time = planned(measurements, quick, databases).as_secs_f64();
    format!(
        "this takes some {} on a quiet host, longer on a busy one",
        humantime::format_duration(Duration::from_secs(time.ceil() as u64))
    )
}

fn databases(args: &Claims) -> Result<Databases, Usage> {
    let given = [
        (Kind::Postgresql, &args.postgres),
        (Kind::Mysql, &args.mysql),
    ];
    let given = given
        .into_iter()
        .filter_map(|(kind, text)| Some((kind, text.as_ref()?)));
    let login = |(kind, text): (Kind, &String)| match Login::parse(kind, text) {
        Ok(login) => Ok((kind, login)),
        Err(error) => Err(Usage(format!("{error:#}"))),
    };
    Ok(Databases::new(given.map(login).collect::<Result<_, _>>()?))
}

fn chosen(claims: &[Claim], only: &[String]) -> Result<Vec<Claim>, Usage> {
    let known = || claims.iter().map(|it| it.id.as_str()).collect::<Vec<_>>();
    for (place, id) in only.iter().enumerate() {
        if !known().contains(&id.as_str()) {
            let known = known().join(", ");
            return Err(Usage(format!("unknown claim {id:?}; known are {known}")));
        }
        if only[..place].contains(id) {
            return Err(Usage(format!("{id} is given twice in --only")));
        }
    }
    let wanted = |claim: &&Claim| only.is_empty() || only.contains(&claim.id);
    Ok(claims.iter().filter(wanted).cloned().collect())
}

fn list(rows: &Rows, known: &[Described]) -> String {
    let mut text = String::from("Claims\n");
    let width = rows.claims.iter().map(|it| it.id.len()).max().unwrap_or(0);
    for claim in &rows.claims {
        let _ = writeln!(text, "  {:<width$}  {}", claim.id, claim.claim);
    }
    let _ = writeln!(text, "\nMeasures");
    for figure in known {
        let over = figure
            .axis
            .as_ref()
            .map_or(String::new(), |axis| format!(", by {axis}"));
        let unit = serde_json::to_value(figure.unit).unwrap_or_default();
        let unit = unit.as_str().unwrap_or_default();
        let _ = writeln!(
            text,
            "  {} ({unit}{over})\n      {}",
            figure.name, figure.method
        );
    }
    text
}
