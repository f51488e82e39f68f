//! Several records: those of a kind side by side, and of different kinds one after the other on a page.

use super::{Sink, conclude, read};
use crate::{
    cli::Output,
    command::Usage,
    export::{Document, Format},
    record::{Content, Origin, Record},
    report::{self, Report, calibration, claims},
    side_by_side::{Calibrations, Comparisons, Sheet},
    snapshot::TargetKind,
};
use anyhow::Result;
use std::{path::PathBuf, process::ExitCode};

/// What a record is of, in words for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Compare,
    Calibrate,
    Claims,
    Watch,
}

/// Records of one kind, each with its file.
struct Group {
    kind: Kind,
    records: Vec<(String, Record)>,
}

/// What a group makes.
enum Chapter {
    Report(Report, Origin),
    Calibration(calibration::Calibration, Origin),
    Claims(claims::Claims, Origin),
    Comparisons(Comparisons),
    Calibrations(Calibrations),
}

/// Reads them all and reports them together.
///
/// # Errors
/// If one cannot be read, they cannot be laid side by side, or the report cannot be written.
pub(super) fn run(files: &[PathBuf], output: &Output) -> Result<ExitCode> {
    let mut groups: Vec<Group> = Vec::new();
    let mut troubles = Vec::new();
    for path in files {
        let file = path.display().to_string();
        let record = read(path)?;
        let of_record = record.troubles().into_iter();
        troubles.extend(of_record.map(|trouble| format!("{file}: {trouble}")));
        let kind = Kind::of(&record);
        match groups.iter_mut().find(|group| group.kind == kind) {
            Some(group) => group.records.push((file, record)),
            None => groups.push(Group {
                kind,
                records: vec![(file, record)],
            }),
        }
    }
    if let [one, other, ..] = &groups[..]
        && output.format != Format::Html
    {
        return Err(of_two_kinds(one, other).into());
    }
    let sink = Sink::open(output)?;
    let chapters = groups.into_iter().map(Group::chapter);
    let chapters: Vec<Chapter> = chapters.collect::<Result<_>>()?;
    let documents: Vec<Document<'_>> = chapters.iter().map(Chapter::document).collect();
    match documents[..] {
        [only] => sink.write(only, output)?,
        _ => sink.write(Document::chapters(&documents), output)?,
    }
    Ok(conclude(&troubles))
}

fn of_two_kinds(one: &Group, other: &Group) -> Usage {
    let named = |group: &Group| format!("{} ({})", group.kind.named(), group.records[0].0);
    Usage(format!(
        "cannot lay {} and {} side by side: they are of different kinds; name records of one kind, or write one page \
         with a chapter of each: --html PAGE",
        named(one),
        named(other)
    ))
}

impl Kind {
    fn of(record: &Record) -> Self {
        match &record.content {
            Content::Calibration(_) => Self::Calibrate,
            Content::Claims(_) => Self::Claims,
            Content::Recording(it) if it.runs.iter().any(|it| it.kind == TargetKind::Reference) => {
                Self::Compare
            }
            Content::Recording(_) => Self::Watch,
        }
    }

    fn named(self) -> &'static str {
        match self {
            Self::Compare => "a comparison",
            Self::Calibrate => "a calibration",
            Self::Claims => "claims",
            Self::Watch => "a watch",
        }
    }
}

impl Group {
    fn chapter(mut self) -> Result<Chapter> {
        if self.records.len() > 1 {
            return self.beside();
        }
        let (
            _,
            Record {
                origin, content, ..
            },
        ) = self.records.remove(0);
        Ok(match content {
            Content::Recording(it) => Chapter::Report(report::build(&it)?, origin),
            Content::Calibration(it) => Chapter::Calibration(calibration::build(&it), origin),
            Content::Claims(it) => Chapter::Claims(claims::build(&it), origin),
        })
    }

    fn beside(self) -> Result<Chapter> {
        let (mut calibrations, mut comparisons) = (Vec::new(), Vec::new());
        for (
            file,
            Record {
                origin, content, ..
            },
        ) in self.records
        {
            match content {
                Content::Calibration(it) => calibrations.push(Sheet {
                    file,
                    origin,
                    report: calibration::build(&it),
                }),
                Content::Recording(it) if self.kind == Kind::Compare => comparisons.push(Sheet {
                    file,
                    origin,
                    report: report::build(&it)?,
                }),
                Content::Recording(_) => {
                    let why = "cannot lay watches of what runs already side by side, since each had a load of its \
                               own; connscope diff A B says what differs between two";
                    return Err(Usage(why.to_owned()).into());
                }
                Content::Claims(_) => {
                    let why = "cannot lay claims of several hosts side by side; report each by itself: connscope \
                               report FILE";
                    return Err(Usage(why.to_owned()).into());
                }
            }
        }
        Ok(match self.kind {
            Kind::Calibrate => Chapter::Calibrations(Calibrations::of(calibrations)),
            _ => Chapter::Comparisons(Comparisons::of(comparisons)),
        })
    }
}

impl Chapter {
    fn document(&self) -> Document<'_> {
        match self {
            Self::Report(it, origin) => Document::from(it).from_origin(origin),
            Self::Calibration(it, origin) => Document::from(it).from_origin(origin),
            Self::Claims(it, origin) => Document::from(it).from_origin(origin),
            Self::Comparisons(it) => Document::from(it),
            Self::Calibrations(it) => Document::from(it),
        }
    }
}
