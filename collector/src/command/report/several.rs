//! Several records, or reports in JSON: those of a kind side by side, and of different kinds one after the other on a
//! page.

use super::{Sink, conclude, gather, unreadable};
use crate::{
    cli::Output,
    command::Usage,
    export::{Document, Format},
    record::{Content, Error, Origin, Record},
    report::{
        self, Report,
        calibration::{self, Calibration},
        claims::{self, Claims},
        written::Written,
    },
    side_by_side::{Calibrations, Comparisons, Sheet},
};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What a report is of, in words for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Compare,
    Calibrate,
    Claims,
    Watch,
}

/// What a file holds, or what is made of it.
enum Made {
    Report(Box<Report>),
    Calibration(Calibration),
    Claims(Claims),
}

/// Reports of one kind, each with its file.
struct Group {
    kind: Kind,
    sheets: Vec<Sheet<Made>>,
}

/// What a group makes.
enum Chapter {
    Report(Box<Report>, Origin),
    Calibration(Calibration, Origin),
    Claims(Claims, Origin),
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
        let (sheet, of_sheet) = read(path)?;
        let file = &sheet.file;
        troubles.extend(
            of_sheet
                .into_iter()
                .map(|trouble| format!("{file}: {trouble}")),
        );
        let kind = sheet.report.kind();
        match groups.iter_mut().find(|group| group.kind == kind) {
            Some(group) => group.sheets.push(sheet),
            None => groups.push(Group {
                kind,
                sheets: vec![sheet],
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

/// A record, or a report in JSON; and why it is not whole.
fn read(path: &Path) -> Result<(Sheet<Made>, Vec<String>)> {
    let file = path.display().to_string();
    let cannot = |why: &dyn std::fmt::Display| unreadable(path, why);
    let record = match gather(path) {
        Ok(record) => record,
        Err(Error::Report) => {
            let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
            let written = Written::read(&text).map_err(|why| cannot(&why))?;
            return Ok(of_written(written, path, file));
        }
        Err(error) => return Err(cannot(&error)),
    };
    let troubles = record.troubles();
    let Record {
        origin, content, ..
    } = record;
    let report = match content {
        Content::Recording(it) => Made::Report(Box::new(report::build(&it)?)),
        Content::Calibration(it) => Made::Calibration(calibration::build(&it)),
        Content::Claims(it) => Made::Claims(claims::build(&it)),
    };
    let sheet = Sheet {
        file,
        origin,
        report,
    };
    Ok((sheet, troubles))
}

/// It does not say on which host it was made, nor by which options: it is called as its file is.
fn of_written(written: Written, path: &Path, file: String) -> (Sheet<Made>, Vec<String>) {
    let (command, host, incomplete) = match &written {
        Written::Comparison(it) => (&it.command, &it.host, &it.incomplete),
        Written::Calibration(it) => (&it.command, &it.host, &it.incomplete),
    };
    let troubles = incomplete.iter().cloned().collect();
    let name = path.file_stem().unwrap_or(path.as_os_str());
    let origin = Origin {
        command: command.clone(),
        command_line: Vec::new(),
        host_name: name.to_string_lossy().into_owned(),
        operating_system: None,
        host: host.clone(),
        methods: Vec::new(),
        unavailable: Vec::new(),
    };
    let report = match written {
        Written::Comparison(it) => Made::Report(it),
        Written::Calibration(it) => Made::Calibration(*it),
    };
    let sheet = Sheet {
        file,
        origin,
        report,
    };
    (sheet, troubles)
}

fn of_two_kinds(one: &Group, other: &Group) -> Usage {
    let named = |group: &Group| format!("{} ({})", group.kind.named(), group.sheets[0].file);
    Usage(format!(
        "cannot lay {} and {} side by side: they are of different kinds; name records of one kind, or write one page \
         with a chapter of each: --html PAGE",
        named(one),
        named(other)
    ))
}

impl Made {
    fn kind(&self) -> Kind {
        match self {
            Self::Report(it) if it.compares() => Kind::Compare,
            Self::Report(_) => Kind::Watch,
            Self::Calibration(_) => Kind::Calibrate,
            Self::Claims(_) => Kind::Claims,
        }
    }
}

impl Kind {
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
        if self.sheets.len() > 1 {
            return self.beside();
        }
        let Sheet {
            file,
            origin,
            report,
        } = self.sheets.remove(0);
        if origin.command_line.is_empty() {
            return Err(Usage(format!(
                "{file} is a report in JSON, which can be laid beside others of its kind only; for a page name its record"
            ))
            .into());
        }
        Ok(match report {
            Made::Report(it) => Chapter::Report(it, origin),
            Made::Calibration(it) => Chapter::Calibration(it, origin),
            Made::Claims(it) => Chapter::Claims(it, origin),
        })
    }

    fn beside(self) -> Result<Chapter> {
        let (mut calibrations, mut comparisons) = (Vec::new(), Vec::new());
        for Sheet {
            file,
            origin,
            report,
        } in self.sheets
        {
            match report {
                Made::Calibration(report) => calibrations.push(Sheet {
                    file,
                    origin,
                    report,
                }),
                Made::Report(report) if self.kind == Kind::Compare => comparisons.push(Sheet {
                    file,
                    origin,
                    report: *report,
                }),
                Made::Report(_) => {
                    let why = "cannot lay watches of what runs already side by side, since each had a load of its \
                               own; connscope diff A B says what differs between two";
                    return Err(Usage(why.to_owned()).into());
                }
                Made::Claims(_) => {
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
            Self::Report(it, origin) => Document::from(&**it).from_origin(origin),
            Self::Calibration(it, origin) => Document::from(it).from_origin(origin),
            Self::Claims(it, origin) => Document::from(it).from_origin(origin),
            Self::Comparisons(it) => Document::from(it),
            Self::Calibrations(it) => Document::from(it),
        }
    }
}
