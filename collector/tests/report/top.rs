//! What `top` shows of an interval, and what keys change of it.

use connscope::report;
use connscope::snapshot::connections::{Connection, Connections};
use connscope::snapshot::{Recording, Unavailable};
use connscope::top::figures::{Frame, Watched, missing};
use connscope::top::state::{Action, State, View};
use connscope::top::view::{self, Theme};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Size;
use ratatui::style::Color;
use std::time::Duration;

use super::sample::attach;

const PLAIN: Theme = Theme { color: false };

/// What top shows of a recording of one interval.
fn frame(recording: &Recording) -> Frame {
    let report = report::build(recording).unwrap();
    let watched = Watched::of(0, &report, &recording.runs[0]).unwrap();
    Frame {
        seconds: report.window_seconds.unwrap(),
        watched: Duration::from_secs(83),
        own_cpu: Some(0.004),
        targets: vec![watched],
        unavailable: missing(&recording.unavailable),
    }
}

/// A database whose connections are known, but for one whose name would play tricks on a terminal.
fn named() -> Recording {
    let mut recording = attach();
    let run = &mut recording.runs[0];
    let tasks = &mut run.end.roles[1].tasks;
    tasks[2].comm = "\u{1b}[2Jevil".into();
    let connection = |tid: u32| Connection {
        pid: tid,
        tid,
        user: Some(format!("user{}", tid % 3)),
        database: Some("shop".to_owned()),
        peer: Some("10.0.0.7:50123".to_owned()),
        state: Some("idle in transaction".to_owned()),
        wait: Some("Client".to_owned()),
        ..Connection::default()
    };
    let others = tasks.iter().enumerate().filter(|(place, _)| *place != 2);
    let named: Vec<_> = others.map(|(_, task)| connection(task.tid)).collect();
    run.connected = Some(Connections {
        open: 40,
        unnamed: 40 - named.len() as u64,
        named,
        method: "made up".to_owned(),
    });
    recording
}

fn state(recording: &Recording) -> State {
    let mut state = State::new(1);
    let frame = frame(recording);
    state.add(frame.clone());
    let mut busier = frame;
    for row in busier.targets.iter_mut().flat_map(|it| it.roles.iter_mut()) {
        row.figures.cpu = row.figures.cpu.map(|cpu| cpu * 3.0);
    }
    state.add(busier);
    state
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '→' => KeyCode::Right,
            '↓' => KeyCode::Down,
            letter => KeyCode::Char(letter),
        };
        let action = state.key(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(action, Action::Draw, "{key:?}");
    }
}

fn drawn(state: &mut State, width: u16, height: u16) -> TestBackend {
    state.fit(view::page(Size::new(width, height), state));
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| view::draw(frame, state, PLAIN))
        .unwrap();
    terminal.backend().clone()
}

fn screen(state: &mut State, width: u16, height: u16) -> String {
    let backend = drawn(state, width, height);
    let buffer = backend.buffer();
    let line = |y: u16| -> String {
        let signs = (0..width).map(|x| buffer[(x, y)].symbol());
        signs.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..height).map(line).collect()
}

#[test]
fn figures_are_those_of_the_report() {
    let recording = named();
    let report = report::build(&recording).unwrap();
    let (target, shown) = (&report.targets[0], frame(&recording));
    let kernel = &target.measures.kernel;
    let row = shown.targets[0].whole.as_ref().unwrap();
    let cpu = kernel.cpu.as_ref().unwrap().seconds / target.window_seconds;
    let switches = kernel.context_switches.as_ref().unwrap();
    let wait = kernel.run_queue_wait.as_ref().unwrap();
    assert_eq!(row.figures.cpu, Some(cpu));
    assert_eq!(row.figures.wait_p99, wait.p99_seconds);
    assert_eq!(
        row.figures.voluntary,
        Some(switches.voluntary as f64 / target.window_seconds)
    );
    // The tasks add up to the whole: none of them has ended.
    let tasks = &shown.targets[0].tasks;
    let sum = |figure: fn(&connscope::top::figures::Figures) -> Option<f64>| -> f64 {
        tasks.iter().filter_map(|row| figure(&row.figures)).sum()
    };
    assert_eq!(tasks.len() as u64, target.tasks);
    assert!((sum(|it| it.cpu) - cpu).abs() < 1e-9 * cpu);
    let all = switches.voluntary as f64 / target.window_seconds;
    assert!((sum(|it| it.voluntary) - all).abs() < 1e-9 * all);
    let memory = row.figures.memory.unwrap();
    assert!((sum(|it| it.memory) - memory).abs() < 1.0);
}

