//! The frame of a page: what it is of, its sections, and the way to each. A page of several reports has a chapter for
//! each.

use super::text;
use std::fmt::{self, Display, Formatter};

/// A section: its title, and what is below.
pub(super) struct Section {
    title: &'static str,
    body: String,
}

impl Section {
    /// Those that have something in them.
    pub(super) fn all<const N: usize>(sections: [(&'static str, String); N]) -> Vec<Self> {
        let sections = sections.into_iter();
        let sections = sections.filter(|(_, body)| !body.is_empty());
        sections.map(|(title, body)| Self { title, body }).collect()
    }
}

/// A report.
pub(in crate::export) struct Chapter<'a> {
    pub(super) command: &'a str,
    /// What there is to say of where it comes from, as HTML.
    pub(super) words: Vec<String>,
    pub(super) incomplete: Option<&'a str>,
    pub(super) sections: Vec<Section>,
}

/// One that is all of the page is as one that stands by itself.
pub(in crate::export) struct Page<'a>(pub(in crate::export) Vec<Chapter<'a>>);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let command = match &self.0[..] {
            [only] => only.command,
            _ => "report",
        };
        let title = format!("connscope {}", text(command));
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n",
            include_str!("style.css")
        )?;
        match &self.0[..] {
            [only] => {
                only.origin(f)?;
                writeln!(f, "<nav aria-label=\"Sections\">")?;
                only.contents(f, "")?;
                writeln!(f, "</nav>\n</header>\n<main>")?;
                only.body(f)?;
            }
            several => {
                writeln!(f, "<nav aria-label=\"Sections\">")?;
                for (number, chapter) in (1..).zip(several) {
                    writeln!(
                        f,
                        "<p><a href=\"#{number}\">{}</a></p>",
                        text(chapter.command)
                    )?;
                    chapter.contents(f, &format!("{number}-"))?;
                }
                writeln!(f, "</nav>\n</header>\n<main>")?;
                for (number, chapter) in (1..).zip(several) {
                    chapter.within(f, number)?;
                }
            }
        }
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

impl Chapter<'_> {
    fn origin(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for words in &self.words {
            writeln!(f, "<p class=\"soft\">{words}</p>")?;
        }
        let Some(reason) = self.incomplete else {
            return Ok(());
        };
        let reason = text(reason);
        writeln!(
            f,
            "<p class=\"warn\">Incomplete: {reason}; these figures are of what was seen until then.</p>"
        )
    }

    fn contents(&self, f: &mut Formatter<'_>, prefix: &str) -> fmt::Result {
        writeln!(f, "<ul>")?;
        for Section { title, .. } in &self.sections {
            writeln!(f, "<li><a href=\"#{prefix}{}\">{title}</a></li>", id(title))?;
        }
        writeln!(f, "</ul>")
    }

    fn body(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for Section { title, body } in &self.sections {
            let id = id(title);
            writeln!(
                f,
                "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{title}</h2>\n{body}</section>"
            )?;
        }
        Ok(())
    }

    /// As one of several: headings are one level further down, and no landmark has the name of another. All
    /// else that looks like markup in a body is escaped.
    fn within(&self, f: &mut Formatter<'_>, number: usize) -> fmt::Result {
        let command = text(self.command);
        writeln!(
            f,
            "<article aria-labelledby=\"{number}\">\n<h2 class=\"chapter\" id=\"{number}\">{command}</h2>"
        )?;
        self.origin(f)?;
        let region = "role=\"region\" tabindex=\"0\" aria-label=\"";
        for Section { title, body } in &self.sections {
            let id = format!("{number}-{}", id(title));
            let body = body
                .replace("<h3>", "<h4>")
                .replace("</h3>", "</h4>")
                .replace(region, &format!("{region}{command}: "));
            writeln!(
                f,
                "<section>\n<h3 class=\"section\" id=\"{id}\">{title}</h3>\n{body}</section>"
            )?;
        }
        writeln!(f, "</article>")
    }
}

fn id(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}
