//! The parts of the report for people, as tables and lists of a page.

use super::super::table::grid::{Grid, Row};
use super::super::table::part::Part;
use super::text;

/// All of them.
pub(super) fn tables(parts: &[Part]) -> String {
    titled("", parts)
}

/// The same where the first table has no title of its own; readers of screens are told this one.
pub(super) fn titled(title: &str, parts: &[Part]) -> String {
    let mut html = String::new();
    let mut title = text(title);
    for part in parts {
        match part {
            Part::Title(words) => {
                title = text(words);
                html += &format!("<h3>{title}</h3>\n");
            }
            Part::Words(words) => {
                html += &format!("<p class=\"soft\">{}</p>\n", text(&words.join(" · ")));
            }
            Part::Grid(it) => html += &grid(it, &title),
            Part::FurtherGrid(it) => html += &grid(it, &format!("{title}, further figures")),
            Part::Notes(_, notes) if notes.is_empty() => {}
            Part::Notes(title, notes) => {
                // Of a section that says it all there is no title below that.
                if !title.is_empty() {
                    html += &format!("<h3>{}</h3>\n", text(title));
                }
                html += "<dl>\n";
                for (about, note) in notes {
                    html += &format!("<dt>{}</dt><dd>{}</dd>\n", text(about), text(note));
                }
                html += "</dl>\n";
            }
        }
    }
    html
}

/// A table that scrolls by itself where it is wider than the page, by the keyboard too.
fn grid(grid: &Grid, title: &str) -> String {
    let label = match title {
        "" => "figures",
        title => title,
    };
    let mut html = format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{label}\">\n<table class=\"figures\">\n<thead><tr>"
    );
    for (column, name) in grid.header.iter().enumerate() {
        html += &match column {
            // What has no name is the column of labels.
            0 if name.is_empty() => "<td></td>".to_owned(),
            _ if grid.words.contains(&column) => {
                format!("<th scope=\"col\" class=\"words\">{}</th>", text(name))
            }
            _ => format!("<th scope=\"col\">{}</th>", text(name)),
        };
    }
    html += "</tr></thead>\n<tbody>\n";
    for row in &grid.rows {
        html += &match row {
            Row::Heading(title) => format!(
                "<tr><th class=\"group\" scope=\"rowgroup\" colspan=\"{}\">{}</th></tr>\n",
                grid.header.len(),
                text(title)
            ),
            Row::Figures(cells) => figures(cells, &grid.words),
        };
    }
    html + "</tbody>\n</table>\n</div>\n"
}

fn figures(cells: &[String], words: &[usize]) -> String {
    let cells = cells.iter().enumerate().map(|(column, cell)| {
        let shown = text(cell.trim());
        match column {
            0 => {
                // Two spaces are those of every row below a heading.
                let further = (cell.len() - cell.trim_start().len()).saturating_sub(2);
                match further {
                    0 => format!("<th scope=\"row\">{shown}</th>"),
                    _ => format!("<th scope=\"row\" class=\"of\">{shown}</th>"),
                }
            }
            _ if words.contains(&column) => format!("<td class=\"words\">{shown}</td>"),
            _ => format!("<td>{shown}</td>"),
        }
    });
    format!("<tr>{}</tr>\n", cells.collect::<String>())
}