#[test]
fn what_could_not_be_measured_is_no_zero_and_the_reason_is_told() {
    let mut recording = named();
    for measure in ["cpu", "run_queue_wait", "time_in_state"] {
        recording.unavailable.push(Unavailable {
            measure: measure.to_owned(),
            reason: "the kernel lacks it".to_owned(),
        });
    }
    let mut state = state(&recording);
    for view in ["1", "2", "3"] {
        press(&mut state, view);
        let rows = state.rows();
        assert!(rows.iter().all(|row| row.figures.cpu.is_none()));
        assert!(rows.iter().all(|row| row.figures.wait_share.is_none()));
        assert!(rows.iter().all(|row| row.figures.wait_p99.is_none()));
    }
    let table = screen(&mut state, 120, 40);
    assert!(table.contains("3 not measured, see ?"), "{table}");
    press(&mut state, "?");
    let help = screen(&mut state, 120, 40);
    assert!(help.contains("cpu: the kernel lacks it"), "{help}");
}

#[test]
fn who_connections_are_is_told_or_why_not() {
    let mut recording = named();
    recording.runs[0].connected = None;
    let measures = ["connected", "login", "roles", "something else"];
    let lacking = measures.map(|measure| Unavailable {
        measure: measure.to_owned(),
        reason: "nobody may look".to_owned(),
    });
    recording.unavailable.extend(lacking);
    let mut state = state(&recording);
    let table = screen(&mut state, 120, 40);
    assert!(table.contains("3 not measured, see ?"), "{table}");
    press(&mut state, "?");
    let help = screen(&mut state, 120, 60);
    for measure in &measures[..3] {
        let line = format!("{measure}: nobody may look");
        assert!(help.contains(&line), "{help}");
    }
}

