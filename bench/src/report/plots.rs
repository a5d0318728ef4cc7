// SPDX-License-Identifier: GPL-2.0-only
//! The plots of the HTML page, as SVG.

use anyhow::{anyhow, Result};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::RowReport;
use crate::rows::Side;
use crate::stats::Estimate;

const WIDTH: u32 = 860;
/// Of one line of a plot of ratios.
const LINE: u32 = 22;
const FONT: &str = "sans-serif";
const GREY: RGBColor = RGBColor(150, 150, 150);
const GOOD: RGBColor = RGBColor(27, 120, 55);
const BAD: RGBColor = RGBColor(178, 24, 43);
/// For whom no goal is set.
const PLAIN: RGBColor = RGBColor(33, 102, 172);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a plot of ratios.
pub struct Ratio {
    pub name: String,
    pub of: Estimate,
    /// Where the goal is, and whether it is met.
    pub goal: Option<(f64, bool)>,
}

/// The colour by which a side is known in all plots.
pub fn colour(side: Side) -> RGBColor {
    match side {
        Side::Native => RGBColor(90, 90, 90),
        Side::Loop => RGBColor(153, 112, 171),
        Side::Stowaway => RGBColor(33, 102, 172),
        Side::Kernel => RGBColor(217, 95, 2),
        Side::Fuse2fs => RGBColor(27, 158, 119),
        Side::Gvisor => RGBColor(117, 112, 179),
        Side::Uml => RGBColor(140, 81, 10),
        Side::Zpoline => RGBColor(166, 118, 29),
        Side::Lazypoline => RGBColor(231, 41, 138),
        Side::SyscallIntercept => RGBColor(102, 166, 30),
    }
}

fn drawn(size: (u32, u32), draw: impl FnOnce(&Area) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&area)?;
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(svg)
}

/// Costs by native's, with their intervals, on a logarithmic axis; a tick at the goal.
pub fn ratios(lines: &[Ratio]) -> Result<String> {
    let height = LINE * lines.len() as u32 + 50;
    let [low, high] = ends_of(lines);
    drawn((WIDTH, height), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(170)
            .build_cartesian_2d((low..high).log_scale(), -0.5..lines.len() as f64 - 0.5)?;
        let name = |y: &f64| {
            // The first line is at the top.
            let at = (lines.len() as f64 - 1.0 - y).round() as usize;
            lines.get(at).map_or(String::new(), |line| line.name.clone())
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(lines.len() * 2)
            .y_label_formatter(&|y| if y.fract() == 0.0 { name(y) } else { String::new() })
            .x_label_formatter(&|x| format!("{x}"))
            .x_desc("cost by native's (left of 1: better)")
            .label_style((FONT, 13))
            .draw()?;
        let top = lines.len() as f64 - 0.5;
        chart.draw_series(LineSeries::new([(1.0, -0.5), (1.0, top)], GREY.stroke_width(2)))?;
        for (i, line) in lines.iter().enumerate() {
            let y = (lines.len() - 1 - i) as f64;
            let paint = match line.goal {
                Some((_, true)) => GOOD,
                Some((_, false)) => BAD,
                None => PLAIN,
            };
            let Estimate { median, interval } = line.of;
            let reach = [(interval.low.max(low), y), (interval.high, y)];
            chart.draw_series(LineSeries::new(reach, paint.stroke_width(2)))?;
            chart.draw_series([Circle::new((median, y), 4, paint.filled())])?;
            if let Some((at, _)) = line.goal {
                chart
                    .draw_series(LineSeries::new([(at, y - 0.35), (at, y + 0.35)], BLACK.stroke_width(2)))?;
            }
        }
        Ok(())
    })
}

/// Where the axis of ratios begins and ends.
fn ends_of(lines: &[Ratio]) -> [f64; 2] {
    let ends = lines.iter().flat_map(|line| {
        let goal = line.goal.map(|(at, _)| at);
        [line.of.interval.low, line.of.interval.high, line.of.median].into_iter().chain(goal)
    });
    let ends: Vec<f64> = ends.filter(|end| *end > 0.0).chain([0.5, 2.0]).collect();
    [ends.iter().copied().fold(f64::INFINITY, f64::min) / 1.2, ends.iter().copied().fold(0.0, f64::max) * 1.2]
}

/// Every sample of a row, round by round.
pub fn samples(row: &RowReport) -> Result<String> {
    let sides: Vec<_> = row.sides.iter().filter(|side| !side.samples.is_empty()).collect();
    let rounds = sides.iter().map(|side| side.samples.len()).max().unwrap_or(1);
    let all = sides.iter().flat_map(|side| side.samples.iter().copied());
    let (low, high) =
        all.fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
    // Sides may be decades apart.
    let log = low > 0.0 && high > low * 8.0;
    drawn((WIDTH, 190), |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).x_label_area_size(26).y_label_area_size(70);
        let rounds = 0.5..rounds as f64 + 0.5;
        if log {
            let chart = builder.build_cartesian_2d(rounds, (low / 1.2..high * 1.2).log_scale())?;
            points(chart, row)
        } else {
            points(builder.build_cartesian_2d(rounds, 0.0..(high * 1.1).max(f64::MIN_POSITIVE))?, row)
        }
    })
}

fn points<'a, Y>(
    mut chart: ChartContext<'a, SVGBackend<'_>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>,
    row: &RowReport,
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("round")
        .y_desc(row.unit.as_str())
        .x_label_formatter(&|x| format!("{x:.0}"))
        .label_style((FONT, 12))
        .draw()
        .map_err(|error| anyhow!("{error}"))?;
    for side in &row.sides {
        let paint = colour(side.side);
        let places: Vec<(f64, f64)> =
            side.samples.iter().enumerate().map(|(round, value)| (round as f64 + 1.0, *value)).collect();
        let line = LineSeries::new(places.iter().copied(), paint.mix(0.4));
        chart.draw_series(line).map_err(|error| anyhow!("{error}"))?;
        let dots = places.into_iter().map(|at| Circle::new(at, 3, paint.filled()));
        chart.draw_series(dots).map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

/// How one ratio went over several files, in their order.
pub fn history(values: &[Option<Estimate>]) -> Result<String> {
    let known = values.iter().flatten();
    let high = known.fold(1.0f64, |high, value| high.max(value.interval.high).max(value.median)) * 1.1;
    drawn((WIDTH, 150), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(70)
            .build_cartesian_2d(0.5..values.len() as f64 + 0.5, 0.0..high)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(values.len().min(20))
            .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x}") } else { String::new() })
            .x_desc("file")
            .y_desc("x native")
            .label_style((FONT, 12))
            .draw()?;
        let middles =
            values.iter().enumerate().filter_map(|(i, v)| Some((i as f64 + 1.0, v.as_ref()?.median)));
        chart.draw_series(LineSeries::new(middles, PLAIN.stroke_width(2)))?;
        for (i, value) in values.iter().enumerate() {
            let (x, Some(Estimate { median, interval })) = (i as f64 + 1.0, value) else { continue };
            chart.draw_series(LineSeries::new([(x, interval.low), (x, interval.high)], PLAIN))?;
            chart.draw_series([Circle::new((x, *median), 3, PLAIN.filled())])?;
        }
        Ok(())
    })
}
