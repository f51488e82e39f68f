//! `connscope top`: figures of the last interval, live on a terminal.
//!
//! Reports of the last interval become rows ([`figures`]), keys change what is shown of them ([`state`]), and
//! [`view`] draws it. All of this is a function of plain data; only [`screen`] knows a real terminal.

pub mod columns;
pub mod figures;
pub mod history;
pub mod screen;
pub mod short;
pub mod state;
pub mod tasks;
pub mod view;
