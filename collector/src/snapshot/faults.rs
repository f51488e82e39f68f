//! Page faults that windows showed.

use serde::{Deserialize, Serialize};

use super::Histogram;

/// The faults of a role seen one by one, cumulative since the watch began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// By class; none of them where faults are not looked at.
    pub classes: Vec<FaultClass>,
    /// Huge pages that a fault had to split first.
    pub huge_page_splits: u64,
    /// Exceptions seen; those that were not seen to end are in no class.
    pub begun: u64,
    /// Ends seen of what had not begun in the window, or without an exception.
    pub not_begun: u64,
    /// Windows that have closed and showed a fault of the role.
    pub windows: u64,
    /// Faults in those, of all classes and those that had not begun.
    pub in_windows: u64,
    /// Sum of the squares of their number in each window.
    pub in_windows_squared: u64,
}

/// The faults of one class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultClass {
    /// `cow_copy`, `zero_fill`, ...
    pub name: String,
    /// From user mode.
    pub user: u64,
    /// Of an access from kernel mode.
    pub kernel: u64,
    /// From the exception to the end of handling.
    pub latency: Histogram,
    /// Those in closed windows.
    pub in_windows: u64,
    /// Sum of the squares of their number in each window.
    pub in_windows_squared: u64,
    /// Sum of the products with the number of all faults in the window.
    pub in_windows_products: u64,
}
