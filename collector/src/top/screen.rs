//! The terminal: taken over, and given back as it was, whatever ends us.

use super::state::State;
use super::view::{self, Theme};
use crate::export::Style;
use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::style::ResetColor;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode, size,
};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::{Position, Rect, Size};
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{self, Stdout, stdout};
use std::mem::ManuallyDrop;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal on stdout, as long as this lives.
pub struct Screen {
    /// Dropped by hand: it says on stderr that it could not show the cursor, and panics where that is gone too.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<Stdout>>>,
    size: Size,
    theme: Theme,
}

impl Screen {
    /// Takes it over.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        // A panic says why once the terminal can show it.
        HOOK.call_once(|| {
            let say = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                say(info);
            }));
        });
        enter()?;
        let size = size_now().inspect_err(|_| give_back())?;
        Ok(Self {
            terminal: ManuallyDrop::new(blank(size).inspect_err(|_| give_back())?),
            size,
            theme: Theme {
                color: Style::of_stdout().color,
            },
        })
    }

    /// Draws what is shown, on a screen of whatever size it has now.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn draw(&mut self, state: &mut State) -> io::Result<()> {
        if size_now()? != self.size {
            self.clear()?;
        }
        state.fit(view::page(self.size, state));
        let theme = self.theme;
        self.terminal
            .draw(|frame| view::draw(frame, state, theme))?;
        Ok(())
    }

    /// Clears the screen, and forgets what is thought to be on it and of which size it is.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        execute!(stdout(), Clear(ClearType::All))?;
        self.size = size_now()?;
        self.terminal.show_cursor()?;
        execute!(stdout(), Hide)?;
        *self.terminal = blank(self.size)?;
        Ok(())
    }

    /// Gives the terminal back while `stop` waits, and takes it over again.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn suspend(&mut self, stop: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        give_back();
        let stopped = stop();
        enter()?;
        stopped?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal.show_cursor().is_ok() {
            // SAFETY: it is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.terminal) };
        }
        give_back();
    }
}

fn size_now() -> io::Result<Size> {
    Ok(size()?.into())
}

/// A screen of fixed size with nothing on it. One that fits itself to the terminal would ask that where its
/// cursor is whenever it is cleared, and wait for an answer that not every terminal gives.
fn blank(size: Size) -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    let viewport = Viewport::Fixed(Rect::from((Position::ORIGIN, size)));
    Terminal::with_options(
        CrosstermBackend::new(stdout()),
        TerminalOptions { viewport },
    )
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    TAKEN.store(true, Ordering::SeqCst);
    execute!(stdout(), EnterAlternateScreen, Hide).inspect_err(|_| give_back())
}

/// Once, however often it is asked for. A terminal that is gone needs nothing.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), ResetColor, Show, LeaveAlternateScreen);
        let _ = disable_raw_mode();
    }
}
