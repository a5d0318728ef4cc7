// SPDX-License-Identifier: GPL-2.0-only
//! The terminal: what is drawn, and what keys do.

use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::widgets::{Cell, LineGauge, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use super::sample::{MemberRow, View};
use super::text;
use super::watched::{Shown, Watched};
use super::LOOK;
use crate::fail::reason;
use crate::host;

const KEYS: &str =
    "q quit   sort by: c CPU  s calls/s  t calls  p PID   left, right: instance   up, down: scroll";
const HEAD: Style = Style::new().add_modifier(Modifier::REVERSED);
/// Columns of the list of calls.
const KINDS_WIDTH: u16 = 28;

/// By what the processes are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Inside,
    Rate,
    Calls,
    Pid,
}

/// What keys have changed.
struct State {
    order: Order,
    /// Which instance, and from which process on.
    instance: usize,
    first: usize,
}

/// Why the loop ends.
enum End {
    Quit,
    Gone,
    Signal(i32),
}

/// Shows the instances until somebody has enough. The terminal is as before then.
pub fn run(mut watched: Watched, delay: Duration) -> Result<i32, String> {
    host::catch_signals();
    let failed = |error: std::io::Error| format!("terminal: {}", reason(&error));
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let end = show(&mut terminal, &mut watched, delay);
    ratatui::restore();
    match end? {
        End::Quit => Ok(0),
        End::Gone => {
            println!("the instance has ended");
            Ok(0)
        }
        // As a shell reports it.
        End::Signal(signal) => Ok(128 + signal),
    }
}

fn show(terminal: &mut DefaultTerminal, watched: &mut Watched, delay: Duration) -> Result<End, String> {
    let failed = |error: std::io::Error| format!("terminal: {}", reason(&error));
    let mut state = State { order: Order::Inside, instance: 0, first: 0 };
    loop {
        let shown = watched.turn()?;
        if shown.is_empty() && watched.is_one() {
            return Ok(End::Gone);
        }
        state.instance = state.instance.min(shown.len().saturating_sub(1));
        let until = Instant::now() + delay;
        let mut is_old = true;
        while Instant::now() < until {
            if std::mem::take(&mut is_old) {
                terminal.draw(|frame| draw(frame, &shown, &state)).map_err(failed)?;
            }
            if let Some(signal) = host::caught_signal() {
                return Ok(End::Signal(signal));
            }
            if event::poll(LOOK).map_err(failed)? {
                is_old = true;
                match event::read().map_err(failed)? {
                    Event::Key(key) if key.kind == KeyEventKind::Release => {}
                    Event::Key(key) if !state.take(key, &shown) => return Ok(End::Quit),
                    _ => {}
                }
            }
            watched.look();
        }
    }
}

impl State {
    /// Does what a key means. False: it means the end.
    fn take(&mut self, key: KeyEvent, shown: &[Shown]) -> bool {
        let processes =
            shown.get(self.instance).map_or(0, |one| one.as_ref().map_or(0, |view| view.members.len()));
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return false,
            KeyCode::Char('q') | KeyCode::Esc => return false,
            KeyCode::Char('c') => self.order = Order::Inside,
            KeyCode::Char('s') => self.order = Order::Rate,
            KeyCode::Char('t') => self.order = Order::Calls,
            KeyCode::Char('p') => self.order = Order::Pid,
            KeyCode::Right | KeyCode::Tab if self.instance + 1 < shown.len() => self.go_to(self.instance + 1),
            KeyCode::Left | KeyCode::BackTab => self.go_to(self.instance.saturating_sub(1)),
            KeyCode::Down => self.first = (self.first + 1).min(processes.saturating_sub(1)),
            KeyCode::Up => self.first = self.first.saturating_sub(1),
            KeyCode::Home => self.first = 0,
            _ => {}
        }
        true
    }

    fn go_to(&mut self, instance: usize) {
        (self.instance, self.first) = (instance, 0);
    }

    fn sort(&self, rows: &mut [MemberRow]) {
        rows.sort_by(|a, b| match self.order {
            Order::Inside => b.inside.total_cmp(&a.inside).then(b.rate.total_cmp(&a.rate)),
            Order::Rate => b.rate.total_cmp(&a.rate),
            Order::Calls => b.calls.cmp(&a.calls),
            Order::Pid => a.pid.cmp(&b.pid),
        });
    }
}

fn draw(frame: &mut Frame<'_>, shown: &[Shown], state: &State) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)])
            .areas(frame.area());
    let place = format!(" {}/{}", shown.len().min(state.instance + 1), shown.len());
    let (heading, view) = match shown.get(state.instance) {
        None => ("no instance runs", None),
        Some(Err([heading, _])) => (heading.as_str(), None),
        Some(Ok(view)) => (view.heading.as_str(), Some(view)),
    };
    let [left, right] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(place.len() as u16)]).areas(head);
    frame.render_widget(Paragraph::new(heading).style(Style::new().add_modifier(Modifier::BOLD)), left);
    frame.render_widget(Paragraph::new(place), right);
    match (view, shown.get(state.instance)) {
        (Some(view), _) => draw_view(frame, body, view, state),
        (None, Some(Err([_, why]))) => frame.render_widget(Paragraph::new(why.as_str()), body),
        _ => {}
    }
    frame.render_widget(Paragraph::new(KEYS).style(HEAD), foot);
}