#[test]
fn names_give_a_terminal_no_orders() {
    let mut state = state(&named());
    press(&mut state, "3/EVIL\n");
    let shown = screen(&mut state, 120, 40);
    assert!(shown.contains("?[2Jevil"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

#[test]
fn a_filter_leaves_rows_whose_words_hold_it() {
    let mut state = state(&named());
    press(&mut state, "3/user1@");
    assert!(state.is_typing);
    // Letters are no commands now: not even q.
    press(&mut state, "q");
    assert_eq!(state.rows().len(), 0);
    let shown = screen(&mut state, 80, 24);
    assert!(shown.contains("None has “user1@q”"), "{shown}");
    let backspace = KeyEvent::new(KeyCode::Backspace, KeyModifiers::NONE);
    state.key(backspace);
    press(&mut state, "\n");
    let all = state.frame.targets[0].tasks.len();
    let left = state.rows().len();
    assert!(left > 0 && left < all, "{left} of {all}");
    assert!(
        state
            .rows()
            .iter()
            .all(|row| row.name.starts_with("user1@"))
    );
    press(&mut state, "\u{1b}");
    assert_eq!(state.rows().len(), all);
}

#[test]
fn rows_are_sorted_by_any_column() {
    let mut state = state(&named());
    press(&mut state, "3");
    let columns = connscope::top::columns::Column::of(View::Connections);
    for key in ["<<<<<<<<<<<<<", ">>>>>>>>>>>>>"] {
        for step in key.chars() {
            press(&mut state, &step.to_string());
            let (column, is_descending) = state.sorting();
            assert!(columns.contains(&column));
            for pair in state.rows().windows(2) {
                let order = column.compare(pair[0], pair[1]);
                let order = if is_descending {
                    order.reverse()
                } else {
                    order
                };
                assert!(order.is_le(), "{column:?}");
            }
        }
    }
    let (column, is_descending) = state.sorting();
    press(&mut state, "r");
    assert_eq!(state.sorting(), (column, !is_descending));
}

#[test]
fn the_selected_row_stays_selected_while_others_pass_it() {
    let mut state = state(&named());
    state.fit(5);
    press(&mut state, "3↓↓↓↓↓↓↓↓");
    let key = state.selected(&state.rows()).unwrap().key;
    let mut next = state.frame.clone();
    for (place, row) in next.targets[0].tasks.iter_mut().enumerate() {
        row.figures.cpu = Some(place as f64);
    }
    state.add(next.clone());
    let rows = state.rows();
    assert_eq!(state.selected(&rows).unwrap().key, key);
    let (shown, place) = state.page(&rows);
    assert_eq!((shown.len(), shown[place].key), (5, key));
    // It ends: the one that comes to its place is next.
    drop(rows);
    next.targets[0].tasks.retain(|row| row.key != key);
    state.add(next);
    assert_ne!(state.selected(&state.rows()).unwrap().key, key);
}

#[test]
fn paused_figures_stand_still_and_the_newest_are_shown_after() {
    let mut state = state(&named());
    press(&mut state, " ");
    let before = screen(&mut state, 120, 40);
    assert!(before.contains("% CPU   paused"), "{before}");
    let mut next = state.frame.clone();
    next.watched = Duration::from_secs(3_600);
    for row in &mut next.targets[0].roles {
        row.figures.cpu = Some(7.77);
    }
    state.add(next);
    assert_eq!(screen(&mut state, 120, 40), before);
    press(&mut state, " ");
    let after = screen(&mut state, 120, 40);
    assert!(
        after.contains("watched 1h") && after.contains("777"),
        "{after}"
    );
}

#[test]
fn keys_that_end_it() {
    let with = |code, modifiers| State::new(1).key(KeyEvent::new(code, modifiers));
    let (control, none) = (KeyModifiers::CONTROL, KeyModifiers::NONE);
    assert_eq!(with(KeyCode::Char('q'), none), Action::Quit);
    assert_eq!(with(KeyCode::Char('c'), control), Action::Quit);
    assert_eq!(with(KeyCode::Char('z'), control), Action::Suspend);
    assert_eq!(with(KeyCode::Char('l'), control), Action::Redraw);
    // Whatever is shown.
    let mut state = State::new(1);
    press(&mut state, "?");
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), control);
    assert_eq!(state.key(ctrl_c), Action::Quit);
    press(&mut state, "q/");
    assert!(!state.is_help && state.is_typing);
    assert_eq!(state.key(ctrl_c), Action::Quit);
}

#[test]
fn a_target_that_has_ended_keeps_its_figures_and_says_so() {
    let mut state = state(&named());
    let mut last = state.frame.clone();
    last.targets[0].trouble = Some("ended after 3s; its last figures are shown".to_owned());
    state.add(last);
    let shown = screen(&mut state, 80, 24);
    assert!(shown.contains("postgres: ended after 3s"), "{shown}");
    assert!(shown.contains("child"), "{shown}");
}

#[test]
fn any_size_can_be_drawn() {
    let recording = named();
    for (width, height) in [
        (1, 1),
        (20, 5),
        (59, 24),
        (60, 9),
        (60, 10),
        (79, 19),
        (300, 100),
    ] {
        for keys in ["1", "2", "3", "3?", "3/x"] {
            let mut state = state(&recording);
            press(&mut state, keys);
            let shown = screen(&mut state, width, height);
            let is_small = width < 60 || height < 10;
            if width >= 20 {
                let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
                let says = words.contains("needs 60 columns and 10 lines");
                assert_eq!(says, is_small, "{shown}");
            }
        }
    }
    // Before the first figures.
    for (width, height) in [(60, 10), (80, 24)] {
        let shown = screen(&mut State::new(2), width, height);
        assert!(shown.contains("The first figures come"), "{shown}");
    }
}

#[test]
fn without_colour_there_is_none() {
    let backend = drawn(&mut state(&named()), 120, 40);
    let cells = backend.buffer().content().iter();
    assert!(
        cells
            .clone()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
}
