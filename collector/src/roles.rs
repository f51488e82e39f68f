//! The parts that tasks play in a target.

/// The roles of one kind of target.
#[derive(Debug, PartialEq, Eq)]
pub struct Roles {
    /// Their names, as reports have them.
    pub names: &'static [&'static str],
    /// By its place among the names, what the main thread of the process is that is watched.
    pub main: usize,
    /// What other threads are.
    pub thread: usize,
    /// What the processes are that descend from it.
    pub process: usize,
    /// What the threads of those are.
    pub thread_of_process: usize,
    /// Whether these are only what tasks begin with, until they tell what they are.
    pub told_later: bool,
}

/// Those of any process.
pub static OF_ANY: Roles = Roles {
    names: &["main", "thread", "child"],
    main: 0,
    thread: 1,
    process: 2,
    thread_of_process: 2,
    told_later: false,
};

impl Roles {
    /// The place of a name among them.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| *other == name)
    }
}
