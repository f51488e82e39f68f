//! Flame graphs as one SVG for a browser, in which each can be zoomed and searched by itself.

use crate::report::stacks::{FlameGraph, Graph};
use inferno::flamegraph::{
    self, Options, TextTruncateDirection,
    color::{BackgroundColor, BasicPalette, Color, MultiPalette, Palette},
};
use std::{fmt::Write as _, io};

/// Pixels, until a browser knows the width of its window.
const WIDTH: usize = 1_200;
/// Of one line of the notes.
const LINE: usize = 18;
/// Narrower frames are left out, in percent of the whole.
const NARROWEST: f64 = 0.01;
const BACKGROUND: Color = Color {
    r: 250,
    g: 250,
    b: 250,
};

/// Writes both, one below the other.
pub fn write(graphs: &FlameGraph, out: &mut dyn io::Write) -> io::Result<()> {
    let on_cpu = drawn(&graphs.on_cpu, Palette::Multi(MultiPalette::Perl))?;
    let off_cpu = drawn(&graphs.off_cpu, Palette::Basic(BasicPalette::Aqua))?;
    let on_cpu = Part::of("on-cpu", &on_cpu, 0)?;
    let off_cpu = Part::of("off-cpu", &off_cpu, on_cpu.height)?;
    let above = on_cpu.height + off_cpu.height;
    let height = above + (graphs.notes.len() + 1) * LINE;
    let mut page = format!(
        "<?xml version=\"1.0\" standalone=\"no\"?>\n<svg version=\"1.1\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" onload=\"begin()\" xmlns=\"http://www.w3.org/2000/svg\" \
         xmlns:xlink=\"http://www.w3.org/1999/xlink\" xmlns:fg=\"http://github.com/jonhoo/inferno\">\n\
         <title>connscope: stacks on and off the CPU</title>\n<script><![CDATA[\n{}]]></script>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fafafa\"/>\n{}\n{}\n",
        include_str!("flamegraph.js"),
        on_cpu.text,
        off_cpu.text,
    );
    for (line, note) in graphs.notes.iter().enumerate() {
        let y = above + (line + 1) * LINE;
        let note = super::html::text(note);
        let _ = writeln!(page, "<text x=\"10\" y=\"{y}\">{note}</text>");
    }
    page.push_str("</svg>\n");
    out.write_all(page.as_bytes())
}

/// A graph as a page of its own.
fn drawn(graph: &Graph, palette: Palette) -> io::Result<String> {
    let mut options = Options::default();
    options.colors = palette;
    options.bgcolors = Some(BackgroundColor::Flat(BACKGROUND));
    options.deterministic = true;
    options.title = graph.title.clone();
    options.subtitle = Some(graph.subtitle.clone());
    options.count_name = "ms".into();
    options.factor = 1e-3;
    options.min_width = NARROWEST;
    options.name_type = "".into();
    options.text_truncate_direction = TextTruncateDirection::Right;
    let mut lines: Vec<String> = graph.stacks.iter().map(folded).collect();
    if graph.total_us() == 0 {
        lines = vec!["nothing was seen 1".into()];
    }
    let mut page = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

/// A stack as a line: frames, and microseconds.
fn folded((path, time): (&Vec<String>, &u64)) -> String {
    // A semicolon parts frames, a line break stacks.
    let frames = path.iter().map(|frame| frame.replace([';', '\n'], ":"));
    format!("{} {time}", frames.collect::<Vec<_>>().join(";"))
}

/// A graph as a part of a page.
struct Part {
    text: String,
    height: usize,
}

impl Part {
    /// Of a page by itself. Its program gets a scope of its own: names that it does not declare are declared.
    fn of(id: &str, page: &str, y: usize) -> io::Result<Self> {
        let unknown = || io::Error::other("the flame graph has an unknown form");
        let (_, svg) = page.split_once("<svg ").ok_or_else(unknown)?;
        let (attributes, body) = svg.split_once('>').ok_or_else(unknown)?;
        let (_, height) = attributes.split_once("height=\"").ok_or_else(unknown)?;
        let height = height.split('"').next().and_then(|it| it.parse().ok());
        let height = height.ok_or_else(unknown)?;
        let (style, rest) = body.split_once("<script ").ok_or_else(unknown)?;
        let (_, rest) = rest.split_once('>').ok_or_else(unknown)?;
        let (program, drawing) = rest.split_once("</script>").ok_or_else(unknown)?;
        let text = format!(
            "<svg id=\"{id}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\
             {style}<script type=\"text/ecmascript\"><![CDATA[part(\"{id}\", function (document, window, history) {{\
             var total_samples, text, originalContent, bangWidth, wWidth, k;]]>{program}\
             <![CDATA[return init; }});]]></script>{drawing}"
        );
        Ok(Self { text, height })
    }
}
