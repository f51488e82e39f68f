//! The columns of the table: the one list of what each is called, says, and is sorted by.

use super::figures::Row;
use super::short;
use super::state::View;
use std::cmp::Ordering;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Column {
    Name,
    Tid,
    Role,
    Doing,
    Tasks,
    Cpu,
    Voluntary,
    Involuntary,
    WaitShare,
    WaitMedian,
    WaitP99,
    WaitMean,
    Blocked,
    Faults,
    Creations,
    Memory,
}

use Column::*;

/// Of targets and of roles.
const OF_GROUPS: &[Column] = &[
    Name,
    Tasks,
    Cpu,
    Voluntary,
    Involuntary,
    WaitShare,
    WaitMedian,
    WaitP99,
    Blocked,
    Faults,
    Creations,
    Memory,
];

const OF_TASKS: &[Column] = &[
    Name,
    Tid,
    Role,
    Doing,
    Cpu,
    Voluntary,
    Involuntary,
    WaitShare,
    WaitMean,
    Blocked,
    Faults,
    Memory,
];

/// What is left out first where there is no room: the figures of the selected row are below the table.
const LEFT_OUT: &[Column] = &[
    Doing,
    Creations,
    WaitMean,
    Involuntary,
    Faults,
    WaitMedian,
    Role,
    Tid,
    WaitP99,
    Blocked,
    Tasks,
];

/// The name has at least so many columns of the screen, and takes what others leave.
const NAME_WIDTH_MIN: u16 = 14;