fn draw_view(frame: &mut Frame<'_>, area: Rect, view: &View, state: &State) {
    let disks = if view.disks.is_empty() { 0 } else { view.disks.len().min(8) as u16 + 1 };
    let heights = [1, 1, disks].map(Constraint::Length);
    let [cpu, memory, disk_area, rest] =
        Layout::vertical([heights[0], heights[1], heights[2], Constraint::Min(0)]).areas(area);
    gauge(frame, cpu, view.inside, format!("cpu    {}", text::cpu(view)));
    let total = view.memory.total.max(1) as f64;
    let used = view.memory.total.saturating_sub(view.memory.free) as f64 / total;
    gauge(frame, memory, used, format!("memory {}", text::memory(&view.memory)));
    let widths = [8, 8, 8, 8, 8].map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    let rows = view.disks.iter().map(|disk| Row::new(text::disk(disk)));
    frame.render_widget(Table::new(rows, widths).header(Row::new(text::DISKS).style(HEAD)), disk_area);
    let [members, kinds] =
        Layout::horizontal([Constraint::Min(40), Constraint::Length(KINDS_WIDTH)]).areas(rest);
    draw_members(frame, members, view, state);
    let rows = view.kinds.iter().map(|(name, rate)| Row::new([format!("{rate:>9.0}"), name.clone()]));
    let widths = [Constraint::Length(9), Constraint::Min(10)];
    frame.render_widget(Table::new(rows, widths).header(Row::new(["  CALLS/S", "CALL"]).style(HEAD)), kinds);
}

fn gauge(frame: &mut Frame<'_>, area: Rect, part: f64, label: String) {
    let filled = Style::new().fg(Color::Green);
    frame.render_widget(
        LineGauge::default().ratio(part.clamp(0.0, 1.0)).label(label).filled_style(filled),
        area,
    );
}

fn draw_members(frame: &mut Frame<'_>, area: Rect, view: &View, state: &State) {
    let mut rows = view.members.clone();
    state.sort(&mut rows);
    let by = match state.order {
        Order::Pid => 0,
        Order::Inside => 2,
        Order::Rate => 4,
        Order::Calls => 5,
    };
    let head = text::MEMBERS.iter().enumerate().map(|(column, name)| {
        let style = if column == by { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
        Cell::from(*name).style(style)
    });
    let widths = [7, 1, 4, 5, 9, 11].map(Constraint::Length).into_iter().chain([Constraint::Min(10)]);
    let rows = rows.iter().skip(state.first).map(|row| Row::new(text::member(row)));
    frame.render_widget(Table::new(rows, widths).header(Row::new(head).style(HEAD)), area);
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::view;
    use super::*;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;

    fn key(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    fn drawn(width: u16, height: u16, shown: &[Shown], state: &State) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, shown, state)).unwrap();
        terminal.backend().to_string()
    }

    fn state() -> State {
        State { order: Order::Inside, instance: 0, first: 0 }
    }

    #[test]
    fn what_is_known_is_drawn() {
        let shown = [Ok(view())];
        let text = drawn(110, 16, &shown, &state());
        for word in [
            "instance work (1034)",
            "1/1",
            "50% busy",
            "24.0 used",
            "disk.img:/mnt/d",
            "open",
            "bash?x",
            "q quit",
        ] {
            assert!(text.contains(word), "no {word} in\n{text}");
        }
        let shown = [Err(["instance 7".to_owned(), "of another version".to_owned()])];
        assert!(drawn(80, 10, &shown, &state()).contains("of another version"));
        assert!(drawn(80, 10, &[], &state()).contains("no instance runs"));
    }

    #[test]
    fn any_size_will_do() {
        for (width, height) in [(1, 1), (5, 3), (20, 5), (300, 80)] {
            drawn(width, height, &[Ok(view())], &state());
        }
    }

    #[test]
    fn keys_sort_and_end() {
        let shown = [Ok(view()), Ok(view())];
        let mut state = state();
        assert!(state.take(key(KeyCode::Char('p')), &shown) && state.order == Order::Pid);
        assert!(state.take(key(KeyCode::Down), &shown) && state.first == 1);
        assert!(state.take(key(KeyCode::Down), &shown) && state.first == 1);
        assert!(state.take(key(KeyCode::Right), &shown) && (state.instance, state.first) == (1, 0));
        assert!(state.take(key(KeyCode::Right), &shown) && state.instance == 1);
        assert!(!state.take(key(KeyCode::Char('q')), &shown));
        assert!(!state.take(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &shown));
        let mut rows = view().members;
        State { order: Order::Inside, ..state }.sort(&mut rows);
        assert_eq!(rows[0].pid, 7);
        rows[1].calls = 1_000;
        State { order: Order::Calls, instance: 0, first: 0 }.sort(&mut rows);
        assert_eq!(rows[0].pid, 9);
    }
}
