//! Minimizes a function of several variables with the Nelder–Mead simplex method.
//!
//! Each step must be the step of 1.x (`query/neldermead`), because the result depends on every
//! step. The coefficients are 1 for reflection, 2 for expansion, and 0.5 for contraction and
//! shrinking.

use crate::work::Work;
use tidemark_model::limits::FORECAST_STEPS_MAX;

#[derive(Clone)]
struct Vertex {
    at: Vec<f64>,
    value: f64,
}

/// Returns the minimum and its point. `function` may change its arguments; the search then
/// continues from the changed point. Awaits only [`Work::spend`].
pub(super) async fn minimize(
    start: &[f64],
    mut function: impl FnMut(&mut [f64]) -> f64,
    epsilon: f64,
    work: &Work,
) -> (f64, Vec<f64>) {
    let mut vertices = simplex(start);
    for vertex in &mut vertices {
        work.spend(1).await;
        vertex.value = function(&mut vertex.at);
    }
    for _ in 0..FORECAST_STEPS_MAX {
        // The computation of the centre reads every corner.
        work.spend(vertices.len() * vertices.len() / 16 + vertices.len()).await;
        if !move_worst(&mut vertices, &mut function, epsilon) {
            break;
        }
    }
    let (_, best, _) = ranks(&vertices);
    let Some(vertex) = vertices.get_mut(best) else { return (f64::NAN, Vec::new()) };
    let parameters = vertex.at.clone();
    (function(&mut vertex.at), parameters)
}

/// Replaces the worst corner with a better point. Returns whether the corners' values still differ.
fn move_worst(
    vertices: &mut [Vertex],
    function: &mut dyn FnMut(&mut [f64]) -> f64,
    epsilon: f64,
) -> bool {
    let (worst, best, next) = ranks(vertices);
    let centre = centre(vertices, worst);
    let [best_value, worst_value, next_value] =
        [best, worst, next].map(|at| vertices.get(at).map_or(f64::NAN, |vertex| vertex.value));
    let Some(Vertex { at: worst_at, .. }) = vertices.get(worst).cloned() else { return false };
    let mut place = |along: f64, from: &[f64]| {
        let mut at: Vec<f64> = centre.iter().zip(from).map(|(c, f)| c + along * (f - c)).collect();
        let value = function(&mut at);
        Vertex { at, value }
    };
    // c + -1 * (w - c) has the same bits as c + 1 * (c - w).
    let reflected = place(-1.0, &worst_at);
    let mut put = |vertex: Vertex| {
        if let Some(place) = vertices.get_mut(worst) {
            *place = vertex;
        }
    };
    if reflected.value < next_value && reflected.value >= best_value {
        put(reflected.clone());
    }
    if reflected.value < best_value {
        let expanded = place(2.0, &reflected.at);
        put(if expanded.value < reflected.value { expanded } else { reflected.clone() });
    }
    if reflected.value >= next_value {
        let outside = reflected.value < worst_value;
        let contracted = place(0.5, if outside { &reflected.at } else { &worst_at });
        if contracted.value < worst_value {
            put(contracted);
        } else {
            shrink(vertices, best);
            for at in [worst, next] {
                if let Some(vertex) = vertices.get_mut(at) {
                    vertex.value = function(&mut vertex.at);
                }
            }
        }
    }
    let is_found = spread(vertices) < epsilon;
    !is_found
}

/// Returns `start` and one corner for each dimension, at equal distances.
fn simplex(start: &[f64]) -> Vec<Vertex> {
    let dimensions = start.len() as f64;
    let root = (dimensions + 1.0).sqrt() - 1.0;
    let scale = dimensions * std::f64::consts::SQRT_2;
    let (own, other) = ((root + dimensions) / scale, root / scale);
    let vertex = |moved: Option<usize>| {
        let step = |at: usize| match moved {
            Some(moved) if moved == at => own,
            Some(_) => other,
            None => 0.0,
        };
        Vertex { at: start.iter().enumerate().map(|(at, x)| step(at) + x).collect(), value: 0.0 }
    };
    std::iter::once(vertex(None)).chain((0..start.len()).map(|at| vertex(Some(at)))).collect()
}

fn ranks(vertices: &[Vertex]) -> (usize, usize, usize) {
    let value = |at: usize| vertices.get(at).map_or(f64::NAN, |vertex| vertex.value);
    let (mut worst, mut best) = (0, 0);
    for at in 0..vertices.len() {
        if value(at) > value(worst) {
            worst = at;
        }
        if value(at) < value(best) {
            best = at;
        }
    }
    let mut next = best;
    for at in 0..vertices.len() {
        if value(at) > value(next) && value(at) < value(worst) {
            next = at;
        }
    }
    (worst, best, next)
}

fn centre(vertices: &[Vertex], worst: usize) -> Vec<f64> {
    let dimensions = vertices.len().saturating_sub(1);
    let mut sums = vec![0.0; dimensions];
    for (_, vertex) in vertices.iter().enumerate().filter(|(at, _)| *at != worst) {
        sums.iter_mut().zip(&vertex.at).for_each(|(sum, x)| *sum += x);
    }
    sums.iter_mut().for_each(|sum| *sum /= dimensions as f64);
    sums
}

fn shrink(vertices: &mut [Vertex], best: usize) {
    let Some(target) = vertices.get(best).map(|vertex| vertex.at.clone()) else { return };
    for (_, vertex) in vertices.iter_mut().enumerate().filter(|(at, _)| *at != best) {
        for (x, to) in vertex.at.iter_mut().zip(&target) {
            *x = to + (*x - to) / 2.0;
        }
    }
}

fn spread(vertices: &[Vertex]) -> f64 {
    let count = vertices.len() as f64;
    let mean = vertices.iter().map(|vertex| vertex.value).sum::<f64>() / count;
    let squares = vertices.iter().map(|c| (c.value - mean) * (c.value - mean) / (count - 1.0));
    squares.sum::<f64>().sqrt()
}