impl Column {
    /// Those of a view.
    #[must_use]
    pub fn of(view: View) -> &'static [Self] {
        match view {
            View::Targets | View::Roles => OF_GROUPS,
            View::Connections => OF_TASKS,
        }
    }

    /// Those of a view for which there is room, and their widths; the one that is sorted by is always there.
    #[must_use]
    pub fn that_fit(view: View, sorted_by: Self, width: u16) -> Vec<(Self, u16)> {
        let mut columns = Self::of(view).to_vec();
        let needed = |columns: &[Self]| -> u16 {
            let widths: u16 = columns.iter().map(|column| column.width()).sum();
            widths + columns.len() as u16 - 1
        };
        for spare in LEFT_OUT.iter().filter(|&&column| column != sorted_by) {
            if needed(&columns) > width {
                columns.retain(|column| column != spare);
            }
        }
        let rest = width.saturating_sub(needed(&columns));
        let with_width = |column: Self| match column {
            Name => (Name, Name.width() + rest),
            other => (other, other.width()),
        };
        columns.into_iter().map(with_width).collect()
    }

    /// At the head of the table.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Name => "name",
            Tid => "tid",
            Role => "role",
            Doing => "doing",
            Tasks => "tasks",
            Cpu => "CPU%",
            Voluntary => "vol/s",
            Involuntary => "inv/s",
            WaitShare => "wait%",
            WaitMedian => "w.p50",
            WaitP99 => "w.p99",
            WaitMean => "w.mean",
            Blocked => "blocked",
            Faults => "flt/s",
            Creations => "new/s",
            Memory => "mem",
        }
    }

    /// What it says.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Name => "the target or role; of a task who its connection is, else its comm",
            Tid => "thread id",
            Role => "what the task is in its target",
            Doing => "what the server says its connection does, or waits for",
            Tasks => "living tasks: processes and threads",
            Cpu => "CPU time, of one core",
            Voluntary => "context switches since the task had to wait",
            Involuntary => "context switches since another was put in its place",
            WaitShare => "time waiting for a CPU, of that running or waiting",
            WaitMedian => "run-queue wait of the interval, median",
            WaitP99 => "run-queue wait of the interval, 99th percentile",
            WaitMean => "run-queue wait of the interval, mean",
            Blocked => "what most of the time asleep was spent on",
            Faults => "page faults, minor and major",
            Creations => "processes and threads created by its tasks",
            Memory => "anonymous pages, page tables, kernel stacks; * see below",
        }
    }

    /// Whether its figures are text, which begins at the left.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Name | Role | Doing | Blocked)
    }

    fn width(self) -> u16 {
        match self {
            Name => NAME_WIDTH_MIN,
            Tid => 7,
            Role => 14,
            Doing => 20,
            WaitMedian | WaitP99 | WaitMean => 6,
            Blocked => 10,
            _ => 5,
        }
    }

    /// The figure of a row; `-` where there is none.
    #[must_use]
    pub fn text(self, row: &Row) -> String {
        let show: fn(f64) -> String = match self {
            Name => return row.name.clone(),
            Role => return row.role.clone(),
            Doing => return row.doing.clone(),
            Blocked => {
                return row
                    .figures
                    .blocked
                    .first()
                    .map_or("-", |it| it.0)
                    .to_owned();
            }
            Tid => return row.tid.map_or("-".to_owned(), |tid| tid.to_string()),
            Cpu | WaitShare => short::percent,
            WaitMedian | WaitP99 | WaitMean => short::time,
            Memory => short::bytes,
            Tasks => |tasks| match tasks < 99_999.5 {
                true => format!("{tasks:.0}"),
                false => short::count(tasks),
            },
            _ => short::rate,
        };
        self.figure(row).map_or_else(|| "-".to_owned(), show)
    }

    fn figure(self, row: &Row) -> Option<f64> {
        let figures = &row.figures;
        match self {
            Name | Role | Doing | Blocked => None,
            Tid => row.tid.map(f64::from),
            Tasks => Some(figures.tasks as f64),
            Cpu => figures.cpu,
            Voluntary => figures.voluntary,
            Involuntary => figures.involuntary,
            WaitShare => figures.wait_share,
            WaitMedian => figures.wait_median,
            WaitP99 => figures.wait_p99,
            WaitMean => figures.wait_mean,
            Faults => figures.faults,
            Creations => figures.creations,
            Memory => figures.memory,
        }
    }

    /// Text from A to Z, figures from small to large; what has no figure is below all that have one.
    #[must_use]
    pub fn compare(self, one: &Row, other: &Row) -> Ordering {
        let reason = |row: &Row| row.figures.blocked.first().map_or("", |it| it.0);
        match self {
            Name => one.name.cmp(&other.name),
            Role => one.role.cmp(&other.role),
            Doing => one.doing.cmp(&other.doing),
            Blocked => reason(one).cmp(reason(other)),
            _ => {
                let figure = |row: &Row| self.figure(row).unwrap_or(-1.0);
                figure(one).total_cmp(&figure(other))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(view: View, sorted_by: Column, width: u16) -> Vec<&'static str> {
        let columns = Column::that_fit(view, sorted_by, width);
        let used: u16 = columns.iter().map(|(_, width)| width + 1).sum::<u16>() - 1;
        assert!(used == width || columns.len() == 5, "{used} of {width}");
        columns.iter().map(|(column, _)| column.title()).collect()
    }

    #[test]
    fn a_wide_screen_has_all_columns() {
        for view in View::ALL {
            assert_eq!(titles(view, Cpu, 200).len(), Column::of(view).len());
        }
    }

    #[test]
    fn where_there_is_no_room_the_least_important_are_left_out() {
        assert_eq!(
            titles(View::Roles, Cpu, 80),
            [
                "name", "tasks", "CPU%", "vol/s", "wait%", "w.p50", "w.p99", "blocked", "flt/s",
                "mem"
            ]
        );
        assert_eq!(
            titles(View::Connections, Cpu, 80),
            [
                "name", "tid", "role", "CPU%", "vol/s", "wait%", "blocked", "flt/s", "mem"
            ]
        );
        let sorted = titles(View::Roles, Creations, 80);
        assert!(sorted.contains(&"new/s"), "{sorted:?}");
        assert_eq!(
            titles(View::Roles, Cpu, 20),
            ["name", "CPU%", "vol/s", "wait%", "mem"]
        );
    }

    #[test]
    fn a_row_without_a_figure_is_below_one_with_nothing() {
        let without = Row::default();
        let mut zero = Row::default();
        zero.figures.cpu = Some(0.0);
        assert_eq!(Cpu.compare(&without, &zero), Ordering::Less);
        assert_eq!(
            (Cpu.text(&without), Cpu.text(&zero)),
            ("-".into(), "0".into())
        );
    }
}
